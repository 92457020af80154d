"""Download a public set, check it and unpack it; an interrupted download goes on where it stopped.

Beside the data lies `fetched.json`, with the terms that were accepted and the SHA-256 of each archive. Whoever has that
file and fetches the set again gets the same bytes, or an error.
"""

import json
import logging
import shutil
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from voxlex.data.public.catalogue import Archive, PublicSet
from voxlex.data.public.downloading import Bytes, ResumingDownloader
from voxlex.errors import DataError
from voxlex.files import atomic_file

RECORD_FILE = "fetched.json"
WORKPLACE = ".fetching"
"""Hidden folder of partial downloads, beside the data; gone when all has arrived."""


class FetchRecord:
    """What is known of the archives in a folder, as JSON in `fetched.json`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / RECORD_FILE
        self.content: dict[str, Any] = {"accepted": [], "archives": {}}
        if self.file.exists():
            try:
                read = json.loads(self.file.read_text(encoding="utf-8"))
                self.content = {"accepted": list(read["accepted"]), "archives": dict(read["archives"])}
            except (OSError, ValueError, KeyError, TypeError) as cause:
                raise DataError(f"{self.file}: damaged; remove it to fetch anew without comparing") from cause

    def accepted(self, public: PublicSet) -> bool:
        """Tell whether its terms were accepted before."""
        return public.licence_url in self.content["accepted"]

    def accept(self, public: PublicSet) -> None:
        """Note that its terms are accepted."""
        if not self.accepted(public):
            self.content["accepted"].append(public.licence_url)
            self._write()

    def hash_of(self, archive: Archive) -> str | None:
        """Return the hash that the archive had before, as pooch writes it."""
        seen = self.content["archives"].get(archive.name)
        return f"sha256:{seen['sha256']}" if seen else None

    def unpacked(self, archive: Archive) -> bool:
        """Tell whether all that the archive held lies there."""
        seen = self.content["archives"].get(archive.name)
        return bool(seen) and all((self.file.parent / name).exists() for name in seen["holds"])

    def note(self, archive: Archive, *, sha256: str, holds: list[str]) -> None:
        """Note an archive that was unpacked."""
        self.content["archives"][archive.name] = {"url": archive.url, "sha256": sha256, "holds": holds}
        self._write()

    def _write(self) -> None:
        with atomic_file(self.file) as building:
            building.write_text(json.dumps(self.content, indent=2) + "\n", encoding="utf-8")


def fetch_set(public: PublicSet, *, folder: str | Path, progress: Bytes | None = None, wait_s: float = 2.0) -> Path:
    """Bring a set into a folder; does nothing where it is already, and goes on where it was interrupted.

    Args:
        public: The set; its terms are taken as accepted.
        folder: Where its files go; other sets may lie there too.
        progress: Called with the bytes of the whole set that are there, and those in all.
        wait_s: Seconds between attempts when a connection breaks.

    Returns:
        The folder.

    Raises:
        DataError: It cannot be downloaded, is not what it should be, or cannot be stored. A bad archive is removed, and
            a partial one is kept.
    """
    folder = Path(folder)
    try:
        (folder / WORKPLACE).mkdir(parents=True, exist_ok=True)
        record = FetchRecord(folder)
        record.accept(public)
        before = 0
        for archive in public.archives:
            if not record.unpacked(archive):
                report = _within(progress, before=before, share=archive.size, total=public.size)
                _fetch(archive, folder, record, progress=report, wait_s=wait_s)
            before += archive.size
    except OSError as cause:
        raise DataError(f"{folder}: cannot be written: {cause.strerror or cause}") from cause
    finally:
        with suppress(OSError):  # it holds what has arrived, or nothing
            (folder / WORKPLACE).rmdir()
    return folder


def _fetch(archive: Archive, folder: Path, record: FetchRecord, *, progress: Bytes | None, wait_s: float) -> None:
    workplace = folder / WORKPLACE
    part = workplace / f"{archive.name}.part"
    _check_space(archive, folder, arrived=part.stat().st_size if part.exists() else 0)
    file = _retrieve(archive, workplace, record, ResumingDownloader(part, progress=progress, wait_s=wait_s))
    from pooch import file_hash

    sha256 = file_hash(str(file))
    holds = _unpack(file, folder)
    record.note(archive, sha256=sha256, holds=holds)
    file.unlink()


def _retrieve(archive: Archive, workplace: Path, record: FetchRecord, downloader: ResumingDownloader) -> Path:
    """Download and check an archive; pooch removes one whose hash is not the known one."""
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)  # it would print each step, and the hash where none was known
    known = record.hash_of(archive) or archive.checksum
    try:
        return Path(pooch.retrieve(archive.url, known, fname=archive.name, path=workplace, downloader=downloader))
    except ValueError as cause:
        source = RECORD_FILE if record.hash_of(archive) else "the catalogue"
        raise DataError(
            f"{archive.url}: what has arrived is not what was expected: its hash is not the {known} of {source}"
        ) from cause


def _check_space(archive: Archive, folder: Path, *, arrived: int) -> None:
    needed = archive.size - arrived
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"{folder}: {archive.name} needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")


def _unpack(file: Path, folder: Path) -> list[str]:
    """Unpack an archive aside, then move what it holds into the folder; return the names at its top."""
    if not hasattr(tarfile, "data_filter"):
        raise DataError("this Python cannot unpack archives safely; 3.11.4 or later can")
    aside = folder / WORKPLACE / "unpacking"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(aside, filter="data")
        names = sorted(path.name for path in aside.iterdir())
        for name in names:
            _move(aside / name, folder / name)
        return names
    except tarfile.FilterError as cause:
        file.unlink()
        raise DataError(f"{file.name}: an unsafe archive, nothing of it was used: {cause}") from cause
    except (tarfile.TarError, EOFError, zlib.error) as cause:
        file.unlink()
        raise DataError(f"{file.name}: what has arrived is not a whole tar archive: {cause}") from cause
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _move(child, target / child.name)
    else:
        source.replace(target)


def _within(progress: Bytes | None, *, before: int, share: int, total: int) -> Bytes | None:
    """Report the bytes of an archive as those of the set; an archive may be larger than the catalogue knows."""
    if progress is None:
        return None
    return lambda done, _: progress(before + min(done, share), total)
