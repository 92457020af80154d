"""`voxlex data cache`: show and clean the cache of prepared data sets."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from voxlex.commands.common import say
from voxlex.errors import ConfigError

if TYPE_CHECKING:
    from voxlex.data.cache import Entry


@dataclass(kw_only=True)
class Cache:
    """Show the data sets that commands have prepared and kept, or remove them. They are prepared again when needed.

    Attributes:
        list: List the data sets: when each was used last, its size, and the name of its source. This is the default.
        clean: Remove the data sets. Nothing else is removed.
        older_than: With --clean, remove only data sets that have not been used for so many days.
    """

    list: bool = False
    clean: bool = False
    older_than: Annotated[float, tyro.conf.arg(metavar="DAYS")] = 0.0

    def run(self) -> None:
        """List or clean the cache."""
        from voxlex.data.cache import cache_folder, clean, entries

        if self.older_than < 0 or (self.older_than and not self.clean):
            raise ConfigError(f"--older-than: expected days of at least 0, beside --clean, got {self.older_than:g}")
        found = clean(older_than_days=self.older_than) if self.clean else entries()
        if self.list or not self.clean:
            for entry in found:
                say(_line(entry))
        size = sum(entry.size for entry in found) / 1e6
        say(f"{len(found)} data sets of {size:,.1f} MB {'removed from' if self.clean else 'in'} {cache_folder()}")


def _line(entry: "Entry") -> str:
    days = (time.time() - entry.used) / 86400
    return f"{days:6.1f} days  {entry.size / 1e6:10,.1f} MB  {entry.folder.name}  {entry.name}"
