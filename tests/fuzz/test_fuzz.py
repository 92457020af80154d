"""Mutated files of every kind: only errors of ours come out, in time, in bounded memory, and no process crashes.

Each kind is mutated 150 times, always in the same ways; `VOXLEX_FUZZ=2000 pytest tests/fuzz` mutates more.
"""

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from fuzz.kinds import KINDS

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("VOXLEX_FUZZ", "150"))
_TESTS = Path(__file__).parent.parent
_GROUPS = [list(KINDS)[start::2] for start in range(2)]


@pytest.mark.parametrize("kinds", _GROUPS, ids=", ".join)
def test_only_our_errors_come_out(kinds: list[str], tmp_path: Path) -> None:
    problems, first = [], 0
    for session in count():
        found, at = mutate(kinds, first, tmp_path / str(session))
        problems += found
        if at is None:
            break
        number, kind = at
        problems.append({"kind": kind, "mutation": number, "problem": "the process crashed"})
        kinds, first = kinds[kinds.index(kind) :], number + 1
    assert not problems, f"{len(problems)} of {COUNT} a kind: {json.dumps(problems[:5], indent=1)}"


def mutate(kinds: list[str], first: int, folder: Path) -> tuple[list[dict], tuple[int, str] | None]:
    """Return the problems of the mutations of some kinds, and the mutation at which the process crashed, if any."""
    folder.mkdir()
    paths = os.pathsep.join([str(_TESTS), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.worker", "|".join(kinds), str(first), str(COUNT), str(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "VOXLEX_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    problems = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"kind"')]
    at = (folder / "at").read_text() if (folder / "at").exists() else ""
    assert at, done.stderr[-2000:]
    if at == "done":
        return problems, None
    number, kind = at.split(" ", 1)
    return problems, (int(number), kind)
