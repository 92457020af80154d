"""Show the public sets, and fetch one whose terms are accepted."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voxlex.data.public.catalogue import CATALOGUE, PublicSet, find_set
from voxlex.data.public.fetching import FetchRecord, fetch_set
from voxlex.errors import DataError
from voxlex.progress import silent as byte_bar


def show_catalogue(*, console: Console | None = None) -> None:
    """Print names, sizes and licences of the sets."""
    console = console or Console(highlight=False)
    table = Table("name", "size", "licence", "what it holds", box=None, pad_edge=False)
    for name, public in CATALOGUE.items():
        table.add_row(name, _size(public), public.licence, public.title)
    console.print(table)


def fetch(name: str, *, out: Path | None = None, accept_licence: bool = False, console: Console | None = None) -> Path:
    """Fetch a set after its terms were shown and accepted.

    Args:
        name: Of the set.
        out: Folder for it; by default one of its name, here.
        accept_licence: They are accepted; otherwise, a person at a terminal is asked.
        console: Where the terms are shown.

    Returns:
        The folder.

    Raises:
        DataError: If there is no such set, its terms are not accepted, or it cannot be fetched.
    """
    public = find_set(name)
    folder = Path(name) if out is None else out
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file, expected a folder for the data")
    console = console or Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    _show_terms(name, public, console)
    if not accept_licence and not FetchRecord(folder).accepted(public) and not _accepts(public, console):
        raise DataError(f"{name}: its licence was not accepted, nothing was fetched")
    with byte_bar(name) as progress:
        fetch_set(public, folder=folder, progress=progress)
    if public.hint:
        console.print(public.hint)
    return folder


def _show_terms(name: str, public: PublicSet, console: Console) -> None:
    unchecked = sum(archive.checksum is None for archive in public.archives)
    console.print(f"{name}: {public.title} ({_size(public)})")
    console.print(f"  from      {public.homepage}")
    console.print(f"  licence   {public.licence}, {public.licence_url}")
    console.print(f"            {public.terms}")
    console.print(f"  cite      {public.citation}")
    if unchecked:
        console.print(
            f"  checksum  none is published for {unchecked} of {len(public.archives)} files: "
            "what arrives first is believed, and compared with from then on"
        )


def _accepts(public: PublicSet, console: Console) -> bool:
    if not sys.stdin.isatty():
        raise DataError(
            f"the licence must be accepted first: read {public.licence_url}, then add --accept-licence to the command"
        )
    return console.input("Have you read the licence, and do you accept it? [y/N] ").strip().lower() in ("y", "yes")


def _size(public: PublicSet) -> str:
    return f"{public.size / 1e9:.1f} GB" if public.size > 1e9 else f"{public.size / 1e6:.0f} MB"
