"""`voxlex data`: look after data sets."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from voxlex.commands.data.audit import Audit
from voxlex.commands.data.fetch import Fetch
from voxlex.commands.data.index import Index

DataCommand = (
    Annotated[Index, tyro.conf.subcommand("index")]
    | Annotated[Audit, tyro.conf.subcommand("audit")]
    | Annotated[Fetch, tyro.conf.subcommand("fetch")]
)
"""What can be done with a data set."""


@dataclass(kw_only=True)
class Data:
    """Look after data sets: make tables of scans, audit them, fetch public sets.

    Attributes:
        action: What to do.
    """

    action: Annotated[DataCommand, tyro.conf.arg(name="")]

    def run(self) -> None:
        """Do it."""
        self.action.run()
