"""Reads mutated files in a process of its own, which a native library may crash.

`python -m fuzz.worker "KIND|KIND" FIRST END FOLDER` writes a line of JSON for each mutation that did what none may do,
and in `FOLDER/at` the mutation that it is at.
"""

import json
import resource
import shutil
import signal
import sys
import traceback
import warnings
from pathlib import Path
from types import FrameType

from fuzz.kinds import KINDS, packed, unpacked
from fuzz.mutations import mutated
from voxlex.errors import VoxlexError

SECONDS, WAITING = 20, 600
MORE_BYTES = 4 * 2**30
"""Address space for one file of a few kilobytes, beyond what the process has."""

_FOREIGN = ("weights_only", "torch.load", "Traceback", "object at 0x", "<class")


class Late(BaseException):
    """A file takes too long."""


def main(kinds: list[str], first: int, end: int, folder: Path) -> None:
    """Read the mutations of each kind up to `end`; those of the first kind from `first` on."""
    paths = {kind: _intact(kind, folder / str(number)) for number, kind in enumerate(kinds)}
    contents = {kind: unpacked(KINDS[kind], path.read_bytes()) for kind, path in paths.items()}
    _bound_memory()
    signal.signal(signal.SIGPROF, _late)
    signal.signal(signal.SIGALRM, _late)
    for kind, path in paths.items():
        for number in range(first, end):
            (folder / "at").write_text(f"{number} {kind}")
            path.write_bytes(packed(KINDS[kind], mutated(contents[kind], list(contents.values()), number)))
            problem = _problem(kind, path)
            shutil.rmtree(path.parent / "out", ignore_errors=True)
            if problem:
                print(json.dumps({"kind": kind, "mutation": number, "problem": problem}), flush=True)
        first = 0
    (folder / "at").write_text("done")


def _intact(kind: str, folder: Path) -> Path:
    """Write an intact file, and read it, so that all libraries are imported before the memory is bounded."""
    folder.mkdir()
    path = KINDS[kind].make(folder)
    KINDS[kind].read(path)
    shutil.rmtree(path.parent / "out", ignore_errors=True)
    return path


def _problem(kind_name: str, path: Path) -> str:
    """Read a file, and return what went wrong; nothing if it is read, or refused by an error of ours."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # the machine may be busy with other work
    signal.alarm(WAITING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KINDS[kind_name].read(path)
    except VoxlexError as cause:
        said = str(cause)
        if any(word in said for word in _FOREIGN) or len(said) > 1500:
            return f"says {said[:300]}"
        if path.stem not in said and path.parent.name not in said:
            return f"names no file: {said[:300]}"
        return ""
    except Late:
        return f"takes longer than {SECONDS} s, or waits: {traceback.format_exc()[-600:]}"
    except MemoryError:
        return "takes too much memory: " + traceback.format_exc()[-600:]
    except BaseException as cause:
        return f"{type(cause).__name__}: {str(cause)[:200]} {traceback.format_exc()[-500:]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    return ""


def _late(number: int, frame: FrameType | None) -> None:
    raise Late


def _bound_memory() -> None:
    status = Path("/proc/self/statm")
    if status.exists():
        now = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MORE_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main(sys.argv[1].split("|"), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
