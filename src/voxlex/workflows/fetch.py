"""Fetch a public set whose terms are accepted."""

from collections.abc import Callable
from pathlib import Path

from voxlex.data.public.catalogue import PublicSet, find_set
from voxlex.data.public.fetching import FetchRecord, fetch_set
from voxlex.errors import DataError
from voxlex.progress import Phases, silent


def fetch(name: str, *, out: Path | None = None, accepts: Callable[[PublicSet], bool], phases: Phases = silent) -> Path:
    """Fetch a set after its terms were accepted.

    Args:
        name: Name of the set.
        out: Folder for it; by default one of its name, here.
        accepts: Asked whether the terms of the set are accepted, unless they have been for this folder before.
        phases: Told of what takes time, in bytes.

    Returns:
        The folder.

    Raises:
        DataError: If there is no such set, its terms are not accepted, or it cannot be fetched.
    """
    public = find_set(name)
    folder = Path(name) if out is None else out
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file, expected a folder for the data")
    if not FetchRecord(folder).accepted(public) and not accepts(public):
        raise DataError(f"{name}: its licence was not accepted, nothing was fetched")
    with phases(name) as progress:
        return fetch_set(public, folder=folder, progress=progress)
