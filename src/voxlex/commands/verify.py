"""`voxlex verify`: check that an archive is whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import say


@dataclass(kw_only=True)
class Verify:
    """Check every checksum of an archive, and decode every exact scan. With the model, also decode all codes.

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
            raise ArchiveError(f"{self.archive}: is damaged: {len(result.failed)} of {result.scans} records")
        what = "codes and images" if archive.has_model else "codes"
        lossy = result.decoded - result.exact
        decoded = [f"the {what} of {lossy} were decoded"] if lossy else []
        decoded += [f"the samples of {result.exact} are as they were"] if result.exact else []
        say(f"{result.scans} records are whole; {', and '.join(decoded) or 'none was decoded without the run'}")
