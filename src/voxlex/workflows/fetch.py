"""Download public data sets."""

from pathlib import Path

from voxlex.errors import DataError


def show_catalogue() -> None:
    """Print the names of the sets."""


def fetch(name: str, *, out: Path, accept_licence: bool) -> Path:
    """Download a set."""
    raise DataError(f"{name}: not there yet")
