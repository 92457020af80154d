"""`voxlex data fetch`: download a public data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(kw_only=True)
class Fetch:
    """Download a public set of brain scans, and unpack it; without a name, list what there is.

    Attributes:
        name: Of the set.
        out: Folder for it, NAME by default; an interrupted download goes on there.
        accept_licence: You have read the licence and accept it; otherwise you are asked.
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
