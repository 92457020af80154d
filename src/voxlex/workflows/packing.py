"""Make the records of an archive: encode the images of scans, and code what comes of it."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby, repeat
from typing import Any

import numpy as np
import pandas as pd

from voxlex.archive.coders import BATCH, Coded, PriorCoder, Scan, TableCoder
from voxlex.archive.record import NOTHING, SAMPLES, Record
from voxlex.archive.tables import Tables
from voxlex.codes import levels_of
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import CodesError, DataError
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_EXTRAS
from voxlex.models.batches import encoded_batch, pixel_batches
from voxlex.names import printable
from voxlex.progress import Progress
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.originals import Originals, Residual

_IMAGES = 8
"""Images that the network encodes at a time: what it computes with then stays in the cache of a processor."""

_AHEAD = 4
"""Groups of scans that wait to be coded, or for the file."""

_Codes = tuple[np.ndarray, ...]
"""The codes of an image at each level."""

_Encoded = tuple[pd.DataFrame, Scan]
"""The rows of a scan in the manifest, and its codes."""


@dataclass(frozen=True, eq=False)
class Coding:
    """Codes the codes of scans.

    Attributes:
        tables: The tables of the coder; None to leave out the codes.
        prior: The coder of the prior, if that is to code.
    """

    tables: Tables | None
    prior: PriorCoder | None = None

    def __call__(self, scans: Sequence[Scan]) -> list[Coded]:
        """Return the codes of scans as bytes."""
        coded: list[Coded | None] = [None] * len(scans)
        if self.prior is not None:
            coded = self._by_prior(scans)
        return [self._by_tables(scan) if found is None else found for scan, found in zip(scans, coded, strict=True)]

    def _by_tables(self, scan: Scan) -> Coded:
        if self.tables is None:
            return Coded("table", len(scan[0]), tuple(() for _ in scan))
        return TableCoder(self.tables).encode([scan])[0]

    def _by_prior(self, scans: Sequence[Scan]) -> list[Coded | None]:
        """Encode scans by the prior, and decode them in a batch of another size; None where other codes come out."""
        assert self.prior is not None
        grids = [layout.grid for layout in self.prior.prior.layouts]
        fits = [[level.shape[2:] for level in scan] == grids for scan in scans]
        own = [scan for scan, fit in zip(scans, fits, strict=True) if fit]
        if not own:
            return [None] * len(scans)
        coded = self.prior.encode(own)
        other = PriorCoder(self.prior.prior, self.prior.tables, batch=BATCH + 1)
        repeated = [*coded[:1], *coded]
        try:
            decoded = other.decode(repeated, [grids] * len(repeated))[1:]
            sound = [_equal(one, other) for one, other in zip(own, decoded, strict=True)]
        except CodesError:  # find out which
            sound = [self._is_sound(scan, part, grids) for scan, part in zip(own, coded, strict=True)]
        found = iter([part if good else None for part, good in zip(coded, sound, strict=True)])
        return [next(found) if fit else None for fit in fits]

    def _is_sound(self, scan: Scan, coded: Coded, grids: Sequence[tuple[int, ...]]) -> bool:
        assert self.prior is not None
        try:
            return _equal(scan, self.prior.decode([coded], [grids])[0])
        except CodesError:
            return False


@dataclass(frozen=True, eq=False)
class Packer:
    """Encodes images, and makes records of scans.

    Attributes:
        vocabulary: The vocabulary.
        coding: What codes the codes.
        kept: Number of codebooks of each level that are kept.
        originals: The scan files, if records are to hold their samples.
        workers: Who encodes and codes.
    """

    vocabulary: Vocabulary
    coding: Coding
    kept: Sequence[int]
    originals: Originals | None
    workers: Workers = HERE

    def records(self, dataset: PreparedDataset, progress: Progress) -> Iterator[Record]:
        """Yield a record for each scan, in the order of the data set."""
        if self.originals is None:
            yield from self._records(dataset, repeat(None), progress)
            return
        names = [path for path, _ in groupby(dataset.manifest["path"])]
        # Closed, so that no thread goes on after an error.
        with closing(self.originals.coded(names, workers=self.workers)) as residuals:
            yield from self._records(dataset, residuals, progress)

    def _records(
        self, dataset: PreparedDataset, residuals: Iterator[Residual | None], progress: Progress
    ) -> Iterator[Record]:
        waiting: deque[list[_Encoded]] = deque()  # groups whose codes are being coded

        def scans() -> Iterator[list[Scan]]:
            for group in self._groups(dataset, progress):
                waiting.append(group)
                yield [scan for _, scan in group]

        # Here, a thread codes by tables, while the network encodes the next groups.
        threads = 0 if self.coding.prior else 1
        for coded in self.workers.map(self.coding, scans(), threads=threads, ahead=_AHEAD):
            for (rows, scan), own in zip(waiting.popleft(), coded, strict=True):
                yield _record(rows, scan, own, next(residuals))

    def _groups(self, dataset: PreparedDataset, progress: Progress) -> Iterator[list[_Encoded]]:
        """Yield scans with their codes, as many as make up a batch of images."""
        group: list[_Encoded] = []
        for done, rows, scan in self._scans(dataset):
            group.append((rows, scan))
            if sum(len(own) for own, _ in group) >= BATCH:
                yield group
                group = []
            progress(done, len(dataset))
        yield group

    def _scans(self, dataset: PreparedDataset) -> Iterator[tuple[int, pd.DataFrame, Scan]]:
        """Yield the number of images so far, the rows of a scan in the manifest, and its codes."""
        ends = np.cumsum([len(list(rows)) for _, rows in groupby(dataset.manifest["path"])]).tolist()
        waiting: list[_Codes] = []
        start = done = 0
        for codes in self._encoded(dataset):
            waiting += codes
            done += len(codes)
            while ends and ends[0] <= done:
                end = ends.pop(0)
                own, waiting = waiting[: end - start], waiting[end - start :]
                yield end, dataset.manifest.iloc[start:end], [np.concatenate(level) for level in zip(*own, strict=True)]
                start = end

    def _encoded(self, dataset: PreparedDataset) -> Iterator[list[_Codes]]:
        """Yield the codes of the images of each batch."""
        if self.coding.tables is None:
            grids = [layout.grid for layout in self.vocabulary.autoencoder.layouts(dataset.images.shape[2:])]
            for _ in range(len(dataset)):
                yield [tuple(np.zeros((1, 0, *grid), np.int64) for grid in grids)]
            return
        encode = partial(_encoded, self.vocabulary, tuple(self.kept))
        yield from self.workers.map(encode, pixel_batches(dataset, at_most=_IMAGES))


def _encoded(vocabulary: Vocabulary, kept: Sequence[int], pixels: np.ndarray) -> list[_Codes]:
    """Return the codes of each image of a batch."""
    codes = levels_of(encoded_batch(vocabulary, pixels))
    levels = [level[:, :count].numpy() for level, count in zip(codes, kept, strict=True)]
    return [tuple(level[row : row + 1] for level in levels) for row in range(len(pixels))]


def _equal(one: Scan, other: Scan) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _record(rows: pd.DataFrame, scan: Scan, coded: Coded, residual: Residual | None) -> Record:
    """Return the record of a scan.

    Raises:
        DataError: If its samples have another shape than the scan that was prepared.
    """
    first = rows.iloc[0]
    columns = [column for column in (*ORIGIN_COLUMNS, *ORIGIN_EXTRAS) if column in rows.columns]
    facts: dict[str, Any] = {column: first[column] for column in columns}
    sliced = facts["view"] not in ("picture", "cube")
    record = Record(
        name=printable(first["path"]),
        facts=facts,
        slices=[int(index) for index in rows["slice"]] if sliced else [],
        grids=tuple(tuple(level.shape[2:]) for level in scan),
        coder=coded.coder,
        streams=coded.streams,
        side=coded.side,
        residual_kind=NOTHING if residual is None else SAMPLES,
        residual=b"" if residual is None else residual.coded,
    )
    if residual is not None and residual.shape != record.shape:
        raise DataError(
            f"{residual.place}: expected samples of shape {record.shape}, as it was prepared, got {residual.shape}: it "
            "has changed; pack again"
        )
    return record
