"""`voxlex unpack`: write the scans of an archive."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import name_of, place, say
from voxlex.names import counted


@dataclass(kw_only=True)
class Unpack:
    """Write the scans of an archive: pictures as PNG in their own size, volumes as NIfTI on their own grid.

    Scans that were packed with --lossless come back bit for bit, and need no run. PNG, TIFF and NIfTI files stay what
    they are.

    Attributes:
        archive: The archive.
        out: Folder for the scans.
        only: Unpack only scans whose name fits this pattern, such as "patient-1/*".
        run_folder: The run that packed the archive. An archive that holds its model needs none.
        preview: Decode only the coarsest level of the codes, for a coarse look.
        overwrite: Write into the folder even if it is not empty.
    """

    archive: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ARCHIVE")]
    out: Annotated[Path | None, place("unpacked/ARCHIVE")] = None
    only: Annotated[str | None, tyro.conf.arg(metavar="PATTERN")] = None
    run_folder: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    preview: bool = False
    overwrite: bool = False

    def run(self) -> None:
        """Unpack the scans."""
        from voxlex.archive.archive import open_archive
        from voxlex.commands.terminal import progress_bar, show_notes
        from voxlex.errors import ArchiveError
        from voxlex.workflows.unpack import unpack

        out = self.out or Path("unpacked") / name_of(self.archive)
        archive = open_archive(self.archive, run=self.run_folder)
        done = unpack(
            archive, out=out, only=self.only, preview=self.preview, overwrite=self.overwrite, phases=progress_bar
        )
        show_notes([*done.notes, *done.failed])
        say(f"{counted(done.count, 'scan')} in {out}")
        if done.failed or archive.damage:
            raise ArchiveError(f"{self.archive}: is damaged; what is whole was unpacked")
