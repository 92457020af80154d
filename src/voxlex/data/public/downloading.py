"""Download a file over HTTP so that what has arrived is never lost; pooch checks it, and has no such downloader."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from voxlex.errors import DataError

Bytes = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes in all."""

_CHUNK = 1 << 16  # of an answer that breaks off, less than this is lost


class ResumingDownloader:
    """A downloader for `pooch.retrieve` that goes on with a partial file, in this attempt or after days.

    The rest is asked for with a range (RFC 9110, section 14), on condition that the file on the server is still the
    same (`If-Range`); a server that cannot do that sends all of it again.
    """

    def __init__(self, part: Path, *, progress: Bytes | None = None, attempts: int = 5, wait_s: float = 2.0) -> None:
        self.part = part
        self.progress = progress
        self.attempts = attempts
        self.wait_s = wait_s

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download `url`, and put it in the place of `output_file` when it is whole.

        Raises:
            DataError: The server refuses, or cannot be reached. The partial file stays.
        """
        for attempt in range(1, self.attempts + 1):
            before = self._arrived()
            try:
                self._go_on(url)
                break
            except OSError as cause:
                problem = _describe(cause, url)
                if problem is None:  # of this machine: a full disk, say
                    raise
                lost = self._arrived() <= before and attempt > 1
                if not problem.passing or lost or attempt == self.attempts:
                    if not self._arrived():
                        self.part.unlink(missing_ok=True)
                        self._tag_file().unlink(missing_ok=True)
                    raise DataError(f"{problem.text}{self._consolation()}") from cause
                time.sleep(self.wait_s)
        self.part.replace(output_file)
        self._tag_file().unlink(missing_ok=True)

    def _go_on(self, url: str) -> None:
        from pooch import HTTPDownloader

        tag = self._tag_file().read_text(encoding="utf-8") if self._tag_file().exists() else ""
        with self.part.open("ab") as file:
            if not tag:  # nothing tells whether the file on the server is the one that was begun
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
        return f"; {arrived / 1e6:.0f} MB have arrived, and the same command goes on from there" if arrived else ""


class WebPageError(OSError):
    """A web page came where a file was asked for."""


class _Answer:
    """The partial file as pooch sees it, put right by the head of the server's answer before the body is written."""

    def __init__(self, file: BinaryIO, *, start: int, progress: Bytes | None, tag_file: Path) -> None:
        self.file = file
        self.start = start
        self.progress = progress
        self.tag_file = tag_file
        self.total = 0

    def begin(self, response: Any, *_: object, **__: object) -> None:
        """Read the head of an answer (a hook of requests; redirections come by, too)."""
        if response.status_code not in (200, 206):
            if response.status_code == 416:  # the part is longer than the file: begin anew
                self.file.truncate(0)
                self.tag_file.unlink(missing_ok=True)
            return
        if "text/html" in response.headers.get("Content-Type", ""):
            raise WebPageError  # a page to log in, say: what has arrived of the file must not make way for it
        length = int(response.headers.get("Content-Length") or 0)
        if response.status_code == 200:
            self.file.truncate(0)
            self.start = 0
        elif _range_start(response) != self.start:
            self.file.truncate(0)
            raise ConnectionResetError("the server sent another range")
        self.total = self.start + length if length else 0
        # A weak tag does not promise equal bytes.
        strong = response.headers.get("ETag", "W/")
        tag = response.headers.get("Last-Modified", "") if strong.startswith("W/") else strong
        self.tag_file.write_text(tag, encoding="utf-8")

    def write(self, chunk: bytes) -> None:
        """Add to the file."""
        self.file.write(chunk)
        if self.progress is not None:
            self.progress(self.file.tell(), self.total)

    def flush(self) -> None:
        """Do nothing; the file is closed in a moment."""


class _Problem:
    def __init__(self, text: str, *, passing: bool) -> None:
        self.text = text
        self.passing = passing


def _describe(cause: OSError, url: str) -> _Problem | None:
    """Tell what went wrong with the network, and whether it may pass; None if it was not the network."""
    response = getattr(cause, "response", None)
    if response is not None:
        status = response.status_code
        text = f"{url}: the server answers {status} {response.reason}"
        return _Problem(text, passing=status >= 500 or status in (408, 416, 429))
    if isinstance(cause, WebPageError):
        text = f"{url}: a web page came in place of the file; does this network ask for a login, or has the set moved?"
        return _Problem(text, passing=False)
    if hasattr(cause, "request") or isinstance(cause, ConnectionError | TimeoutError):
        host = urlsplit(url).netloc
        return _Problem(f"{url}: no connection to {host}, or it broke off; is this machine online?", passing=True)
    return None


def _range_start(response: Any) -> int:
    with suppress(AttributeError, ValueError):
        return int(re.match(r"bytes (\d+)-", response.headers.get("Content-Range", "")).group(1))  # type: ignore[union-attr]
    return -1
