"""`voxlex data fetch`: download a public data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(kw_only=True)
class Fetch:
    """Download a public set of brain scans and unpack it. Without a name, list the sets.

    Attributes:
        name: Name of the set.
        out: Folder for the set, NAME by default. An interrupted download goes on there.
        accept_licence: Accept the licence, which you have read. Otherwise you are asked.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = ""
    out: Path | None = None
    accept_licence: bool = False

    def run(self) -> None:
        """Fetch."""
        from voxlex.workflows.fetch import fetch, show_catalogue

        if not self.name:
            show_catalogue()
        else:
            folder = fetch(self.name, out=self.out, accept_licence=self.accept_licence)
            print(f"{self.name} in {folder}")
