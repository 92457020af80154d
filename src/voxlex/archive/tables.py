"""Probability tables of codes, and the coder that uses them: integers throughout, so that any machine reads them.

Each codebook of each level has tables of its own, a `Component`. The code of a cell is coded given codes that a decoder
knows already: neighbours of the same codebook that come before the cell in raster order, the code of the codebook
before it in the same cell, and the code of the coarser level at the same place. `kernels` says how.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from math import prod

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from voxlex.archive import kernels
from voxlex.archive.compiling import Kernel, compiled
from voxlex.codes import CodeLayout
from voxlex.errors import CodesError

Grid = tuple[int, ...]
Array = np.ndarray

PLACE_FEATURES = 6
"""Features of a cell beside the vectors of its neighbours: its place along three axes, and three differences."""

_FLAT = ((0, 0, -2), (0, 0, -1), (0, -1, 0), (0, -2, 0), (0, -1, -1), (0, -1, 1))
"""Steps from a cell to the neighbours that are known: left by two and by one, up by one and by two, and diagonally."""

_DEEP = ((-1, 0, 0), (-1, 0, 1), (-1, 1, 0))
"""Steps into the plane before, for volumes."""

_PAIRS = ((1, 4), (2, 4), (2, 5))
"""Pairs of neighbours whose differences tell edges from even regions."""

_LARGEST_DEPTH = 24
_DTYPES = {
    "embedding": np.int8,
    "place": np.int32,
    "base": np.int16,
    "trees": np.int64,
    "normals": np.int8,
    "thresholds": np.int64,
    "shifts": np.int64,
    "deltas": np.int8,
    "weights": np.int32,
}


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


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of all codebooks of all levels.

    Attributes:
        levels: For each level, coarsest first, the tables of its codebooks.
        spatial_dims: Axes of the grids, 2 or 3.
        model: Fingerprint of the decoder of the codes.
        content: The tables as stored.
    """

    levels: tuple[tuple[Component, ...], ...]
    spatial_dims: int
    model: str
    content: bytes

    @classmethod
    def of(cls, levels: Sequence[Sequence[Component]], *, spatial_dims: int, model: str) -> "Tables":
        """Put tables together."""
        about = {"spatial_dims": spatial_dims, "codebooks": [len(level) for level in levels], "model": model}
        arrays = {
            f"{i}.{j}.{field.name}": np.ascontiguousarray(getattr(component, field.name))
            for i, level in enumerate(levels)
            for j, component in enumerate(level)
            for field in fields(Component)
        }
        # A single entry, because the library writes several in any order.
        content = save(arrays, {"voxlex.tables": json.dumps(about, sort_keys=True)})
        return cls(tuple(tuple(level) for level in levels), spatial_dims, model, content)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Tables":
        """Read tables as stored, and check that they fit together.

        Raises:
            CodesError: If they are damaged.
        """
        try:
            length = int.from_bytes(content[:8], "little")
            about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["voxlex.tables"])
            arrays = load(content)
            counts, dims = [int(count) for count in about["codebooks"]], int(about["spatial_dims"])
            levels = tuple(
                tuple(
                    Component(
                        **{
                            name: arrays[f"{i}.{j}.{name}"].astype(kind, casting="no", copy=False)
                            for name, kind in _DTYPES.items()
                        }
                    )
                    for j in range(count)
                )
                for i, count in enumerate(counts)
            )
            tables = cls(levels, dims, str(about["model"]), content)
            tables._check()
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, IndexError) as cause:
            raise CodesError(f"tables: expected tables of voxlex, got something else: {cause}") from cause
        return tables

    def _check(self) -> None:
        if self.spatial_dims not in (2, 3) or not self.levels or not all(self.levels):
            raise ValueError("expected tables of pictures or volumes")
        lengths = {component.embedding.shape[1] for level in self.levels for component in level}
        if len(lengths) != 1:
            raise ValueError("expected vectors of one length")
        for i, level in enumerate(self.levels):
            for j, component in enumerate(level):
                component.check(features=len(self.sights(i, j)) * component.embedding.shape[1] + PLACE_FEATURES)

    @property
    def fingerprint(self) -> str:
        """A hash of the tables."""
        return hashlib.blake2b(self.content, digest_size=16).hexdigest()

    def fits(self, layouts: Sequence[CodeLayout]) -> bool:
        """Return whether these are tables for codes of these layouts, whatever their grids."""
        own = [[component.num_embeddings for component in level] for level in self.levels]
        return own == [[layout.num_embeddings] * layout.num_codebooks for layout in layouts] and all(
            len(layout.grid) == self.spatial_dims for layout in layouts
        )

    def sights(self, level: int, codebook: int) -> list[tuple[int, int, tuple[int, int, int]]]:
        """Return the level, the codebook and the steps of each code that a code is given, in the order of features."""
        return sights(level, codebook, spatial_dims=self.spatial_dims)

    def encode(self, codes: Sequence[Array]) -> list[list[bytes]]:
        """Encode the codes of the images of one scan.

        Args:
            codes: For each level, codes `(n, q, *grid)`. Later codebooks than those may be left out.

        Returns:
            For each level, the bytes of each codebook.
        """
        grids = [tuple(level.shape[2:]) for level in codes]
        planes = Planes.of(self, grids, images=len(codes[0]), codebooks=[level.shape[1] for level in codes])
        for i, level in enumerate(codes):
            for j in range(level.shape[1]):
                planes.codes[:, planes.span(i, j)] = level[:, j].reshape(len(level), -1)
        return [[planes.encode(i, j) for j in range(level.shape[1])] for i, level in enumerate(codes)]

    def decode(self, streams: Sequence[Sequence[bytes]], grids: Sequence[Grid], *, images: int) -> list[Array]:
        """Decode what `encode` returns; the inverse.

        Args:
            streams: For each level, coarsest first, the bytes of each codebook. Later levels, and later codebooks
                of the last level, may be left out.
            grids: The grid of each level.
            images: Number of images of the scan.

        Raises:
            CodesError: If the bytes are damaged, where that can be seen.
        """
        planes = Planes.of(self, grids, images=images, codebooks=[len(level) for level in streams])
        for i, level in enumerate(streams):
            for j, stream in enumerate(level):
                planes.decode(i, j, stream)
        return [
            np.stack([planes.codes[:, planes.span(i, j)] for j in range(len(level))], axis=1)
            .reshape(images, len(level), *grids[i])
            .astype(np.int64)
            for i, level in enumerate(streams)
        ]


def sights(level: int, codebook: int, *, spatial_dims: int) -> list[tuple[int, int, tuple[int, int, int]]]:
    """Return the level, the codebook and the steps of each code that a code is given, in the order of features."""
    steps = _FLAT + (_DEEP if spatial_dims == 3 else ())
    seen = [(level, codebook, step) for step in steps]
    if codebook:
        seen.append((level, codebook - 1, (0, 0, 0)))
    if level:
        seen.append((level - 1, 0, (0, 0, 0)))
    return seen


@dataclass(frozen=True, eq=False)
class Planes:
    """The codes of the images of one scan, plane after plane, and the way through them.

    Attributes:
        tables: The tables.
        grids: The grid of each level, `(d, h, w)`.
        first: For each level and codebook, where its codes begin among those of an image.
        codes: The codes of each image, int32.
    """

    tables: Tables
    grids: list[tuple[int, int, int]]
    first: list[list[int]]
    codes: Array

    @classmethod
    def of(cls, tables: Tables, grids: Sequence[Grid], *, images: int, codebooks: Sequence[int]) -> "Planes":
        """Make room for codes."""
        deep = [(*[1] * (3 - len(grid)), *grid) for grid in grids]
        first, total = [], 0
        for grid, count in zip(deep, codebooks, strict=False):
            first.append([total + j * prod(grid) for j in range(count)])
            total += count * prod(grid)
        return cls(tables, deep, first, np.zeros((images, total), np.int32))  # type: ignore[arg-type]

    def span(self, level: int, codebook: int) -> slice:
        """Return where the codes of a codebook lie."""
        start = self.first[level][codebook]
        return slice(start, start + prod(self.grids[level]))

    def surroundings(self, level: int, codebook: int) -> tuple[Array, Array, Array]:
        """Return `sizes`, `looks` and `embedding` as kernels take them."""
        looks: list[int] = []
        vectors: dict[tuple[int, int], int] = {}
        parts: list[Array] = []
        for i, j, step in self.tables.sights(level, codebook):
            component = self.tables.levels[i][j]
            if (i, j) not in vectors:
                vectors[i, j] = sum(part.size for part in parts)
                parts.append(component.embedding.reshape(-1))
            looks += [self.first[i][j], *self.grids[i], *step, vectors[i, j], component.num_embeddings]
        length = self.tables.levels[level][codebook].embedding.shape[1]
        pairs = [end for pair in _PAIRS for end in pair]
        sizes = np.array([*self.grids[level], len(looks) // 9, length, *pairs], np.int64)
        return sizes, np.array(looks, np.int64), np.concatenate(parts)

    def encode(self, level: int, codebook: int) -> bytes:
        """Return the bytes of one codebook."""
        state = np.zeros(5, np.int64)
        depth = self.tables.levels[level][codebook].depth
        # No decision takes more than 16 bits.
        stream = np.zeros(2 * depth * len(self.codes) * prod(self.grids[level]) + 8, np.uint8)
        functions()["start_writing"](state)
        self._code(level, codebook, state, stream, decoding=False)
        length = functions()["finish_writing"](state, stream)
        return stream[:length].tobytes()

    def decode(self, level: int, codebook: int, content: bytes) -> None:
        """Read the codes of one codebook.

        Raises:
            CodesError: If they are damaged, where that can be seen.
        """
        state = np.zeros(5, np.int64)
        stream = np.frombuffer(content or b"\0", np.uint8)
        functions()["start_reading"](state, stream, 0, len(content))
        if self._code(level, codebook, state, stream, decoding=True):
            raise CodesError("codes: expected codes of these tables, got bytes that do not decode to codes")

    def _code(self, level: int, codebook: int, state: Array, stream: Array, *, decoding: bool) -> int:
        sizes, looks, embedding = self.surroundings(level, codebook)
        component = self.tables.levels[level][codebook]
        own = np.zeros(len(component.trees), np.int64)
        x = np.zeros(sizes[3] * sizes[4] + PLACE_FEATURES, np.int32)
        ignored = int(component.trees[0, 0]) - component.sets.bit_length() + 1
        bad = 0
        for codes in self.codes:
            bad |= functions()["code_plane"](
                int(decoding),
                codes,
                self.first[level][codebook],
                sizes,
                looks,
                embedding,
                x,
                component.tree_places,
                component.normals,
                component.thresholds,
                own,
                component.sets,
                ignored,
                component.depth,
                component.place,
                component.code_at,
                component.base,
                component.table_places,
                component.deltas,
                component.weights,
                chances(),
                state,
                stream,
            )
        return bad
