"""The coders of codes: by tables, and by the prior of the run."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from voxlex.archive.component import Array, Component, chances, functions
from voxlex.archive.kernels import STATE
from voxlex.archive.tables import Tables
from voxlex.errors import ArchiveError, CodesError
from voxlex.priors import MaskedPrior, Prior
from voxlex.priors.draw import Cells, Draw
from voxlex.rows import in_order

STEPS = 8
"""Logits are rounded to so many steps in a unit."""

SEGMENT = 256
"""Codes that share an offset of the rounding."""

BATCH = 32
"""Images that the prior goes through at a time."""

_THREADS = 2
_OFFSETS = 256
_CHECK = 4  # bytes of the checksum of the codes of an image
_LARGEST = 64  # logits are clipped to eight units


class Coded(NamedTuple):
    """The codes of a scan as bytes; see `Record.streams` and `Record.side`."""

    coder: str
    images: int
    streams: tuple[tuple[bytes, ...], ...]
    side: bytes = b""


Grids = Sequence[tuple[int, ...]]
Scan = Sequence[Array]
"""The codes `(n, q, *grid)` of each level, coarsest first, of the n images of a scan."""


@runtime_checkable
class Coder(Protocol):
    """Encodes and decodes the codes of scans."""

    def encode(self, scans: Sequence[Scan]) -> list[Coded]:
        """Encode the codes of scans, each for itself."""

    def decode(self, coded: Sequence[Coded], grids: Sequence[Grids], *, levels: int | None = None) -> list[Scan]:
        """Decode the codes of scans.

        Args:
            coded: What `encode` returned.
            grids: The grids of each scan, one for each level.
            levels: Number of levels to decode, from the coarsest; all by default.

        Raises:
            CodesError: If the bytes are damaged, where that can be seen.
        """


class TableCoder:
    """Codes by tables, exactly on every machine."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def encode(self, scans: Sequence[Scan]) -> list[Coded]:
        """Encode the codes of scans, each for itself."""
        return [
            Coded("table", len(scan[0]), tuple(tuple(level) for level in self.tables.encode(scan))) for scan in scans
        ]

    def decode(self, coded: Sequence[Coded], grids: Sequence[Grids], *, levels: int | None = None) -> list[Scan]:
        """Decode the codes of scans, in threads."""

        def decoded(one: tuple[Coded, Grids]) -> Scan:
            own, there = one
            return self.tables.decode(own.streams[:levels], there[:levels], images=own.images)

        pairs = list(zip(coded, grids, strict=True))
        if len(pairs) == 1:
            return [decoded(pairs[0])]
        functions()  # compiled once, before threads need it
        return list(in_order(decoded, pairs, threads=_THREADS, ahead=len(pairs)))


class PriorCoder:
    """Codes by the conditionals of a prior, in the very way that it draws samples.

    Each code is a sequence of decisions in the tree of codes that the tables have. The logit of a decision is rounded
    to steps of 1/8 before it becomes a probability, so that the rounding errors of another batch size or machine
    usually change nothing. They would where a logit lies next to the border between two steps. So the borders are
    shifted, for each `SEGMENT` codes by an offset of its own, out of 256, that keeps all of their logits as far from a
    border as can be. A checksum of the codes tells if a reader's conditionals still differ.

    Args:
        prior: The prior, in eval mode.
        tables: Tables, whose trees of codes are used.
        batch: Images that the prior goes through at a time.

    Raises:
        ArchiveError: If this prior cannot code: it has no order of its own.
    """

    def __init__(self, prior: Prior, tables: Tables, *, batch: int = BATCH) -> None:
        for level in prior.levels:
            if isinstance(level, MaskedPrior) and level.order != "halton":
                raise ArchiveError(
                    "coder: expected a prior that draws codes in a fixed order, got a masked prior with the order "
                    f"{level.order!r}; use --coder table"
                )
        self.prior = prior
        self.tables = tables
        self.batch = batch

    def encode(self, scans: Sequence[Scan]) -> list[Coded]:
        """Encode the codes of scans, each image for itself."""
        coded = []
        images = [np.concatenate(level) for level in zip(*scans, strict=True)]
        parts = [part for rows in self._batches(len(images[0])) for part in self._encode([own[rows] for own in images])]
        for scan in scans:
            own, parts = parts[: len(scan[0])], parts[len(scan[0]) :]
            streams = zip(*(streams for streams, _ in own), strict=True)
            coded.append(Coded("prior", len(own), tuple(streams), b"".join(side for _, side in own)))
        return coded

    def decode(self, coded: Sequence[Coded], grids: Sequence[Grids], *, levels: int | None = None) -> list[Scan]:
        """Decode the codes of scans.

        Raises:
            CodesError: If the bytes are damaged, or the prior computes other probabilities here than where they were
                written.
        """
        expected = [layout.grid for layout in self.prior.layouts]
        length = sum(self._segments) + _CHECK
        for own, there in zip(coded, grids, strict=True):
            fits = len(own.side) == length * own.images and all(len(level) == own.images for level in own.streams)
            if list(there) != expected or len(own.streams) != len(expected) or not fits:
                raise CodesError("codes: expected codes of this prior, got others: damaged")
        streams = [part for own in coded for part in zip(*own.streams, strict=True)]
        sides = [own.side[start : start + length] for own in coded for start in range(0, len(own.side), length)]
        parts = [self._decode(streams[rows], sides[rows], levels) for rows in self._batches(len(streams))]
        ends = np.cumsum([own.images for own in coded])[:-1]
        whole = [np.split(np.concatenate(level), ends) for level in zip(*parts, strict=True)]
        return list(zip(*whole, strict=True))

    @property
    def _segments(self) -> list[int]:
        """Number of offsets of an image at each level."""
        return [-(-layout.codes_per_image // SEGMENT) for layout in self.prior.layouts]

    def _batches(self, count: int) -> list[slice]:
        return [slice(start, start + self.batch) for start in range(0, count, self.batch)]

    def _encode(self, codes: Scan) -> list[tuple[tuple[bytes, ...], bytes]]:
        """Return the streams of each level, and what else is needed, of each image."""
        context: tuple[Tensor, ...] = ()
        written: list[list[tuple[bytes, bytes]]] = []
        for level, own, components in zip(self.prior.levels, codes, self.tables.levels, strict=True):
            known = torch.from_numpy(own).long().to(self.prior.device)
            draw = _EncodingDraw(known, components)
            level.draw_with(draw, len(own), context=context)
            context = (*context, known)
            written.append(draw.written())
        return [
            (
                tuple(stream for _, stream in parts),
                b"".join(offsets for offsets, _ in parts) + _check([own[image] for own in codes]),
            )
            for image, parts in enumerate(zip(*written, strict=True))
        ]

    def _decode(self, streams: Sequence[tuple[bytes, ...]], sides: Sequence[bytes], levels: int | None) -> list[Array]:
        found: list[Tensor] = []
        place = 0
        used = self.prior.levels[:levels]
        for number, (level, segments) in enumerate(zip(used, self._segments, strict=False)):
            offsets = np.array([list(side[place : place + segments]) for side in sides], np.int64)
            place += segments
            draw = _DecodingDraw([own[number] for own in streams], offsets, self.tables.levels[number])
            found.append(level.draw_with(draw, len(streams), context=tuple(found)))
        codes = [level.cpu().numpy() for level in found]
        for image, side in enumerate(sides if len(used) == len(self.prior.levels) else ()):
            if _check([level[image] for level in codes]) != side[place:]:
                raise CodesError(
                    "codes: expected the probabilities of the machine that wrote the archive, got others: the prior "
                    "does not compute the same here; read it on a machine like that one, with its version of torch"
                )
        return codes


def _check(codes: Sequence[Array]) -> bytes:
    return zlib.crc32(b"".join(level.astype("<i4").tobytes() for level in codes)).to_bytes(_CHECK, "little")


def _tree_sums(logits: Float[Tensor, "n *m k"], component: Component) -> list[Float[Tensor, "r _"]]:
    """Return the weight of each node, for each depth from below the root to the leaves, as sums of positive numbers."""
    flat = logits.reshape(-1, logits.shape[-1]).float()
    weights = (flat - flat.amax(dim=1, keepdim=True)).exp()
    leaves = 1 << component.depth
    place = torch.from_numpy(component.place).to(logits.device).long()
    if leaves == weights.shape[1]:
        sums = [weights.index_select(1, place.argsort())]
    else:
        sums = [weights.new_zeros(len(weights), leaves).index_copy_(1, place, weights)]
    while sums[-1].shape[1] > 2:
        sums.append(sums[-1].unflatten(1, (-1, 2)).sum(dim=2))
    return sums[::-1]


def _logit(sums: Float[Tensor, "r _"], node: Int64[Tensor, " r"]) -> Array:
    """Return the logit of going right at a node, in steps, not rounded."""
    pair = sums.gather(1, torch.stack([2 * node, 2 * node + 1], dim=1)).double().clamp(min=1e-300).log()
    return ((pair[:, 1] - pair[:, 0]) * STEPS).cpu().numpy()


def _chances(logits: Array, offsets: Array) -> Array:
    """Return the probability of a 1 for logits in steps: they are shifted, rounded down and clipped."""
    steps = np.clip(np.floor(logits + offsets / _OFFSETS), -_LARGEST, _LARGEST - 1).astype(np.int64)
    unit = 256 // STEPS
    middle = unit * steps + unit // 2 - offsets * unit // _OFFSETS
    return chances()[np.clip(middle, -2048, 2047) + 2048]


def _offset(logits: Array) -> int:
    """Return the offset with which logits lie furthest from all borders between steps."""
    borders = np.sort(-logits[np.abs(logits) < _LARGEST + 2] % 1.0)
    if not len(borders):
        return 0
    offsets = np.arange(_OFFSETS) / _OFFSETS
    place = np.searchsorted(borders, offsets)
    around = np.concatenate([borders[-1:] - 1, borders, borders[:1] + 1])
    return int(np.minimum(offsets - around[place], around[place + 1] - offsets).argmax())


class _EncodingDraw(Draw):
    """Gives the codes that are known, and notes the logit and the way of each decision."""

    def __init__(self, known: Int64[Tensor, "n q *grid"], components: Sequence[Component]) -> None:
        self.known = known.flatten(2)
        self.components = components
        self.logits: list[Array] = []
        self.bits: list[Array] = []

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Return the known codes."""
        own = self.known[:, codebook]
        codes = own[:, cells] if isinstance(cells, int) else own.gather(1, cells)
        component = self.components[codebook]
        depth = component.depth
        leaves = torch.from_numpy(component.place).to(codes.device).long()[codes.reshape(-1)]
        sums = _tree_sums(logits, component)
        noted = np.zeros((len(leaves), depth))
        for d in range(depth):
            noted[:, d] = _logit(sums[d], leaves >> (depth - d))
        ways = leaves.cpu().numpy()[:, None] >> np.arange(depth)[::-1] & 1
        self.logits.append(noted.reshape(len(codes), -1, depth))
        self.bits.append(ways.astype(np.uint8).reshape(noted.shape).reshape(len(codes), -1, depth))
        return codes

    def written(self) -> list[tuple[bytes, bytes]]:
        """Return the offsets and the bytes of each image."""
        logits, bits = (np.concatenate(parts, axis=1) for parts in (self.logits, self.bits))
        return [_written(*own) for own in zip(logits, bits, strict=True)]


def _written(logits: Float[np.ndarray, "m d"], bits: UInt8[np.ndarray, "m d"]) -> tuple[bytes, bytes]:
    offsets = np.array([_offset(logits[start : start + SEGMENT]) for start in range(0, len(logits), SEGMENT)], np.uint8)
    own = np.repeat(offsets, SEGMENT)[: len(logits), None].astype(np.int64)
    state, stream = np.zeros(STATE, np.int64), np.zeros(2 * bits.size + 8, np.uint8)
    ways, likely = np.ascontiguousarray(bits.reshape(-1)), np.ascontiguousarray(_chances(logits, own).reshape(-1))
    functions()["start_writing"](state)
    functions()["code_bits"](0, ways, likely, len(ways), state, stream)
    return offsets.tobytes(), stream[: functions()["finish_writing"](state, stream)].tobytes()


class _DecodingDraw(Draw):
    """Reads the codes from bytes."""

    def __init__(self, streams: Sequence[bytes], offsets: Array, components: Sequence[Component]) -> None:
        self.components = components
        self.offsets = offsets
        self.number = 0
        self.stream = np.frombuffer(b"".join(streams) + b"\0", np.uint8)
        self.states = np.zeros((len(streams), STATE), np.int64)
        ends = np.cumsum([0, *map(len, streams)])
        for state, first, end in zip(self.states, ends, ends[1:], strict=False):
            functions()["start_reading"](state, self.stream, first, end)

    def __call__(self, logits: Float[Tensor, "n *m k"], *, codebook: int, cells: Cells) -> Int64[Tensor, "n *m"]:
        """Return the codes that the bytes hold."""
        component = self.components[codebook]
        n = len(logits)
        sums = [level.view(n, -1, level.shape[1]) for level in _tree_sums(logits, component)]
        codes = torch.zeros(logits.shape[:-1], dtype=torch.int64, device=logits.device)
        for place, cell in enumerate(codes.view(n, -1).unbind(dim=1)):
            node = np.zeros(n, np.int64)
            offsets = self.offsets[:, self.number // SEGMENT]
            for d in range(component.depth):
                logit = _logit(sums[d][:, place], torch.from_numpy(node).to(logits.device))
                bits = np.zeros(n, np.uint8)
                functions()["code_many"](1, bits, _chances(logit, offsets), n, self.states, self.stream)
                node = 2 * node + bits
            # A leaf without a code, which only damaged bytes lead to, fails the checksum of the codes.
            cell.copy_(torch.from_numpy(component.code_at[node].astype(np.int64).clip(min=0)))
            self.number += 1
        return codes
