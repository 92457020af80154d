"""The tables of one codebook: trees of contexts, a table for each decision and tree, and the weights of a mixture."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from voxlex.archive import kernels
from voxlex.archive.compiling import Kernel, compiled

Array = np.ndarray

_LARGEST_DEPTH = 24


@cache
def functions() -> Mapping[str, Kernel]:
    """Return the kernels as machine code, which is made when it is first needed."""
    every = ("start_reading", "start_writing", "code_bit", "finish_writing", "look", "find_contexts", "find_all")
    return compiled(*[getattr(kernels, name) for name in (*every, "code_plane", "code_bits", "code_many")])


@cache
def chances() -> Array:
    """Return the probability of a 1, in 65,536ths, for each logit from -2048 to 2047 in units of 1/256.

    They are computed in integers: floating-point exponentials differ between machines.
    """
    one = 1 << 80
    step, term, n = one, one, 0
    while term:  # e^(1/256), by its series
        n += 1
        term //= 256 * n
        step += term
    power, powers = one, []
    for _ in range(2049):
        powers.append(power)
        power = power * step >> 80
    up = [(65536 * p + (one + p) // 2) // (one + p) for p in powers]  # 1 / (1 + e^-x), rounded
    values = [65536 - up[-logit] if logit < 0 else up[logit] for logit in range(-2048, 2048)]
    return np.clip(values, 1, 65535).astype(np.int32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Component:
    """The tables of one codebook; see `kernels.code_plane`.

    Attributes:
        embedding: A vector for each code, and one for what lies outside the grid.
        place: The leaf of each code among 2^D.
        base: For each node of the tree of codes, numbered from 1 at the root, the logit of going right.
        trees: For each tree of contexts its depth, its first feature, and the one after its last.
        normals: The normals of all trees, node after node, numbered from 1; node 0 is not used.
        thresholds: The thresholds of all trees, in the same order.
        shifts: For each decision and tree, how many of the last bits of a context are ignored.
        deltas: For each decision and tree, for each node and context, what is added to the base, in units of 1/16.
        weights: For each decision and set of weights, the weight of the base and of each tree, in 65,536ths.
    """

    embedding: Array
    place: Array
    base: Array
    trees: Array
    normals: Array
    thresholds: Array
    shifts: Array
    deltas: Array
    weights: Array

    @property
    def num_embeddings(self) -> int:
        """Size K of the codebook."""
        return len(self.place)

    @property
    def depth(self) -> int:
        """Decisions of a code, D."""
        return len(self.weights)

    @property
    def sets(self) -> int:
        """Number of sets of weights, a power of two."""
        return self.weights.shape[1] if self.weights.ndim == 3 else 0

    @cached_property
    def code_at(self) -> Array:
        """The code of each leaf; -1 for a leaf without one."""
        codes = np.full(1 << self.depth, -1, np.int32)
        codes[self.place] = np.arange(len(self.place), dtype=np.int32)
        return codes

    @cached_property
    def commonest(self) -> int:
        """The code at the end of the likelier way at each node."""
        node = 1
        for _ in range(self.depth):
            node = 2 * node + int(self.base[node] > 0)
        return max(int(self.code_at[node - (1 << self.depth)]), 0)

    @cached_property
    def tree_places(self) -> Array:
        """What `kernels.find_contexts` takes as `trees`."""
        rows, nodes, numbers = [], 0, 0
        for depth, first, last in self.trees.tolist():
            rows += [depth, nodes, numbers, first, last]
            nodes += 1 << depth
            numbers += (1 << depth) * (last - first)
        return np.array([len(self.trees), *rows], np.int64)

    @cached_property
    def table_places(self) -> Array:
        """What `kernels.code_plane` takes as `tables`."""
        sizes = [
            1 << (d + int(depth) - int(shift))
            for d, row in enumerate(self.shifts)
            for depth, shift in zip(self.trees[:, 0], row, strict=True)
        ]
        first = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0)
        return np.stack([first, self.shifts.reshape(-1)], axis=1).astype(np.int64).reshape(-1)

    def check(self, *, features: int) -> None:
        """Refuse tables that do not fit together, before compiled code goes through them.

        Raises:
            ValueError: If they do not.
        """
        trees, depth = len(self.trees), self.depth
        depths = self.trees[:, 0] if self.trees.ndim == 2 and self.trees.shape[1:] == (3,) else np.array([-1])
        if self.place.ndim != 1 or not 0 <= depth <= _LARGEST_DEPTH or not 1 <= self.num_embeddings <= 1 << depth:
            raise ValueError("expected a leaf for each code")
        if not trees:
            raise ValueError("expected a tree of contexts or more")
        if self.sets not in (1 << bits for bits in range(int(depths[0]) + 1)):
            raise ValueError("expected sets of weights, as many as a power of two")
        if depths.min(initial=0) < 0 or depths.max(initial=0) > _LARGEST_DEPTH:
            raise ValueError("expected trees of contexts of another depth")
        if len(np.unique(self.place)) < len(self.place) or self.place.min() < 0 or self.place.max() >= 1 << depth:
            raise ValueError("expected every code at a leaf of its own")
        first, last = self.trees[:, 1], self.trees[:, 2]
        if first.min(initial=0) < 0 or (first >= last).any() or last.max(initial=0) > features:
            raise ValueError("expected trees of contexts that look at features that there are")
        if self.shifts.shape != (depth, trees) or (self.shifts < 0).any() or (self.shifts > depths).any():
            raise ValueError("expected a number of bits for each decision and tree")
        sizes = {
            "embedding": (self.num_embeddings + 1) * self.embedding.shape[-1],
            "base": 1 << depth,
            "weights": depth * self.sets * (trees + 1),
            "thresholds": sum(1 << int(d) for d in depths),
            "normals": sum((1 << int(d)) * int(b - a) for d, a, b in self.trees),
            "deltas": sum(
                1 << (d + int(depths[t]) - int(self.shifts[d, t])) for d in range(depth) for t in range(trees)
            ),
        }
        for name, size in sizes.items():
            if getattr(self, name).size != size:
                raise ValueError(f"{name}: expected {size} numbers, got {getattr(self, name).size}")
