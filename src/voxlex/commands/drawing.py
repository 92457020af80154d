"""Commands that draw from the prior: new images, and new regions of an image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Run
from voxlex.errors import ConfigError


@dataclass(kw_only=True)
class Sample:
    """Draw new images from the prior.

    Attributes:
        run_folder: Run folder.
        count: How many.
        out: Folder for the images, and for a sheet of them.
        condition: What to ask for, such as label=glioma slice=12; any by default.
        guidance: Above 1, images show more of what was asked for, and differ less; takes twice as long.
        temperature: Below 1 keeps to what is likely, above 1 is more adventurous.
        top_k: Draw each code from this many of the likeliest.
        top_p: Draw each code from the fewest that together have this share of the probability.
        min_p: Draw each code from those at least this many times as likely as the likeliest.
        seed: The same seed gives the same images on the same machine.
        overwrite: Write into a folder that is not empty; samples there that are not written anew are removed.
    """

    run_folder: Run
    count: int
    out: Path
    condition: tuple[str, ...] = ()
    guidance: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int = 0
    overwrite: bool = False

    def run(self) -> None:
        """Sample."""
        from voxlex.vocabulary import load
        from voxlex.workflows.sample import sample

        sample(
            load(self.run_folder),
            count=self.count,
            out=self.out,
            condition=_wanted(self.condition),
            seed=self.seed,
            overwrite=self.overwrite,
            guidance=self.guidance,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
        )
        print(f"{self.count} samples in {self.out}")


@dataclass(kw_only=True)
class Inpaint:
    """Draw a region of a picture or a volume anew from the prior, given the rest: several draws, and where they differ.

    Attributes:
        run_folder: Run folder.
        image: A picture; for a run of volumes a volume, such as a NIfTI file or the folder of a DICOM series.
        mask: A picture or volume of the same grid, 0 (black) but where to draw.
        out: Folder for the results, which have the grid and the grey values of the image.
        count: How many draws.
        condition: What the image is known to be, such as label=glioma.
        temperature: Below 1 keeps to what is likely.
        seed: The same seed gives the same images on the same machine.
        overwrite: Write into a folder that is not empty; draws there that are not written anew are removed.
    """

    run_folder: Run
    image: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    mask: Path
    out: Path
    count: int = 8
    condition: tuple[str, ...] = ()
    temperature: float = 1.0
    seed: int = 0
    overwrite: bool = False

    def run(self) -> None:
        """Inpaint."""
        from voxlex.vocabulary import load
        from voxlex.workflows.inpaint import inpaint

        inpaint(
            load(self.run_folder),
            self.image,
            mask=self.mask,
            out=self.out,
            count=self.count,
            condition=_wanted(self.condition),
            temperature=self.temperature,
            seed=self.seed,
            overwrite=self.overwrite,
        )
        print(f"{self.count} draws in {self.out}")


def _wanted(conditions: tuple[str, ...]) -> dict[str, str]:
    for condition in conditions:
        if "=" not in condition:
            raise ConfigError(f"--condition: expected NAME=VALUE, got {condition!r}")
    return dict(condition.split("=", maxsplit=1) for condition in conditions)
