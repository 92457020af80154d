"""Tell which latents a codebook may learn from.

One latent that is not a number, or that lies far beyond all others, would spoil running means, the start of a codebook
and the place of a revived codeword for many steps, or for good. So a codebook learns from the other latents only.
"""

import warnings

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxlex.quantizers import processes

_FAR = 2.0**24
"""Ratio of squared lengths beyond which float32 cannot hold the sum of the two, 1/ε: 4,096 times the usual length."""

_LARGEST = torch.finfo(torch.float32).max

_PATIENCE = 16
"""Steps in a row with mostly far latents after which these are taken for a new range and not for a mistake."""


class Outliers:
    """Finds latents that are not finite, overflow float32 when squared, or are 4,096 times as long as usual.

    Latents that stay so long for 16 steps are no accident: the codebook then learns from them, unless they overflow.
    """

    def __init__(self) -> None:
        # Latents left out so far, and steps in a row with mostly far ones: on the device, so that a GPU does not wait.
        self._counters = torch.zeros(2, dtype=torch.int64)

    @property
    def left_out(self) -> int:
        """Number of latents that were left out so far, in all processes."""
        return int(self._counters[0])

    def usable(
        self, vectors: Float[Tensor, "n d"], codewords: Float[Tensor, "k v"] | None = None
    ) -> Bool[Tensor, " n"] | None:
        """Return from which latents of a training step to learn, and warn when some are left out for the first time.

        On a GPU, nothing is read back from the device: there is no warning, and the result always says of each latent
        whether it is usable. `left_out` counts on every device.

        Args:
            vectors: The latents.
            codewords: Vectors of the usual length. With None, latents of any length are usable if they do not overflow.

        Returns:
            Whether each latent is usable; None if all are, in all processes.
        """
        squares = _squares(vectors)
        finite = squares <= _LARGEST
        near = finite if codewords is None else squares <= _reach(_squares(codewords))
        everyone = torch.ones_like(near)
        in_reach, not_overflowing, of = processes.total(torch.stack([near, finite, everyone]).sum(dim=1)).unbind()
        self._counters = self._counters.to(near.device)
        before, far_steps = self._counters.unbind()
        far_steps.copy_(torch.where(2 * (of - in_reach) > of, far_steps + 1, 0))
        is_usual = far_steps > _PATIENCE
        near = torch.where(is_usual, finite, near)
        left_out = of - torch.where(is_usual, not_overflowing, in_reach)
        if not near.is_cpu:
            before += left_out
            return near
        if left_out and not before:
            warnings.warn(
                f"latents: expected finite vectors of about the length of the codewords, got {int(left_out)} of "
                f"{int(of)} that are not; codebooks do not learn from them, `left_out` counts them",
                RuntimeWarning,
                stacklevel=2,
            )
        before += left_out
        return near if left_out else None


def usual(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "m d"]:
    """Return the vectors that are finite and not far longer than most of them."""
    return vectors[~are_far(vectors)]


def are_far(vectors: Float[Tensor, "n d"]) -> Bool[Tensor, " n"]:
    """Return which vectors are not finite, overflow float32 when squared, or are 4,096 times as long as most others."""
    squares = _squares(vectors)
    return ~(squares <= _reach(squares))  # written this way, so that NaN is far


def _reach(squares: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Return the largest square that is not far from the usual one among the given squares of lengths.

    The usual one is the third quartile, without zeros and overflows. Latents of the background may be much shorter than
    the others and in the majority, so the median would be too short.
    """
    ordered = squares.sort().values  # NaN comes last
    zeros, finite = (ordered <= 0).sum(), (ordered <= _LARGEST).sum()
    place = zeros + 3 * (finite - zeros - 1).clamp(min=0) // 4
    usual_square = ordered.take(place.clamp(max=len(ordered) - 1))  # an index would be read back from a GPU
    return torch.where(finite > zeros, _FAR * usual_square, _LARGEST).clamp(max=_LARGEST)


def _squares(vectors: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    return vectors.detach().float().square().sum(dim=1)
