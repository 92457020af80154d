"""Run notebooks where they lie, and keep what they print and draw: python tools/docs/execute.py NOTEBOOK ..."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_PICTURES = ["--InlineBackend.figure_formats=jpeg"]  # a fifth of the bytes of PNG, for scans


def executed(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with its outputs; the environment of this process is that of its kernel.

    Raises:
        CellExecutionError: If a cell fails; shows the cell and the traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", extra_arguments=_PICTURES)
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which would change the file each time
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:]:
        nbformat.write(executed(Path(name)), name)
