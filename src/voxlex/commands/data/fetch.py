"""`voxlex data fetch`: download a public data set."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from voxlex.commands.common import place, say

if TYPE_CHECKING:
    from voxlex.data.public.catalogue import PublicSet


@dataclass(kw_only=True)
class Fetch:
    """Download a public set of brain scans and unpack it. Without a name, list the sets.

    Attributes:
        name: Name of the set.
        out: Folder for the set. An interrupted download resumes there.
        accept_licence: Accept the licence, which you have read. Without this, the command asks you.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = ""
    out: Annotated[Path | None, place("NAME")] = None
    accept_licence: bool = False

    def run(self) -> None:
        """Fetch the set, or list all sets."""
        from voxlex.commands.terminal import byte_bar
        from voxlex.data.public.catalogue import find_set
        from voxlex.workflows.fetch import fetch

        if not self.name:
            _show_catalogue()
            return
        public = find_set(self.name)
        _say(*_terms(self.name, public))
        folder = fetch(self.name, out=self.out, accepts=self._accepts, phases=byte_bar)
        if public.hint:
            _say(public.hint)
        say(f"{self.name} in {folder}")

    def _accepts(self, public: "PublicSet") -> bool:
        from voxlex.errors import DataError

        if self.accept_licence:
            return True
        if not sys.stdin.isatty():
            raise DataError(
                f"the licence is not accepted yet: read {public.licence_url}, then add --accept-licence to the command"
            )
        print("Have you read the licence, and do you accept it? [y/N] ", end="", file=sys.stderr, flush=True)
        return input().strip().lower() in ("y", "yes")


def _show_catalogue() -> None:
    """Print the names, sizes and licences of the sets."""
    from rich.console import Console
    from rich.table import Table

    from voxlex.data.public.catalogue import CATALOGUE

    table = Table("name", "size", "licence", "what it holds", box=None, pad_edge=False)
    for name, public in CATALOGUE.items():
        table.add_row(name, _size(public), public.licence, public.title)
    Console(highlight=False).print(table)


def _terms(name: str, public: "PublicSet") -> list[str]:
    lines = [
        f"{name}: {public.title} ({_size(public)})",
        f"  from      {public.homepage}",
        f"  licence   {public.licence}, {public.licence_url}",
        f"            {public.terms}",
        f"  cite      {public.citation}",
    ]
    unchecked = sum(archive.checksum is None for archive in public.archives)
    if unchecked:
        lines.append(
            f"  checksum  not published for {unchecked} of {len(public.archives)} files: "
            "the first download is trusted, and later ones are compared with it"
        )
    return lines


def _size(public: "PublicSet") -> str:
    return f"{public.size / 1e9:.1f} GB" if public.size > 1e9 else f"{public.size / 1e6:.0f} MB"


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
