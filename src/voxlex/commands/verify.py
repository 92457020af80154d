"""`voxlex verify`: check that an archive is whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from voxlex.commands.common import say

if TYPE_CHECKING:
    from voxlex.workflows.unpack import Verified


@dataclass(kw_only=True)
class Verify:
    """Check every checksum of an archive, decode every exact scan, and decode the codes with the run, or without it.

    Without the run, codes are decoded if the archive holds their tables, and to images if it holds the model.

    Attributes:
        archive: The archive.
        run_folder: The run that packed the archive.
    """

    archive: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ARCHIVE")]
    run_folder: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None

    def run(self) -> None:
        """Verify the archive."""
        from voxlex.archive.archive import open_archive
        from voxlex.commands.terminal import progress_bar, show_notes
        from voxlex.errors import ArchiveError
        from voxlex.workflows.unpack import verify

        archive = open_archive(self.archive, run=self.run_folder)
        result = verify(archive, phases=progress_bar)
        show_notes([*archive.damage, *result.failed])
        if result.failed or archive.damage:
            broken = result.scans - result.whole
            raise ArchiveError(
                f"{self.archive}: is damaged: {broken} of {result.scans} records"
                if broken
                else f"{self.archive}: is damaged; each of the {result.scans} records that were found is whole"
            )
        say("; ".join(_sentence(result)))


def _sentence(result: "Verified") -> list[str]:
    """Return what was checked, and what was not."""
    count, decoded = result.scans, result.decoded
    said = [f"{count} record{' is' if count == 1 else 's are'} whole, by their checksums"]
    if decoded["samples"]:
        said.append(f"the samples of {decoded['samples']} were decoded and are those that were packed")
    for what, number in (("images", decoded["images"]), ("codes", decoded["codes"] - decoded["images"])):
        if number:
            said.append(f"the codes of {number} were decoded{' to images' if what == 'images' else ', not to images'}")
    if decoded["unread"]:
        said.append(f"the codes of {decoded['unread']} were not decoded, which takes the run (--run RUN)")
    return said
