"""A training takes the place of an earlier one when it has saved something; until then the earlier is kept aside."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxlex.config import Config
from voxlex.errors import RunError
from voxlex.files import is_there, move, remove, remove_among
from voxlex.run_folder import ASIDE, CURVES, RunFolder


@contextmanager
def replacing(folder: RunFolder, config: Config, *, goes_on: bool, without: str | None) -> Iterator[None]:
    """Begin a run, or go on with other settings; if the block fails before it saves anything, all is as it was.

    What is replaced lies in a hidden folder of the run until the block ends. Where a process was killed, the next call
    finds it there. Files that a run is not made of stay where they are.

    Args:
        folder: The run folder, there or not.
        config: The settings from now on.
        goes_on: The run that is there goes on; else a new one takes its place.
        without: Of a run that goes on, the stage that is replaced; None for no stage.

    Raises:
        RunError: If the folder cannot be written.
    """
    aside = RunFolder(folder.path / ASIDE)
    try:
        _settle(folder, aside, goes_on=goes_on)
        _set_aside(folder, aside, goes_on=goes_on, without=without)
    except OSError as cause:
        raise RunError(f"{folder.path}: what is there cannot be set aside: {cause.strerror}") from cause
    saved = _saved(folder)
    try:
        if goes_on:
            folder.write_config(config)
        else:
            folder.begin(config)
        yield
    except BaseException:
        if _saved(folder) == saved:
            _put_back(folder, aside, whole=not goes_on)
        _forget(aside)
        raise
    _forget(aside)


def _settle(folder: RunFolder, aside: RunFolder, *, goes_on: bool) -> None:
    """Decide about what a process that was killed had set aside: it comes back unless something was saved since."""
    if not is_there(aside.path):
        return
    begun, old = ({name.partition(".")[0] for name in _saved(place)} for place in (folder, aside))
    if old and not begun & old:
        if goes_on:
            return
        _put_back(folder, aside, whole=not begun)
    _forget(aside)


def _set_aside(folder: RunFolder, aside: RunFolder, *, goes_on: bool, without: str | None) -> None:
    if goes_on and is_there(aside.path):  # what goes on has begun to replace it
        return
    # The descriptions stay until others replace them: without them what is left would not be known as a run.
    copied = {folder.config_file, folder.metadata_file} | ({folder.journal_file} if goes_on else set())
    replaced = folder.files_of(without) if without else (() if goes_on else folder.files())
    if any(is_there(file) for file in copied):
        aside.path.mkdir(exist_ok=True)
    for file in filter(is_there, copied):  # first, since for these the disk may be too full
        shutil.copy2(file, aside.path / file.name)
    for file in filter(is_there, replaced):
        if file not in copied:
            move(file, aside.path / file.name)


def _put_back(folder: RunFolder, aside: RunFolder, *, whole: bool) -> None:
    """Move what was set aside to its place; of a whole run, remove what was begun in its place."""
    for there, old in zip(folder.files(), aside.files(), strict=True):
        if whole or is_there(old):
            _drop(there)
        if is_there(old) and not is_there(there):  # curves stay if somebody else has a file there
            move(old, there)


def _forget(aside: RunFolder) -> None:
    if is_there(aside.path):
        for file in aside.files():
            _drop(file)
        remove_among(aside.path, ())


def _drop(file: Path) -> None:
    """Remove a file of a run, or its folder of curves."""
    if file.is_dir():
        remove_among(file, (CURVES,))
    else:
        remove(file)


def _saved(folder: RunFolder) -> dict[str, tuple[int, int]]:
    """Return which weights and states there are, and what tells each from another of its name."""
    statuses = {file.name: file.stat() for file in folder.files_of_stages() if file.exists()}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in statuses.items()}
