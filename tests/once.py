"""What takes long to make is made by one of the processes that run the tests, and used by all of them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder of this name, which `make` has filled in this process or in another one of these tests."""
    of_all = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose own folder lies in that of all
        of_all = of_all.parent
    folder, made = of_all / name, of_all / f"{name}.made"
    with FileLock(of_all / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that could not finish it
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
