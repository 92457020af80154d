"""`voxlex decode`: turn codes back into scans."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run


@dataclass(kw_only=True)
class Decode:
    """Write the scans that a file of codes stands for: pictures as PNG, volumes as NIfTI on their own grid.

    Attributes:
        run_folder: The run that wrote the codes.
        codes: File of codes.
        out: Folder for the scans.
        original_size: Give each picture the size it came in, not the model's.
        overwrite: Write into a folder that is not empty.
    """

    run_folder: Run
    codes: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CODES")]
    out: Path
    original_size: bool = False
    overwrite: bool = False

    def run(self) -> None:
        """Decode."""
        from voxlex.vocabulary import load
        from voxlex.workflows.decode import decode
        from voxlex.workflows.progress import progress_bar

        vocabulary = load(self.run_folder)
        count = decode(
            vocabulary,
            self.codes,
            out=self.out,
            original_size=self.original_size,
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        print(f"{count} scans in {self.out}")
