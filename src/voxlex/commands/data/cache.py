"""`voxlex data cache`: show and clean the cache of prepared data sets and downloads."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from voxlex.commands.common import say
from voxlex.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voxlex.data.cache import Entry
    from voxlex.stores.fetching import Download


@dataclass(kw_only=True)
class Cache:
    """Show the data sets that commands have prepared, and what they have downloaded from addresses, or remove them.

    They are prepared and downloaded again when needed.

    Attributes:
        list: List them: when each was used last, its size, and the name or the address of its source. This is the
            default.
        clean: Remove the data sets and the downloads. Nothing else is removed.
        older_than: With --clean, remove only what has not been used for so many days.
    """

    list: bool = False
    clean: bool = False
    older_than: Annotated[float, tyro.conf.arg(metavar="DAYS")] = 0.0

    def run(self) -> None:
        """List or clean the cache."""
        from voxlex.data.cache import clean, entries
        from voxlex.files import cache_folder
        from voxlex.stores.fetching import clean_downloads, downloads

        if self.older_than < 0 or (self.older_than and not self.clean):
            raise ConfigError(f"--older-than: expected days of at least 0, beside --clean, got {self.older_than:g}")
        found = clean(older_than_days=self.older_than) if self.clean else entries()
        fetched = clean_downloads(older_than_days=self.older_than) if self.clean else downloads()
        if self.list or not self.clean:
            for entry in found:
                say(_line(entry, f"{entry.folder.name}  {entry.name}"))
            for download in fetched:
                say(_line(download, download.name))
        where = f"{'removed from' if self.clean else 'in'} {cache_folder()}"
        say(f"{len(found)} data sets of {_megabytes(found)} {where}")
        if fetched:
            say(f"{len(fetched)} downloads of {_megabytes(fetched)} {where}")


def _line(entry: "Entry | Download", name: str) -> str:
    days = (time.time() - entry.used) / 86400
    return f"{days:6.1f} days  {entry.size / 1e6:10,.1f} MB  {name}"


def _megabytes(found: "Sequence[Entry | Download]") -> str:
    return f"{sum(entry.size for entry in found) / 1e6:,.1f} MB"
