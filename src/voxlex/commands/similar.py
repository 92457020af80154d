"""`voxlex similar`: find the scans most like a given one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run, name_of, place, say
from voxlex.config import ReadingOptions
from voxlex.names import counted


@dataclass(kw_only=True)
class Similar:
    """Find the scans most like a given one among scans that are stored as codes. Write a table and a sheet.

    Attributes:
        run_folder: Run folder.
        scan: The scan: a picture, a volume, or a folder with a DICOM series.
        codes: File of codes among which to search, from `voxlex encode`.
        out: Folder for the results.
        count: Number of scans to find.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        overwrite: Write into the folder even if it is not empty.
    """

    run_folder: Run
    scan: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SCAN")]
    codes: Path
    out: Annotated[Path | None, place("similar/SCAN")] = None
    count: int = 8
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    overwrite: bool = False

    def run(self) -> None:
        """Search for the scans."""
        from voxlex.commands.terminal import progress_bar, show_skipped
        from voxlex.outputs import check_folder
        from voxlex.vocabulary import load
        from voxlex.workflows.opening import open_for
        from voxlex.workflows.similar import find_similar

        out = self.out or Path("similar") / name_of(self.scan)
        check_folder(out, overwrite=self.overwrite, reads=[self.scan, self.codes])
        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, str(self.scan), reading=self.reading, phases=progress_bar)
        show_skipped(dataset)
        found = find_similar(
            vocabulary,
            dataset,
            codes=self.codes,
            out=out,
            count=self.count,
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        for path, similarity in zip(found["path"], found["similarity"], strict=True):
            say(f"{similarity:7.4f}  {path}")
        say(f"{counted(len(found), 'scan')} in {out}")
