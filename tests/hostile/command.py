"""Runs a command as a bad day would: it must end in time and memory, say one clear line, and leave all else alone."""

import hashlib
import re
import resource
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from voxlex.cli import main

FOREIGN = re.compile(
    r"Traceback|nibabel|\bn?ITK\b|itk::|SimpleITK|GDCM|gdcm|pydicom|\bPIL\b|Pillow|UnidentifiedImage|ImageFileError|"
    r"HeaderDataError|InvalidDicom|DecompressionBomb|pyarrow|Arrow[A-Z]|Errno|zlib|BadGzip|BadZip|struct\.error|"
    r"KeyError|IndexError|TypeError|OverflowError|UnicodeDecode|codec can't|numpy\.|weights_only|not foreseen|"
    r"this is a bug|<built-in|object at 0x"
)
"""Words of other libraries and of Python, which tell a user nothing."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SECONDS, _WAITING = 30, 600
_BYTES = 6 * 2**30
"""Address space that a command may take beyond what the process has; PyTorch itself takes much."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote to the two streams."""

    status: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def run(capfd: pytest.CaptureFixture[str], *words: object) -> Said:
    """Run a command in this process, in bounded time and memory, and check what any command must keep to."""
    capfd.readouterr()
    with in_time(_SECONDS), in_memory(_BYTES):
        try:
            status = main([str(word) for word in words])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
    out, err = capfd.readouterr()
    said = Said(status, out, err)
    assert not FOREIGN.search(said.all), said.all[-2000:]
    assert not _CONTROL.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", said.all)), repr(said.all[-2000:])
    return said


def check_refusal(said: Said, *, names: str, says: str = "") -> None:
    """Check that a command failed with one line that names the file and the cause."""
    assert said.status == 1, said
    lines = [line for line in said.err.splitlines() if line.strip()]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("voxlex: ")
    assert len(lines[0]) < 600, lines[0]
    assert names in lines[0], lines[0]
    assert re.search(says, lines[0]), lines[0]


class Late(BaseException):
    """Not an `Exception`, which readers of damaged files turn into an error of their own."""


@contextmanager
def in_time(seconds: int) -> Iterator[None]:
    """Fail if the block takes more time of the processor, or waits for long, and interrupt what it waits for."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Late

    before = {number: signal.signal(number, late) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # the machine may be busy with other work
    signal.setitimer(signal.ITIMER_REAL, _WAITING, 1)
    try:
        yield
    except Late:
        pytest.fail(f"took longer than {seconds} s, or waited")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def in_memory(size: int) -> Iterator[None]:
    """Let allocations fail that take more than so many bytes beyond what the process has."""
    try:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def snapshot(*folders: Path) -> dict[str, tuple[object, ...]]:
    """Return what is below some folders: kinds, sizes, times and contents."""
    found: dict[str, tuple[object, ...]] = {}
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
            times = status.st_mtime_ns if not stat.S_ISDIR(status.st_mode) else 0
            found[str(path)] = (stat.S_IFMT(status.st_mode), status.st_size if content else 0, times, content)
    return found


def below(folder: Path) -> Sequence[str]:
    """Return the names of all that is below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []
