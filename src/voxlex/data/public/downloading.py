"""Download a file over HTTP without losing a partial download. The downloader is for use with pooch."""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from voxlex.errors import DataError
from voxlex.files import move, remove
from voxlex.names import printable
from voxlex.progress import Progress

_CHUNK = 1 << 16  # bytes; if an answer breaks off, less than this is lost


class ResumingDownloader:
    """A downloader for `pooch.retrieve` that resumes a partial file, in the same call or days later.

    It requests the rest with a range (RFC 9110, section 14), on condition that the file on the server has not changed
    (`If-Range`). A server that does not support this sends the whole file again.

    Args:
        part: Path of the partial file.
        at_most: Largest number of bytes to accept.
        progress: Function that is told about every chunk, in bytes.
        attempts: Largest number of attempts if the connection breaks.
        wait_s: Seconds to wait between attempts.
    """

    def __init__(
        self,
        part: Path,
        *,
        at_most: int | None = None,
        progress: Progress | None = None,
        attempts: int = 5,
        wait_s: float = 2.0,
    ) -> None:
        self.part = part
        self.at_most = at_most
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
        try:
            self._request(url, whole=False)
        except RestartError:  # what has arrived stays until something else arrives
            self._request(url, whole=True)

    def _request(self, url: str, *, whole: bool) -> None:
        from pooch import HTTPDownloader

        tag = self._tag_file().read_text(encoding="utf-8") if self._tag_file().exists() else ""
        with self.part.open("ab") as file:
            if not tag:  # without a tag, the file on the server may have changed
                file.truncate(0)
            start = file.seek(0, 2)
            answer = _Answer(file, start=start, at_most=self.at_most, progress=self.progress, tag_file=self._tag_file())
            headers = {"Accept-Encoding": "identity", "User-Agent": "voxlex"}
            if start and not whole:
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


class RestartError(OSError):
    """The server cannot send the rest of a file, so all of it is needed."""


class RefusedError(OSError):
    """What the server sends is not wanted."""


class _Answer:
    """The partial file that pooch writes to. It is adjusted to the headers of the answer before the body is written."""

    def __init__(
        self, file: BinaryIO, *, start: int, at_most: int | None, progress: Progress | None, tag_file: Path
    ) -> None:
        self.file = file
        self.start = start
        self.at_most = at_most
        self.progress = progress
        self.tag_file = tag_file
        self.total = 0

    def begin(self, response: Any, *_: object, **__: object) -> None:
        """Read the headers of an answer. This is a hook of requests, which also calls it for redirections."""
        if response.status_code not in (200, 206):
            _refuse_insecure(response)
            if response.status_code == 416 and "Range" in response.request.headers:  # the part is longer than the file
                raise RestartError
            return
        if "text/html" in response.headers.get("Content-Type", ""):
            raise WebPageError  # such as a login page, which must not overwrite the partial file
        length = _number(response.headers.get("Content-Length"))
        self._check_size((0 if response.status_code == 200 else self.start) + length)
        if response.status_code == 200:
            self.file.truncate(0)
            self.start = 0
        elif _range_start(response) != self.start:
            raise RestartError
        self.total = self.start + length if length else 0
        # A weak tag does not guarantee equal bytes.
        strong = response.headers.get("ETag", "W/")
        tag = response.headers.get("Last-Modified", "") if strong.startswith("W/") else strong
        self.tag_file.write_text(tag if tag.isascii() else "", encoding="utf-8")

    def _check_size(self, size: int) -> None:
        if self.at_most is not None and size > self.at_most:
            raise RefusedError(f"expected at most {self.at_most / 1e6:,.0f} MB, got more")

    def write(self, chunk: bytes) -> None:
        """Append a chunk to the file."""
        self._check_size(self.file.tell() + len(chunk))
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
    if isinstance(cause, RestartError):
        return _Problem(f"{url}: the server sends neither the rest of the file nor all of it", passing=False)
    if isinstance(cause, RefusedError):
        return _Problem(f"{url}: {cause}", passing=False)
    if type(cause).__name__ == "SSLError":
        host = urlsplit(url).netloc
        text = f"{url}: the certificate of {host} is not known to this machine, or has expired, so nothing was fetched"
        return _Problem(text, passing=False)
    if hasattr(cause, "request") or isinstance(cause, ConnectionError | TimeoutError):
        host = urlsplit(url).netloc
        return _Problem(f"{url}: no connection to {host}, or it broke off; is this machine online?", passing=True)
    return None


def _refuse_insecure(response: Any) -> None:
    """Do not follow a redirection from an encrypted connection to one that anybody on the way can change."""
    target = response.headers.get("Location", "")
    if urlsplit(response.url).scheme == "https" and urlsplit(target).scheme not in ("", "https"):
        raise RefusedError(f"expected an encrypted connection, got a redirection to {printable(target[:200])}")


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _range_start(response: Any) -> int:
    with suppress(AttributeError, ValueError):
        return int(re.match(r"bytes (\d+)-", response.headers.get("Content-Range", "")).group(1))  # type: ignore[union-attr]
    return -1
