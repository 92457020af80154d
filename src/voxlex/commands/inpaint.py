"""`voxlex inpaint`: redraw a region of a scan."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run, name_of, place, say, wanted
from voxlex.config import Decoding, ReadingOptions
from voxlex.names import counted


@dataclass(kw_only=True)
class Inpaint:
    """Redraw a region of a picture or volume from its surroundings. Write several draws, their mean and deviation.

    Attributes:
        run_folder: Run folder.
        image: A picture. For a run that was trained on volumes, a volume such as a NIfTI file or a folder with a DICOM
            series.
        mask: A picture or volume with the same grid. It is 0 (black) outside the region to redraw.
        out: Folder for the results, which have the grid and the grey values of the image.
        count: Number of draws.
        condition: Known facts about the image, such as label=glioma.
        temperature: A value below 1 keeps draws close to what is likely.
        seed: The same seed gives the same images on the same machine.
        decoding: "textured" draws likely fine detail, "faithful" leaves out detail that codes do not contain. The
            default is "textured" if the run has a textured decoder.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        overwrite: Write into the folder even if it is not empty, and remove older draws from it.
    """

    run_folder: Run
    image: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    mask: Path
    out: Annotated[Path | None, place("inpainted/IMAGE")] = None
    count: int = 8
    condition: tuple[str, ...] = ()
    temperature: float = 1.0
    seed: int = 0
    decoding: Decoding | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    overwrite: bool = False

    def run(self) -> None:
        """Redraw the region."""
        from voxlex.commands.terminal import progress_bar
        from voxlex.vocabulary import load
        from voxlex.workflows.inpaint import inpaint

        out = self.out or Path("inpainted") / name_of(self.image)
        inpaint(
            load(self.run_folder),
            self.image,
            mask=self.mask,
            out=out,
            count=self.count,
            condition=wanted(self.condition),
            temperature=self.temperature,
            seed=self.seed,
            decoding=self.decoding,
            reading=self.reading,
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        say(f"{counted(self.count, 'draw')} in {out}")
