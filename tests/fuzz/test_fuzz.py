"""Mutated files of every kind: only errors of ours come out, in time, in bounded memory, and no process crashes.

Each kind is mutated 150 times, always in the same ways; `VOXLEX_FUZZ=2000 pytest tests/fuzz` mutates more.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.kinds import KINDS
from fuzz.not_yet import NOT_YET

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("VOXLEX_FUZZ", "150"))
_TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize("kind", KINDS)
def test_only_our_errors_come_out(kind: str, tmp_path: Path) -> None:
    problems = []
    first = 0
    while first < COUNT:
        found, at = mutate(kind, first, COUNT - first, tmp_path)
        problems += found
        if at is None:
            break
        problems.append({"mutation": at, "problem": "the process crashed"})
        first = at + 1
    known = NOT_YET.get(kind, "")
    unknown = [problem for problem in problems if not (known and known in problem["problem"])]
    assert not unknown, f"{len(unknown)} of {COUNT}: {json.dumps(unknown[:5], indent=1)}"


def mutate(kind: str, first: int, count: int, folder: Path) -> tuple[list[dict], int | None]:
    """Return the problems of some mutations, and the one at which the process crashed."""
    folder = folder / str(first)
    folder.mkdir()
    paths = os.pathsep.join([str(_TESTS), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.worker", kind, str(first), str(count), str(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "VOXLEX_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    problems = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"mutation"')]
    at = (folder / "at").read_text() if (folder / "at").exists() else ""
    assert at, done.stderr[-2000:]
    return problems, None if at == "done" else int(at)
