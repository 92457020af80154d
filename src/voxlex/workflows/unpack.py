"""Unpack scans from an archive, list them, and verify that they can be unpacked."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from itertools import repeat
from pathlib import Path
from threading import Event

import pandas as pd
import torch

from voxlex.archive.archive import Archive
from voxlex.archive.coders import BATCH, Scan
from voxlex.archive.record import NOTHING, Record
from voxlex.codes import from_levels
from voxlex.errors import ArchiveError
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS, ORIGIN_EXTRAS
from voxlex.names import printable
from voxlex.outputs import check_folder
from voxlex.progress import Phases, silent
from voxlex.rows import go_on, in_order
from voxlex.scans.samples import Samples
from voxlex.workflows.results import output_folder
from voxlex.workflows.scan_writer import ScanWriter

_MOST_BYTES = 2**26
"""Bytes of the records that are in memory at once, if one has not more."""

_THREADS = 4
"""Most scans that are decoded at once, since each of them is in memory."""


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked.

    Attributes:
        count: Number of files that were written.
        notes: Sentences that a user should read.
        failed: For each scan that could not be unpacked, why.
    """

    count: int
    notes: list[str]
    failed: list[str]


@dataclass(frozen=True)
class Listed:
    """A scan of an archive: its name and shape, the bytes of its record, bits per pixel, and its coder."""

    name: str
    shape: tuple[int, ...]
    bytes: int
    rate_bpp: float
    coder: str


@dataclass
class Verified:
    """What was verified.

    Attributes:
        scans: Number of records.
        whole: Number of those in which nothing is wrong.
        decoded: Number of records by what was decoded of them: "samples", which then have the checksum of those that
            were packed, "codes", or "images"; and "unread" where nothing is there that decodes the codes.
        failed: Why records, or what they share, are damaged or cannot be decoded.
    """

    scans: int
    whole: int = 0
    decoded: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


def unpack(
    archive: Archive,
    *,
    out: Path,
    only: str | None = None,
    preview: bool = False,
    overwrite: bool = False,
    phases: Phases = silent,
) -> Unpacked:
    """Write the scans of an archive: pictures as PNG in their original size, volumes as NIfTI on their own grid.

    Exact scans need no model, and keep their format where it can hold them; see `suffix_of_samples`.

    Args:
        archive: The archive, with its model.
        out: Folder for the scans.
        only: Pattern of the names of scans, such as "patient-1/*"; all by default.
        preview: Decode the coarsest level alone.
        overwrite: Write into a folder that is not empty.
        phases: Receives the progress of the work.

    Raises:
        ArchiveError: If no name fits the pattern, or there is no model.
        DataError: If the folder cannot be used or written.
    """
    numbers = [number for number, name in enumerate(archive.names) if only is None or fnmatch(name, only)]
    if not numbers and only is not None:
        raise ArchiveError(f"--only: expected a pattern that fits a name in the archive, got {only!r}")
    found = _described(archive, numbers, preview)
    sound, failed = found.sound, found.failed
    if len(found.suffixes) < len(sound):
        _ = archive.vocabulary  # refuse before anything is written
    check_folder(out, overwrite=overwrite, reads=[archive.content.file.path])
    if not sound:
        raise ArchiveError(failed[0] if failed else f"{archive.content.file.path}: expected scans, got none")
    output_folder(out, overwrite=overwrite)
    table = pd.concat(found.tables, ignore_index=True)
    writer = ScanWriter(out, table, original_size=True, suffixes=found.suffixes)
    with phases("unpacking") as progress:
        for done, restored in enumerate(_restored(archive, sound, failed, preview), start=1):
            if restored is None:
                writer.skip()
            elif isinstance(restored, Samples):
                writer.add_samples(restored)
            else:
                for image in restored:
                    writer.add(image)
            progress(done, len(sound))
    written = writer.report()
    return Unpacked(written.count, [*archive.damage, *written.notes], failed)


def list_scans(archive: Archive) -> tuple[list[Listed], list[str]]:
    """Return a line about each scan, and why others cannot be read."""
    lines, failed = [], []
    for number, entry in enumerate(archive.entries):
        try:
            record = archive.record(number)
        except ArchiveError as cause:
            failed.append(str(cause))
            continue
        coder = "lossless" if record.is_exact else record.coder
        lines.append(Listed(record.name, record.shape, entry.size, 8 * entry.size / record.pixels, coder))
    return lines, failed


def verify(archive: Archive, *, phases: Phases = silent) -> Verified:
    """Check every checksum, and decode what can be decoded.

    Samples of exact scans are decoded and compared with their checksum, codes are if there are tables, and images if
    there is a model.
    """
    result = Verified(len(archive))
    sound, result.failed = _readable(archive, range(len(archive)))
    for part in ("tables", "model"):
        try:
            archive.content.read_tables() if part == "tables" else archive.content.read_model()
        except ArchiveError as cause:
            result.failed.append(str(cause))
    with phases("verifying") as progress:
        for done, found in enumerate(_checked(archive, sound, result.failed), start=1):
            result.whole += all(found.values())
            result.decoded.update(what for what, good in found.items() if good)
            progress(done, len(sound))
    return result


def _checked(archive: Archive, numbers: Sequence[int], failed: list[str]) -> Iterator[dict[str, bool]]:
    """Yield for each record whether its parts could be decoded; see `Verified.decoded`."""
    for records in _batches(archive, numbers):
        coded = [record for record in records if _can_be_read(archive, record)]
        scans = _codes_of(archive, coded, failed)
        images = _decoded(archive, scans) if archive.has_model else repeat(None)
        exact = _exact(archive, records, failed)
        decoded = zip(scans, images, strict=False)
        for record in records:
            found = {"samples": next(exact) is not None} if record.is_exact else {}
            if _can_be_read(archive, record):
                codes, image = next(decoded)
                found["codes"] = codes is not None
                if image is not None:
                    found["images"] = bool(torch.isfinite(image).all())
                    if not found["images"]:
                        failed.append(f"{archive.content.file.path}: {record.name}: expected finite images, got others")
            elif record.has_codes:
                found["unread"] = True
            yield found


def _can_be_read(archive: Archive, record: Record) -> bool:
    """Return whether there is what reads the codes of a record, if it holds any."""
    return record.has_codes and (archive.has_model or (archive.has_tables and record.coder == "table"))


def _batches(archive: Archive, numbers: Sequence[int]) -> Iterator[list[Record]]:
    """Yield records, a few at a time, as they fit into memory."""
    batch: list[Record] = []
    size = 0
    for number in numbers:
        batch.append(archive.record(number))
        size += archive.entries[number].size
        if len(batch) == BATCH or size > _MOST_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _readable(archive: Archive, numbers: Sequence[int]) -> tuple[list[int], list[str]]:
    sound, failed = [], []
    for number in numbers:
        try:
            archive.record(number)
            sound.append(number)
        except ArchiveError as cause:
            failed.append(str(cause))
    return sound, failed


@dataclass
class _Described:
    """The records that can be restored, their rows in a table, the suffixes of exact copies, and what is not whole."""

    sound: list[int] = field(default_factory=list)
    tables: list[pd.DataFrame] = field(default_factory=list)
    suffixes: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def _described(archive: Archive, numbers: Sequence[int], preview: bool) -> _Described:
    whole, failed = _readable(archive, numbers)
    found = _Described(failed=failed)
    for number in whole:
        record = archive.record(number)
        try:
            if record.residual_kind != NOTHING and not preview:
                from voxlex.archive.exact import suffix_of_record

                with archive.content.naming(record.name):
                    found.suffixes[printable(record.name)] = suffix_of_record(record)
        except ArchiveError as cause:
            failed.append(str(cause))
            continue
        found.sound.append(number)
        found.tables.append(_rows(record))
    return found


def _rows(record: Record) -> pd.DataFrame:
    facts = {**ORIGIN_DEFAULTS, **ORIGIN_EXTRAS, **record.facts}
    places = record.slices or [0]
    rows = {
        column: pd.Series([facts[column]] * len(places), dtype=object) for column in (*ORIGIN_COLUMNS, *ORIGIN_EXTRAS)
    }
    return pd.DataFrame({"path": record.name, "slice": places, **rows})


def _restored(
    archive: Archive, numbers: Sequence[int], failed: list[str], preview: bool
) -> Iterator[torch.Tensor | Samples | None]:
    """Yield the samples or the images of each record, a few records decoded at a time; None for what cannot be."""
    if preview:
        yield from (archive.preview(number) for number in numbers)
        return

    def read(records: list[Record]) -> tuple[list[Record], list[Scan | None]]:
        return records, _codes_of(archive, [record for record in records if not record.is_exact], failed)

    # Codes are read while the network decodes those before.
    for records, scans in in_order(read, _batches(archive, numbers), threads=1, ahead=1):
        exact, images = _exact(archive, records, failed), _decoded(archive, scans)
        for record in records:
            yield next(exact) if record.is_exact else next(images)


def _exact(archive: Archive, records: Sequence[Record], failed: list[str]) -> Iterator[Samples | None]:
    """Yield the samples of those records that have some, decoded in threads; if some cannot be decoded, note why."""
    from voxlex.archive.exact import samples_of  # compilers take a second to import, which a list does not need

    stopped = Event()

    def attempt(record: Record) -> Samples | ArchiveError:
        try:
            return samples_of(record, before_slice=partial(go_on, stopped))
        except ArchiveError as cause:
            return cause

    threads = min(_THREADS, os.cpu_count() or 1)
    exact = [record for record in records if record.is_exact]
    results = in_order(attempt, exact, threads=threads, ahead=2 * threads, stopped=stopped)
    for record, found in zip(exact, results, strict=True):
        if isinstance(found, ArchiveError):
            failed.append(f"{archive.content.file.path}: {record.name}: {found}")
        yield None if isinstance(found, ArchiveError) else found


def _codes_of(archive: Archive, records: Sequence[Record], failed: list[str]) -> list[Scan | None]:
    """Return the codes of records; if some cannot be decoded, note why."""
    if not records:
        return []
    try:
        return list(archive.codes_of(records))
    except ArchiveError as cause:
        if len(records) == 1:
            failed.append(f"{archive.content.file.path}: {records[0].name}: {cause}")
            return [None]
        return [scan for record in records for scan in _codes_of(archive, [record], failed)]


def _decoded(archive: Archive, scans: Sequence[Scan | None]) -> Iterator[torch.Tensor | None]:
    """Yield the images of each scan; single images of the same grids are decoded together."""
    alike = {tuple(level.shape for level in scan) for scan in scans if scan is not None}
    if len(alike) == 1 and None not in scans and next(iter(alike))[0][0] == 1:
        whole = [torch.cat([torch.from_numpy(level) for level in levels]) for levels in zip(*scans, strict=True)]
        yield from (image[None] for image in archive.decode(from_levels(whole)))
        return
    for scan in scans:
        yield None if scan is None else archive.decode(from_levels([torch.from_numpy(level) for level in scan]))
