"""`voxlex decode`: turn codes back into scans."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run, name_of, place, say
from voxlex.config import Decoding
from voxlex.names import counted


@dataclass(kw_only=True)
class Decode:
    """Turn codes back into scans: pictures as PNG, volumes as NIfTI on their own grid.

    Attributes:
        run_folder: Folder of the run that wrote the codes.
        codes: File of codes.
        out: Folder for the scans.
        original_size: Resize each picture to its original size. Without this, pictures have the size of the model.
        decoding: "faithful" writes what is closest to the original. "textured" also draws likely fine detail, so that
            images look like real ones; it is not the detail of the original.
        seed: Seed of the texture.
        overwrite: Write into the folder even if it is not empty.
    """

    run_folder: Run
    codes: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CODES")]
    out: Annotated[Path | None, place("decoded/CODES")] = None
    original_size: bool = False
    decoding: Decoding = "faithful"
    seed: int = 0
    overwrite: bool = False

    def run(self) -> None:
        """Decode the codes."""
        from voxlex.commands.terminal import progress_bar, show_notes
        from voxlex.vocabulary import load
        from voxlex.workflows.decode import decode

        out = self.out or Path("decoded") / name_of(self.codes)
        vocabulary = load(self.run_folder)
        written = decode(
            vocabulary,
            self.codes,
            out=out,
            original_size=self.original_size,
            decoding=self.decoding,
            seed=self.seed,
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        show_notes(written.notes)
        say(f"{counted(written.count, 'scan')} in {out}")
