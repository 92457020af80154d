"""Small priors of every kind, over one level or two, and draws that look over a prior's shoulder."""

import functools
import itertools
from dataclasses import dataclass, replace

import torch

from voxlex.codes import CodeLayout, from_levels
from voxlex.priors import Conditions, GatedPixelCNN, HierarchicalPrior, MaskedPrior, TransformerPrior
from voxlex.priors.draw import Draw
from voxlex.priors.unmasking import halton_ranks, left_hidden

KINDS = {
    "pixelcnn": GatedPixelCNN,
    "transformer": TransformerPrior,
    "masked": MaskedPrior,
    "halton": functools.partial(MaskedPrior, order="halton"),
}

SMALL = {
    "pixelcnn": {"width": 8, "layers": 2, "embedding_dim": 4},
    "transformer": {"width": 8, "layers": 2, "heads": 2, "kernel_size": 3, "embedding_dim": 4},
    "masked": {"width": 8, "layers": 2, "heads": 2, "kernel_size": 3, "steps": 4},
    # So few that steps draw several cells also where there are four.
    "halton": {"width": 8, "layers": 2, "heads": 2, "kernel_size": 3, "steps": 3},
}

LABELLED = Conditions.of({"label": ["a", "b"]}, ["label"])


def labels(*wanted):
    """The condition of images with labels "a" and "b", or any, "", of priors that are `LABELLED`."""
    return LABELLED.encode({"label": wanted})


@dataclass(frozen=True)
class Case:
    """A prior of a kind, with codes in few cells or, if tiny, in so few that all code grids can be listed."""

    kind: str
    dims: int = 2
    num_codebooks: int = 1
    levels: int = 1
    conditional: bool = False
    tiny: bool = False

    @property
    def layouts(self):
        if not self.tiny:
            grids = {2: [(2, 2), (3, 4)], 3: [(2, 2, 2), (2, 2, 3)]}[self.dims]
            sizes = [4, 5]
        elif self.levels == 1:
            # Three codes in each of four places: 81 images.
            grids = [(2, 2, 1)[: self.dims] if self.num_codebooks == 1 else (2, 1, 1)[: self.dims]]
            sizes = [3]
        else:
            # Two codes in each of six places: 64 images.
            grids = [(2, 1, 1)[: self.dims], (2, 2, 1)[: self.dims]]
            if self.num_codebooks > 1:
                grids = [(1, 1, 1)[: self.dims], (2, 1, 1)[: self.dims]]
            sizes = [2, 2]
        layouts = [
            CodeLayout(num_embeddings=size, num_codebooks=self.num_codebooks, grid=grid)
            for size, grid in zip(sizes, grids, strict=True)
        ]
        return layouts[-self.levels :]

    def prior(self, **changes):
        """A float64 prior far enough from its initial state that every weight and bias matters."""
        options = SMALL[self.kind] | {"conditions": LABELLED if self.conditional else None} | changes
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(0)
            levels = [
                KINDS[self.kind](layout=layout, context=self.layouts[:place], **options)
                for place, layout in enumerate(self.layouts)
            ]
            prior = (levels[0] if len(levels) == 1 else HierarchicalPrior(levels=levels)).double().eval()
            with torch.no_grad():
                for parameter in prior.parameters():
                    parameter += 0.3 * torch.randn_like(parameter)
        return prior

    def condition(self, n):
        """A condition for each of n images: a, b, none, a, …; None for an unconditional prior."""
        return labels(*itertools.islice(itertools.cycle(["a", "b", ""]), n)) if self.conditional else None

    def __str__(self):
        codebooks, levels = f"{self.num_codebooks} codebooks", f"{self.levels} levels"
        return f"{self.kind}-{self.dims}D-{codebooks}-{levels}" + ("-conditional" if self.conditional else "")


_EVERY = [Case(*settings) for settings in itertools.product(KINDS, (2, 3), (1, 2), (1, 2), (False, True))]

CASES = [case for case in _EVERY if (case.dims + case.num_codebooks + case.levels + case.conditional) % 2]
"""Half of all cases, chosen so that any three settings of a kind meet in every combination."""

EXACT = [case for case in CASES if case.kind != "masked"]
CONDITIONAL = [case for case in CASES if case.conditional]
FEW = [case for case in _EVERY if case.conditional and case.num_codebooks == case.dims - 1]
"""Of each kind, over one level and two: images with one codebook, volumes with two."""

FEWER = [case for case in FEW if case.levels == case.num_codebooks]
"""Of each kind: images with one codebook and one level, volumes with two codebooks and two levels."""


def steps_of(prior):
    """The cells that a prior of one level with an exact likelihood draws together, step after step."""
    cells = range(prior.layout.cells)
    if not isinstance(prior, MaskedPrior):
        return [[cell] for cell in cells]
    ranks = halton_ranks(prior.layout.grid)
    order = sorted(cells, key=lambda cell: ranks[cell])
    ends = [len(cells) - left for left in left_hidden(len(cells), prior.steps)]
    return [order[start:end] for start, end in itertools.pairwise([0, *ends])]


def seen_by(prior, cell):
    """Which cells a prior of one level sees where it scores a cell; one without an exact likelihood sees none."""
    seen = torch.zeros(prior.layout.cells, dtype=torch.bool)
    for step in steps_of(prior) if prior.exact else ():
        if cell in step:
            break
        seen[step] = True
    return seen


def tiny(cases):
    return [replace(case, tiny=True) for case in cases]


def small(kind, *, num_embeddings=5, num_codebooks=1, grid=(4, 5), **changes):
    """A float64 prior of one level, far enough from its initial state that every weight and bias matters."""
    layout = CodeLayout(num_embeddings=num_embeddings, num_codebooks=num_codebooks, grid=grid)
    (name,) = [name for name, other in KINDS.items() if other is kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = kind(layout=layout, **(SMALL[name] | changes)).double().eval()
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return prior


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_codes(prior, n, seed=0):
    """Codes of n images, for a prior over several levels a tuple."""
    generator = seeded(seed)
    return from_levels(
        [torch.randint(layout.num_embeddings, (n, *layout.shape), generator=generator) for layout in prior.layouts]
    )


def every_image(prior):
    """The codes of all images that there are, for a tiny prior."""
    places = [torch.arange(layout.num_embeddings) for layout in prior.layouts for _ in range(layout.codes_per_image)]
    flat = torch.cartesian_prod(*places)
    parts = flat.split([layout.codes_per_image for layout in prior.layouts], dim=1)
    shapes = [layout.shape for layout in prior.layouts]
    return from_levels([part.unflatten(1, shape).contiguous() for part, shape in zip(parts, shapes, strict=True)])


def flat(codes):
    """Codes of all levels as one row for each image."""
    return torch.cat([level.flatten(1) for level in (codes if isinstance(codes, tuple) else (codes,))], dim=1)


def assert_frequencies(codes, every, expected):
    """Assert by Pearson's statistic that samples follow the probabilities `expected` of every image."""
    codes, every = flat(codes), flat(every)
    powers = (every.max() + 1) ** torch.arange(every.shape[1])
    keys, order = (every * powers).sum(dim=1).sort()
    index = torch.searchsorted(keys, (codes * powers).sum(dim=1))
    counts, expected = torch.bincount(index, minlength=len(every)), len(codes) * expected[order]
    # Where they do, it has as its mean the number of images and as its variance twice that.
    likely = expected > 5
    statistic = ((counts - expected) ** 2 / expected)[likely].sum().item()
    freedom = likely.sum().item()
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5


class Replay(Draw):
    """Gives the codes of one level of known images, and keeps the logits that it was offered: half an entropy coder."""

    def __init__(self, codes):
        self.codes = codes.flatten(2)
        self.offered = {}

    def __call__(self, logits, *, codebook, cells):
        if isinstance(cells, int):
            self.offered[codebook, cells] = logits
            return self.codes[:, codebook, cells]
        for place, own in enumerate(cells[0].tolist()):
            self.offered[codebook, own] = logits[:, place]
        return self.codes[:, codebook].gather(1, cells)

    @property
    def logits(self):
        """All that was offered, (n, k, q, t)."""
        _, q, t = self.codes.shape
        rows = [torch.stack([self.offered[codebook, cell] for cell in range(t)], dim=-1) for codebook in range(q)]
        return torch.stack(rows, dim=2)
