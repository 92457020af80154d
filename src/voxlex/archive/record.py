"""One record of an archive: the codes of a scan, and all that restores the scan from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, get_args

import numpy as np

from voxlex.archive.format import Cursor, data, text, varint
from voxlex.config.options import Axis
from voxlex.errors import ArchiveError, DataError
from voxlex.images.facts import check_facts, check_slices
from voxlex.images.origin import ORIGIN_DEFAULTS, Origin

VIEWS = ("picture", "cube", *get_args(Axis))
DEPTHS = (8, 16, 32)
CODERS = ("table", "prior")

NOTHING, SAMPLES = 0, 1
"""Kinds of residuals: none, and the samples of the scan themselves; see `exact`."""

_MOST_AXES = 7
_MOST_IMAGES = 2**20
_MOST_CELLS = 2**28


@dataclass(frozen=True, kw_only=True)
class Record:
    """The codes of one scan.

    Attributes:
        name: Path of the scan below its source.
        facts: The columns of `ORIGIN_COLUMNS`, and those of `ORIGIN_EXTRAS` that say something.
        slices: Index of each slice of a volume; empty for other scans.
        grids: The grid of each level.
        coder: "table" or "prior".
        streams: For each level the bytes of each codebook; with the coder "prior", of each image. Levels
            without streams if the scan was packed without codes.
        side: What the coder needs beside them.
        residual_kind: What the residual is, `NOTHING` or `SAMPLES`. Later versions may have others.
        residual: What restores the scan exactly.
    """

    name: str
    facts: Mapping[str, Any]
    slices: Sequence[int] = ()
    grids: tuple[tuple[int, ...], ...]
    coder: str
    streams: tuple[tuple[bytes, ...], ...]
    side: bytes = b""
    residual_kind: int = 0
    residual: bytes = field(default=b"", repr=False)

    @property
    def images(self) -> int:
        """Number of images that the scan consists of."""
        return len(self.slices) or 1

    @property
    def is_exact(self) -> bool:
        """Whether the record restores the scan bit for bit."""
        return self.residual_kind == SAMPLES

    @property
    def has_codes(self) -> bool:
        """Whether the record holds codes."""
        return all(self.streams)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what is restored: a picture, a volume in its file, or the slices that there are."""
        own = (int(self.facts["height"]), int(self.facts["width"]))
        if self.facts["view"] == "picture":
            return own
        stored = tuple(int(side) for side in self.facts["stored_shape"])
        whole = self.is_exact or not self.slices or self.slices == list(range(len(Origin.from_facts(self.facts).stack)))
        return stored if whole else (len(self.slices), *own)

    @property
    def pixels(self) -> int:
        """Pixels or voxels of what is restored."""
        return prod(self.shape)

    def to_bytes(self, *, folders: Sequence[str] = ()) -> bytes:
        """Return the payload of the record's block.

        Args:
            folders: Beginnings of names that are known to a reader.
        """
        parts = [_name_to_bytes(self.name, folders), _facts_to_bytes(self.facts), varint(len(self.slices))]
        if self.slices:
            steps = np.diff([-1, *self.slices]) - 1
            parts.append(bytes([int(steps.any())]))
            parts += [varint(int(step)) for step in steps] if steps.any() else []
        parts.append(bytes([CODERS.index(self.coder)]))
        for grid, streams in zip(self.grids, self.streams, strict=True):
            parts += [varint(side) for side in grid]
            parts += [varint(len(streams)), *map(data, streams)]
        parts.append(data(self.side))
        parts.append(bytes([self.residual_kind]))
        if self.residual_kind:
            parts.append(data(self.residual))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, payload: bytes, *, levels: int, axes: int, folders: Sequence[str] = ()) -> "Record":
        """Read the payload of a record.

        Args:
            payload: The bytes.
            levels: Number of levels of the codes.
            axes: Axes of a grid.
            folders: See `to_bytes`.

        Raises:
            ArchiveError: If they are not a record, or describe what no scan is.
        """
        cursor = Cursor(payload)
        name, facts = _name_from_bytes(cursor, folders), _facts_from_bytes(cursor)
        slices = _slices(cursor)
        number = cursor.byte()
        if number >= len(CODERS):
            raise ArchiveError(
                f"coder: expected {' or '.join(CODERS)}, got number {number}, of a newer version of voxlex"
            )
        grids, streams = [], []
        for _ in range(levels):
            grids.append(tuple(cursor.varint() for _ in range(axes)))
            streams.append(tuple(cursor.data() for _ in range(cursor.varint())))
        side = cursor.data()
        kind = cursor.byte()
        residual = cursor.data() if kind else b""
        cursor.end()
        record = cls(
            name=name,
            facts=facts,
            slices=slices,
            grids=tuple(grids),
            coder=CODERS[number],
            streams=tuple(streams),
            side=side,
            residual_kind=kind,
            residual=residual,
        )
        record._check()
        return record

    def _check(self) -> None:
        try:
            check_facts({**ORIGIN_DEFAULTS, **self.facts})
            check_slices(self.slices)
        except DataError as cause:
            raise ArchiveError(str(cause)) from cause
        sliced = self.facts["view"] in get_args(Axis)
        if sum(prod(grid) for grid in self.grids) * self.images > _MOST_CELLS:
            raise ArchiveError(f"expected up to {_MOST_CELLS} cells, got grids {self.grids} of {self.images} images")
        if sliced != bool(self.slices) or any(min(grid) < 1 for grid in self.grids):
            raise ArchiveError("expected slices of a volume, or one image, got something else")


def _name_to_bytes(name: str, folders: Sequence[str]) -> bytes:
    fits = [place for place, folder in enumerate(folders) if name.startswith(folder)]
    longest = max(fits, key=lambda place: len(folders[place]), default=None)
    if longest is None:
        return varint(0) + text(name)
    return varint(longest + 1) + text(name.removeprefix(folders[longest]))


def _name_from_bytes(cursor: Cursor, folders: Sequence[str]) -> str:
    place = cursor.varint()
    if place > len(folders):
        raise ArchiveError(f"name: expected one of {len(folders)} beginnings, got number {place}")
    return (folders[place - 1] if place else "") + cursor.text()


def _slices(cursor: Cursor) -> list[int]:
    count = cursor.varint()
    if count > _MOST_IMAGES:
        raise ArchiveError(f"expected up to {_MOST_IMAGES} slices, got {count}")
    if not count or not cursor.byte():
        return list(range(count))
    return [int(place) for place in np.cumsum([cursor.varint() + 1 for _ in range(count)]) - 1]


def _facts_to_bytes(facts: Mapping[str, Any]) -> bytes:
    view, depth = VIEWS.index(facts["view"]), DEPTHS.index(int(facts["bit_depth"]))
    low, high = float(facts["intensity_low"]), float(facts["intensity_high"])
    usual = (depth, low, high) == (0, 0.0, 255.0)
    extras = bool(facts.get("unknown")) or isinstance(facts.get("nan_mask"), bytes)
    parts = [bytes([view | depth << 3 | usual << 5 | extras << 6])]
    parts += [varint(int(facts["height"])), varint(int(facts["width"]))]
    if not usual:
        parts.append(_doubles([low, high]))
    if facts["view"] != "picture":
        shape = [int(side) for side in facts["stored_shape"]]
        parts += [
            varint(len(shape)),
            *map(varint, shape),
            _doubles(facts["stored_affine"]),
            text(facts["stored_dtype"]),
        ]
        parts += [_doubles([facts["stored_slope"], facts["stored_intercept"]]), varint(int(facts["stored_space"]))]
    if facts["view"] == "cube":
        parts.append(_doubles([*facts["centre"], facts["spacing_mm"]]))
    if extras:
        mask = facts.get("nan_mask")
        parts += [text(str(facts.get("unknown") or "")), varint(int(facts.get("nan_voxels") or 0))]
        parts.append(data(mask if isinstance(mask, bytes) else b""))
    return b"".join(parts)


def _facts_from_bytes(cursor: Cursor) -> dict[str, Any]:
    flags = cursor.byte()
    view, depth = flags & 7, flags >> 3 & 3
    if view >= len(VIEWS) or depth >= len(DEPTHS) or flags & 128:
        raise ArchiveError("expected a picture, a volume or slices, got something of a newer version of voxlex")
    facts: dict[str, Any] = {**ORIGIN_DEFAULTS, "view": VIEWS[view], "bit_depth": DEPTHS[depth]}
    facts |= {"height": cursor.varint(), "width": cursor.varint()}
    low, high = (0.0, 255.0) if flags & 32 else cursor.doubles(2)
    facts |= {"intensity_low": low, "intensity_high": high}
    if facts["view"] != "picture":
        axes = cursor.varint()
        if axes > _MOST_AXES:
            raise ArchiveError(f"stored_shape: expected up to {_MOST_AXES} axes, got {axes}")
        facts["stored_shape"] = [cursor.varint() for _ in range(axes)]
        facts |= {"stored_affine": cursor.doubles(16), "stored_dtype": cursor.text()}
        facts["stored_slope"], facts["stored_intercept"] = cursor.doubles(2)
        facts["stored_space"] = cursor.varint()
    if facts["view"] == "cube":
        *facts["centre"], facts["spacing_mm"] = cursor.doubles(4)
    if flags & 64:
        unknown, voxels, mask = cursor.text(), cursor.varint(), cursor.data()
        facts |= {"unknown": unknown, "nan_voxels": voxels}
        facts |= {"nan_mask": mask} if mask else {}
    return facts


def _doubles(values: Iterable[float]) -> bytes:
    return np.asarray([float(value) for value in values], "<f8").tobytes()
