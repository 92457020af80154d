"""What judging generated images looks at: which images of each set, drawn before any of them is there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from voxlex.evaluation.generation.diversity import Pairs, draw_pairs
from voxlex.evaluation.generation.wasserstein import pass_over

FEWEST = 16
"""Smallest number of samples, and of images in half of the held-out set, that gives useful figures."""

ROUNDS = 4
"""Number of random divisions of the held-out images over which figures are averaged."""

SAMPLES, FLOOR = "", "_floor"
"""Ends of the names of the figures of samples, and of real images."""


class Round(NamedTuple):
    """The sets of one division, as numbers of images, all of the same size.

    Attributes:
        reference: The held-out images that the other sets are compared with.
        other: The held-out images that give the floor, and whose reconstructions are compared.
        drawn: The samples.
        states: The state of the generator before each comparison, by the end of the names of its figures.
    """

    reference: Int64[Tensor, " size"]
    other: Int64[Tensor, " size"]
    drawn: Int64[Tensor, " size"]
    states: dict[str, UInt8[Tensor, " _"]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All random choices of judging some samples.

    Attributes:
        groups: The group of each held-out image by number.
        samples: Number of samples.
        size: Number of images in each set of a comparison for likeness.
        pairs: The pairs of images that are compared for variety, by the end of the names of the figures.
        rounds: The divisions.
        seed: The seed of the choices.
    """

    groups: Int64[Tensor, " m"]
    samples: int
    size: int
    pairs: dict[str, Pairs]
    rounds: list[Round]
    seed: int

    @property
    def held_out(self) -> Int64[Tensor, " k"]:
        """The held-out images that are looked at, by number, in their order. The others count by their distances."""
        return _union([*self.pairs[FLOOR], *(part for one in self.rounds for part in (one.reference, one.other))])

    @property
    def reconstructed(self) -> Int64[Tensor, " k"]:
        """The same of the reconstructions, of each kind."""
        paired = [part for end, pair in self.pairs.items() if end not in (SAMPLES, FLOOR) for part in pair]
        return _union([*paired, *(one.other for one in self.rounds)])


def plan_judging(
    samples: int,
    groups: Sequence[str] | int,
    *,
    shape: Sequence[int],
    reconstructions: Iterable[str] = (),
    seed: int = 0,
) -> Plan:
    """Draw what is compared; see `judge_samples`.

    Args:
        samples: Number of samples.
        groups: The group of each held-out image; or their number, if each of them is a group.
        shape: Shape of an image, `(c, *space)`.
        reconstructions: Ends of the names of the figures of each kind of reconstructions.
        seed: Seed of all random choices.

    Raises:
        ValueError: If there are too few images, or they are too small.
    """
    members = _numbered(groups)
    size = _compared(samples, members)
    generator = torch.Generator().manual_seed(seed)
    sides = (SAMPLES, FLOOR, *reconstructions)
    counts = {end: samples if end == SAMPLES else len(members) for end in sides}
    pairs = {end: draw_pairs(counts[end], generator=generator) for end in sides}
    rounds = []
    for _ in range(ROUNDS):
        reference, other = _halves(members, size=size, generator=generator)
        drawn = torch.randperm(samples, generator=generator)[:size]
        states = {}
        for end in (FLOOR, SAMPLES, *reconstructions):
            states[end] = generator.get_state()
            pass_over((size, *shape), generator=generator)
        rounds.append(Round(reference, other, drawn, states))
    return Plan(groups=members, samples=samples, size=size, pairs=pairs, rounds=rounds, seed=seed)


def _halves(
    groups: Int64[Tensor, " n"], *, size: int, generator: torch.Generator
) -> tuple[Int64[Tensor, " size"], Int64[Tensor, " size"]]:
    """Draw two sets of rows, which share a group only if there are too few rows for sets without."""
    place = torch.randperm(int(groups.max()) + 1, generator=generator)[groups]
    order = place.argsort(stable=True)
    halves = list(order.tensor_split(2))
    last, following = groups[order[len(halves[0]) - 1]], groups[order[len(halves[0])]]
    if last == following:
        smaller = min((0, 1), key=lambda half: int((groups[halves[half]] == last).sum()))
        others = halves[smaller][groups[halves[smaller]] != last]
        halves[smaller] = others if len(others) >= size else halves[smaller]
    first, second = (half[torch.randperm(len(half), generator=generator)[:size]] for half in halves)
    return first, second


def _numbered(groups: Sequence[str] | int) -> Int64[Tensor, " m"]:
    if isinstance(groups, int):
        return torch.arange(groups)
    return torch.from_numpy(np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1])


def _compared(samples: int, groups: Int64[Tensor, " m"]) -> int:
    """Return the size of the sets to compare: what two halves without a common group can always have, at best."""
    held_out = len(groups)
    if samples < FEWEST or held_out < 2 * FEWEST:
        raise ValueError(
            f"expected at least {FEWEST} samples and {2 * FEWEST} held-out images to judge samples, "
            f"got {samples} and {held_out}"
        )
    apart = held_out // 2 - int(groups.bincount().max()) // 2
    return min(samples, max(FEWEST, apart))


def _union(parts: Sequence[Int64[Tensor, " _"]]) -> Int64[Tensor, " k"]:
    return torch.cat(list(parts)).unique()
