"""Which cells of a code grid are hidden, in training, for a likelihood, and step after step in sampling."""

import math
import zlib

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from voxlex.priors.draw import Draw
from voxlex.priors.guidance import GuidedDraw
from voxlex.types import Codes

Hidden = Bool[Tensor, "b t"]
"""The cells of each image, in raster order, whose codes are not seen."""


def hide_cells(numbers: Int64[Tensor, "*b"], cells: int, generator: torch.Generator | None = None) -> Tensor:
    """Hide as many of the `cells` of each image as said, every subset of that size alike."""
    noise = torch.rand(*numbers.shape, cells, generator=generator, device=numbers.device)
    return noise.argsort(dim=-1).argsort(dim=-1) < numbers.unsqueeze(-1)


def hide_for_likelihood(codes: Codes, draws: int) -> Bool[Tensor, "s b t"]:
    """Hide 1 to all cells, every number alike, `draws` times for each image, once in each of as many equal parts.

    The codes of an image seed its draws, so that its likelihood is the same in any batch.
    """
    cells = math.prod(codes.shape[2:])
    images = []
    for image in codes.cpu():
        generator = torch.Generator().manual_seed(zlib.crc32(image.numpy().tobytes()))
        part = (torch.arange(draws) + torch.rand(draws, generator=generator)) / draws
        images.append(hide_cells((part * cells).long() + 1, cells, generator))
    return torch.stack(images, dim=1).to(codes.device)


def left_hidden(cells: int, steps: int) -> list[int]:
    """Cells still hidden after each step of sampling: cells · cos(π/2 · s/S), and in each step at least one fewer."""
    steps = min(steps, cells)
    left = [cells]
    for step in range(1, steps + 1):
        scheduled = int(cells * math.cos(math.pi / 2 * step / steps))
        left.append(min(max(scheduled, steps - step), left[-1] - 1))
    return left[1:]


def confidence(logits: Float[Tensor, "n k"], codes: Int64[Tensor, "n"], draw: Draw) -> Float[Tensor, "n"]:
    """Log-probability of the codes that `draw` chose; under guidance, the same for both rows of an image."""
    if isinstance(draw, GuidedDraw):
        logits = draw.guided(logits).repeat(2, 1)
    return logits.log_softmax(dim=1).gather(1, codes.unsqueeze(1)).squeeze(1)


def gumbel_noise(like: Float[Tensor, "n m"], draw: Draw) -> Float[Tensor, "n m"]:
    """Standard Gumbel noise; under guidance, the same for both rows of an image."""
    copies = 2 if isinstance(draw, GuidedDraw) else 1
    noise = torch.empty_like(like[: len(like) // copies]).exponential_(generator=draw.generator)
    return -noise.log().repeat(copies, 1)
