"""Download a file over HTTP without losing a partial download. The downloader is for use with pooch."""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from voxlex.errors import DataError
from voxlex.files import move, remove
from voxlex.progress import Progress

_CHUNK = 1 << 16  # bytes; if an answer breaks off, less than this is lost


class ResumingDownloader:
    """A downloader for `pooch.retrieve` that resumes a partial file, in the same call or days later.

    It requests the rest with a range (RFC 9110, section 14), on condition that the file on the server has not changed
    (`If-Range`). A server that does not support this sends the whole file again.

    Args:
        part: Path of the partial file.
        progress: Function that is told about every chunk, in bytes.
        attempts: Largest number of attempts if the connection breaks.
        wait_s: Seconds to wait between attempts.
    """

    def __init__(self, part: Path, *, progress: Progress | None = None, attempts: int = 5, wait_s: float = 2.0) -> None:
        self.part = part
        self.progress = progress
        self.attempts = attempts
        self.wait_s = wait_s

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download `url`, and move it to `output_file` once it is complete.

        Raises:
            DataError: If the server refuses or cannot be reached. The partial file is kept.
        """
        for attempt in range(1, self.attempts + 1):
            before = self._arrived()
            try:
                self._go_on(url)
                break
            except OSError as cause:
                problem = _describe(cause, url)
                if problem is None:  # a problem of this machine, such as a full disk
                    raise
                lost = self._arrived() <= before and attempt > 1
                if not problem.passing or lost or attempt == self.attempts:
                    if not self._arrived():
                        remove(self.part)
                        remove(self._tag_file())
                    raise DataError(f"{problem.text}{self._consolation()}") from cause
                time.sleep(self.wait_s)
        move(self.part, Path(output_file))
        remove(self._tag_file())

    def _go_on(self, url: str) -> None:
        from pooch import HTTPDownloader

        tag = self._tag_file().read_text(encoding="utf-8") if self._tag_file().exists() else ""
        with self.part.open("ab") as file:
            if not tag:  # without a tag, the file on the server may have changed
                file.truncate(0)
            start = file.seek(0, 2)
            answer = _Answer(file, start=start, progress=self.progress, tag_file=self._tag_file())
            headers = {"Accept-Encoding": "identity", "User-Agent": "voxlex"}
            if start:
                headers |= {"Range": f"bytes={start}-", "If-Range": tag}
            download = HTTPDownloader(
                chunk_size=_CHUNK, headers=headers, timeout=(20, 60), hooks={"response": answer.begin}
            )
            download(url, answer, None)
        if answer.total and self._arrived() < answer.total:
            raise ConnectionResetError(f"{self._arrived()} of {answer.total} bytes")

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _tag_file(self) -> Path:
        return self.part.with_name(f"{self.part.name}.tag")

    def _consolation(self) -> str:
        arrived = self._arrived()
        return f"; {arrived / 1e6:.0f} MB have arrived; the same command goes on from there" if arrived else ""


class WebPageError(OSError):
    """The server sent a web page instead of a file."""


class _Answer:
    """The partial file that pooch writes to. It is adjusted to the headers of the answer before the body is written."""

    def __init__(self, file: BinaryIO, *, start: int, progress: Progress | None, tag_file: Path) -> None:
        self.file = file
        self.start = start
        self.progress = progress
        self.tag_file = tag_file
        self.total = 0

    def begin(self, response: Any, *_: object, **__: object) -> None:
        """Read the headers of an answer. This is a hook of requests, which also calls it for redirections."""
        if response.status_code not in (200, 206):
            if response.status_code == 416:  # the part is longer than the file, so start again
                self.file.truncate(0)
                remove(self.tag_file)
            return
        if "text/html" in response.headers.get("Content-Type", ""):
            raise WebPageError  # such as a login page, which must not overwrite the partial file
        length = int(response.headers.get("Content-Length") or 0)
        if response.status_code == 200:
            self.file.truncate(0)
            self.start = 0
        elif _range_start(response) != self.start:
            self.file.truncate(0)
            raise ConnectionResetError("the server sent another range")
        self.total = self.start + length if length else 0
        # A weak tag does not guarantee equal bytes.
        strong = response.headers.get("ETag", "W/")
        tag = response.headers.get("Last-Modified", "") if strong.startswith("W/") else strong
        self.tag_file.write_text(tag, encoding="utf-8")

    def write(self, chunk: bytes) -> None:
        """Append a chunk to the file."""
        self.file.write(chunk)
        if self.progress is not None:
            self.progress(self.file.tell(), self.total)

    def flush(self) -> None:
        """Do nothing, because the file is closed right afterwards."""


class _Problem:
    def __init__(self, text: str, *, passing: bool) -> None:
        self.text = text
        self.passing = passing


def _describe(cause: OSError, url: str) -> _Problem | None:
    """Return what went wrong with the network and whether to try again, or None if it was not the network."""
    response = getattr(cause, "response", None)
    if response is not None:
        status = response.status_code
        text = f"{url}: the server answers {status} {response.reason}"
        return _Problem(text, passing=status >= 500 or status in (408, 416, 429))
    if isinstance(cause, WebPageError):
        text = f"{url}: expected a file, got a web page; does this network ask for a login, or has the set moved?"
        return _Problem(text, passing=False)
    if hasattr(cause, "request") or isinstance(cause, ConnectionError | TimeoutError):
        host = urlsplit(url).netloc
        return _Problem(f"{url}: no connection to {host}, or it broke off; is this machine online?", passing=True)
    return None


def _range_start(response: Any) -> int:
    with suppress(AttributeError, ValueError):
        return int(re.match(r"bytes (\d+)-", response.headers.get("Content-Range", "")).group(1))  # type: ignore[union-attr]
    return -1
