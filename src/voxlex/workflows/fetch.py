"""Fetch a public data set if its terms are accepted."""

from collections.abc import Callable
from pathlib import Path

from voxlex.data.public.catalogue import PublicSet, find_set
from voxlex.data.public.fetching import FetchRecord, fetch_set
from voxlex.errors import DataError
from voxlex.progress import Phases, silent


def fetch(name: str, *, out: Path | None = None, accepts: Callable[[PublicSet], bool], phases: Phases = silent) -> Path:
    """Fetch a set if its terms are accepted.

    Args:
        name: Name of the set.
        out: Folder for the set; by default a folder with its name in the working directory.
        accepts: Function that asks whether the terms are accepted. It is not called if they were accepted for this
            folder.
        phases: Receives the progress in bytes.

    Returns:
        The folder.

    Raises:
        DataError: If there is no such set, its terms are not accepted, or it cannot be fetched.
    """
    public = find_set(name)
    folder = Path(name) if out is None else out
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder for the data, got a file")
    if not FetchRecord(folder).accepted(public) and not accepts(public):
        raise DataError(f"{name}: the licence was not accepted, so nothing was fetched")
    with phases(name) as progress:
        return fetch_set(public, folder=folder, progress=progress)
