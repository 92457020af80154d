"""Probability tables of codes, and the coder that uses them: integers throughout, so that any machine reads them.

Each codebook of each level has tables of its own, a `Component`. The code of a cell is coded given codes that a decoder
knows already: neighbours of the same codebook that come before the cell in raster order, the code of the codebook
before it in the same cell, and the code of the coarser level at the same place. `kernels` says how.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from voxlex.archive.component import Array, Component, chances, functions
from voxlex.codes import CodeLayout
from voxlex.errors import CodesError

Grid = tuple[int, ...]

PLACE_FEATURES = 6
"""Features of a cell beside the vectors of its neighbours: its place along three axes, and three differences."""

_FLAT = ((0, 0, -2), (0, 0, -1), (0, -1, 0), (0, -2, 0), (0, -1, -1), (0, -1, 1))
"""Steps from a cell to the neighbours that are known: left by two and by one, up by one and by two, and diagonally."""

_DEEP = ((-1, 0, 0), (-1, 0, 1), (-1, 1, 0))
"""Steps into the plane before, for volumes."""

_PAIRS = ((1, 4), (2, 4), (2, 5))
"""Pairs of neighbours whose differences tell edges from even regions."""

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

        Raises:
            CodesError: If a code is out of range.
        """
        for level, components in zip(codes, self.levels, strict=True):
            for j in range(level.shape[1]):
                if level[:, j].min() < 0 or level[:, j].max() >= components[j].num_embeddings:
                    raise CodesError(f"codes: expected values in [0, {components[j].num_embeddings}), got others")
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
        fits = len(streams) == len(grids) <= len(self.levels) and all(
            1 <= len(level) <= len(own) and len(grid) == self.spatial_dims
            for level, own, grid in zip(streams, self.levels, grids, strict=False)
        )
        if not fits:
            raise CodesError("codes: expected codes of these tables, got others: damaged")
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
