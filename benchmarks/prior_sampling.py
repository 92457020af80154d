"""Compare how fast the priors, naive loops and MONAI's transformer sample images, in one run.

    python benchmarks/prior_sampling.py [--grid 32 32] [--images 16] [--num-embeddings 1024] [--fraction 0.03]

A naive loop runs the network on the whole prefix for every cell that it draws. For naive loops, only a share of the
cells is timed. These are evenly spaced from the first to the last, and the time of the others is extrapolated. With
`--fraction 1`, all cells are timed, and MONAI runs its own `VQVAETransformerInferer.sample`. Weights are random,
because they do not affect the time. Only the ratios carry over to another machine.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator

import torch
from monai.inferers import VQVAETransformerInferer
from monai.networks.nets import DecoderOnlyTransformer
from monai.utils.ordering import Ordering
from torch import nn

from voxlex.codes import CodeLayout
from voxlex.priors import GatedPixelCNN, HierarchicalPrior, LevelPrior, MaskedPrior, TransformerPrior
from voxlex.priors.draw import RandomDraw

SIZE = {"width": 128, "layers": 4, "heads": 2}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def extrapolated(step: Callable[[int], object], cells: int, fraction: float) -> float:
    """Return the seconds of all steps, extrapolated from an evenly spaced share of them."""
    timed = max(4, round(fraction * cells))
    step(cells - 1)  # warms up
    chosen = torch.linspace(0, cells - 1, min(timed, cells)).long().tolist()
    return sum(seconds(lambda cell=cell: step(cell)) for cell in chosen) / len(chosen) * cells


def naive(kind: type[LevelPrior], options: argparse.Namespace, **size: int) -> float:
    """Seconds of drawing cell after cell with the network run on the rows up to the cell."""
    height, *others = options.grid
    row = math.prod(others)

    def step(cell: int) -> None:
        codes = torch.zeros(options.images, 1, cell // row + 1, *others, dtype=torch.int64)
        draw(priors[cell // row](codes)[:, :, 0].flatten(2)[:, :, cell], codebook=0, cells=cell)

    draw = RandomDraw()
    priors = [
        kind(layout=CodeLayout(num_embeddings=options.num_embeddings, grid=(rows, *others)), **size).eval()
        for rows in range(1, height + 1)
    ]
    return extrapolated(step, height * row, options.fraction)


class Undecoded(nn.Module):
    """A stand-in for a VQ-VAE in MONAI's inferer that skips the work of decoding."""

    def __init__(self, num_embeddings: int) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings

    def decode_samples(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the codes unchanged."""
        return codes


def monai(options: argparse.Namespace) -> float:
    """Return the seconds of MONAI's sampler, with a transformer of the same width, depth and number of heads."""
    cells, start = math.prod(options.grid), options.num_embeddings
    transformer = DecoderOnlyTransformer(
        num_tokens=start + 1,
        max_seq_len=cells,
        attn_layers_dim=SIZE["width"],
        attn_layers_depth=SIZE["layers"],
        attn_layers_heads=SIZE["heads"],
    ).eval()
    if options.fraction == 1:
        ordering = Ordering("raster_scan", len(options.grid), (1, *options.grid))
        first = torch.full((options.images, 1), start)
        inferer = VQVAETransformerInferer()
        arguments = (tuple(options.grid), first, Undecoded(start), transformer, ordering)
        return seconds(lambda: inferer.sample(*arguments, verbose=False))

    def step(cell: int) -> None:
        # This is one turn of the loop in `sample`, which cannot begin in the middle.
        logits = transformer(x=torch.full((options.images, cell + 1), start))[:, -1]
        torch.multinomial(logits.softmax(dim=-1), num_samples=1)

    return extrapolated(step, cells, options.fraction)


def ours(kind: type[LevelPrior], options: argparse.Namespace, **size: int) -> float:
    layout = CodeLayout(num_embeddings=options.num_embeddings, grid=tuple(options.grid))
    prior = kind(layout=layout, **size)
    return seconds(lambda: prior.sample(options.images))


def next_scale(options: argparse.Namespace) -> float:
    """Return the seconds of drawing three levels, each in one step given the coarser ones, as VAR does."""
    layouts = [
        CodeLayout(num_embeddings=options.num_embeddings, grid=tuple(side // reduced for side in options.grid))
        for reduced in (4, 2, 1)
    ]
    priors = [
        MaskedPrior(layout=layout, context=layouts[:place], order="halton", steps=1, **SIZE)
        for place, layout in enumerate(layouts)
    ]
    prior = HierarchicalPrior(levels=priors)
    return seconds(lambda: prior.sample(options.images))


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, str, float]]:
    """Yield the name of each sampler, the name of the sampler for comparison, and the seconds that it takes."""
    yield "transformer, naive", "transformer, naive", naive(TransformerPrior, options, **SIZE)
    yield "MONAI transformer", "transformer, naive", monai(options)
    cached = ours(TransformerPrior, options, **SIZE)
    yield "transformer, cached", "transformer, naive", cached
    yield "transformer, cached", "MONAI transformer", cached
    masked = ours(MaskedPrior, options, **SIZE)
    yield "masked", "transformer, naive", masked
    yield "masked", "MONAI transformer", masked
    yield "next scale, three levels", "transformer, cached", next_scale(options)
    yield "PixelCNN, naive", "PixelCNN, naive", naive(GatedPixelCNN, options)
    yield "PixelCNN, cached", "PixelCNN, naive", ours(GatedPixelCNN, options)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, nargs="+", default=[32, 32])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--num-embeddings", type=int, default=1024)
    parser.add_argument("--fraction", type=float, default=0.03)
    options = parser.parse_args()
    print(f"{options.images} images of {'×'.join(map(str, options.grid))} cells, K = {options.num_embeddings}")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; transformers: {SIZE}")
    if options.fraction < 1:
        print(f"naive loops and MONAI: {options.fraction:.0%} of the cells are timed, the others extrapolated")
    taken: dict[str, float] = {}
    for name, other, elapsed in measurements(options):
        taken[name] = elapsed
        speed = options.images / elapsed
        print(
            f"{name:24s} {elapsed:9.2f} s  {speed:9.3f} images/s  {taken[other] / elapsed:7.1f} × {other}", flush=True
        )


if __name__ == "__main__":
    main()
