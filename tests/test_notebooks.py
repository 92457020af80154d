"""The notebooks run from top to bottom, in quick form, and the ones that are kept show what they printed and drew."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from documented import REPOSITORY

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))
LARGEST_BYTES = 1_000_000  # all together


def test_the_notebooks_run(tmp_path: Path) -> None:
    """All run in one kernel, which imports torch once; what one of them defines is forgotten before the next."""
    cells = []
    for path in NOTEBOOKS:
        cells += [*nbformat.read(path, as_version=4).cells, nbformat.v4.new_code_cell("%reset -f")]
    for number, cell in enumerate(cells):
        cell.id = str(number)
    joined = tmp_path / "joined.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), joined)
    run = [sys.executable, str(REPOSITORY / "tools" / "docs" / "execute.py"), str(joined)]
    done = subprocess.run(run, env={**os.environ, "VOXLEX_QUICK": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_kept_notebook_was_run_as_a_whole(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert kinds == {"stream", "display_data"}
    printed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "stream"]
    assert {output["name"] for output in printed} == {"stdout"}  # no warnings


def test_there_are_three_and_they_are_small() -> None:
    assert len(NOTEBOOKS) == 3
    assert sum(path.stat().st_size for path in NOTEBOOKS) < LARGEST_BYTES
