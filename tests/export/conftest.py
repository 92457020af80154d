"""Graphs that were exported and compared once, in a process of their own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

RUN = Path(__file__).parent.parent / "golden" / "transformer"
"""The run whose graphs lie in `Exported.folder`."""


@dataclass(frozen=True)
class Exported:
    """A folder that `voxlex export` made, what the command said, and how far graphs are from what voxlex computes."""

    folder: Path
    said: list[str]
    figures: dict[str, float]


@pytest.fixture(scope="package")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place = tmp_path_factory.mktemp("export")
    script = Path(__file__).parent / "worker.py"
    done = subprocess.run([sys.executable, str(script), str(place)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return Exported(place / "exported", done.stdout.splitlines(), json.loads((place / "figures.json").read_text()))
