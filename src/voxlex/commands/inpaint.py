"""`voxlex inpaint`: draw a region of a scan anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run, name_of, place, wanted


@dataclass(kw_only=True)
class Inpaint:
    """Draw a region of a picture or a volume anew, given the rest: several draws, their mean, and where they differ.

    Attributes:
        run_folder: Run folder.
        image: A picture; for a run of volumes, a volume such as a NIfTI file or the folder of a DICOM series.
        mask: A picture or volume with the same grid, which is 0 (black) except where to draw.
        out: Folder for the results, which have the grid and the grey values of the image.
        count: How many draws to make.
        condition: What is known of the image, such as label=glioma.
        temperature: Below 1, draws keep to what is likely.
        seed: The same seed gives the same images on the same machine.
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
    overwrite: bool = False

    def run(self) -> None:
        """Inpaint."""
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
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        print(f"{self.count} draws in {out}")
