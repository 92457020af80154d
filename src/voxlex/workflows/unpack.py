"""Unpack scans from an archive, list them, and verify that they can be unpacked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import torch

from voxlex.archive.archive import Archive
from voxlex.archive.coders import BATCH, Scan
from voxlex.archive.record import Record
from voxlex.codes import from_levels
from voxlex.errors import ArchiveError
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS, ORIGIN_EXTRAS
from voxlex.outputs import check_folder
from voxlex.progress import Phases, silent
from voxlex.workflows.results import output_folder
from voxlex.workflows.scan_writer import ScanWriter


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
        decoded: Number of records whose codes and images were decoded.
        failed: For each record that is damaged or cannot be decoded, why.
    """

    scans: int
    decoded: int = 0
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
    _ = archive.vocabulary  # refuse before anything is written
    check_folder(out, overwrite=overwrite, reads=[archive.content.file.path])
    sound, failed = _readable(archive, numbers)
    tables = [_rows(archive.record(number)) for number in sound]
    if not tables:
        raise ArchiveError(failed[0] if failed else f"{archive.content.file.path}: expected scans, got none")
    output_folder(out, overwrite=overwrite)
    writer = ScanWriter(out, pd.concat(tables, ignore_index=True), original_size=True)
    with phases("unpacking") as progress:
        for done, (_, images) in enumerate(_images(archive, sound, failed, preview), start=1):
            if images is None:
                writer.skip()
            else:
                for image in images:
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
        lines.append(Listed(record.name, record.shape, entry.size, 8 * entry.size / record.pixels, record.coder))
    return lines, failed


def verify(archive: Archive, *, phases: Phases = silent) -> Verified:
    """Check every checksum, and decode what can be decoded: codes if there are tables, images if there is a model."""
    result = Verified(len(archive))
    sound, result.failed = _readable(archive, range(len(archive)))
    for part in ("tables", "model"):
        try:
            archive.content.read_tables() if part == "tables" else archive.content.read_model()
        except ArchiveError as cause:
            result.failed.append(str(cause))
    with phases("verifying") as progress:
        if archive.has_model:
            for done, (_, images) in enumerate(_images(archive, sound, result.failed, False), start=1):
                result.decoded += images is not None and bool(torch.isfinite(images).all())
                progress(done, len(sound))
        elif archive.has_tables:
            for done, number in enumerate(sound, start=1):
                record = archive.record(number)
                if record.coder == "table":
                    result.decoded += _codes_of(archive, [record], result.failed)[0] is not None
                progress(done, len(sound))
    return result


def _readable(archive: Archive, numbers: Sequence[int]) -> tuple[list[int], list[str]]:
    sound, failed = [], []
    for number in numbers:
        try:
            archive.record(number)
            sound.append(number)
        except ArchiveError as cause:
            failed.append(str(cause))
    return sound, failed


def _rows(record: Record) -> pd.DataFrame:
    facts = {**ORIGIN_DEFAULTS, **ORIGIN_EXTRAS, **record.facts}
    places = record.slices or [0]
    rows = {
        column: pd.Series([facts[column]] * len(places), dtype=object) for column in (*ORIGIN_COLUMNS, *ORIGIN_EXTRAS)
    }
    return pd.DataFrame({"path": record.name, "slice": places, **rows})


def _images(
    archive: Archive, numbers: Sequence[int], failed: list[str], preview: bool
) -> Iterator[tuple[int, torch.Tensor | None]]:
    """Yield the images of each record, a few records decoded at a time; None for what cannot be decoded."""
    for start in range(0, len(numbers), BATCH):
        some = numbers[start : start + BATCH]
        records = [archive.record(number) for number in some]
        if preview:
            yield from ((number, archive.preview(number)) for number in some)
            continue
        scans = _codes_of(archive, records, failed)
        yield from zip(some, _decoded(archive, scans), strict=True)


def _codes_of(archive: Archive, records: Sequence[Record], failed: list[str]) -> list[Scan | None]:
    """Return the codes of records; if some cannot be decoded, note why."""
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
