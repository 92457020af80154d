"""Commands that learn: from images to a vocabulary."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from voxlex.commands.common import Settings, Source, starting_point
from voxlex.config import load_recipe, with_budget
from voxlex.config.options import PhantomOptions, SliceOptions


@dataclass(kw_only=True)
class Demo:
    """Do the main job once, on the embedded phantom: train, reconstruct, sample, report.

    Attributes:
        out: Run folder to make.
        minutes: Time to train.
        overwrite: Replace a run that is there.
    """

    out: Path = Path("runs/demo")
    minutes: float = 4.5
    overwrite: bool = False

    def run(self) -> None:
        """Train on the phantom."""
        from voxlex.workflows.train import train

        config = with_budget(load_recipe("demo"), minutes=self.minutes, steps=None)
        folder = train("phantom", out=self.out, config=config, overwrite=self.overwrite)
        print(f"Now open {folder.report_file.resolve()}")


@dataclass(kw_only=True)
class Train:
    """Learn a vocabulary from images: an autoencoder, then a prior over its codes, then a report.

    Attributes:
        source: Folder of scans (searched recursively), table of scans, prepared data set, or "phantom".
        out: Run folder to make.
        recipe: Name of a recipe, or a YAML file; options given here change single settings of it. With --stage prior
            only its prior is taken, with --resume nothing.
        minutes: Time to train; both stages share it. The recipe's, if neither this nor --steps is given.
        steps: Steps to train each stage, instead of minutes.
        stage: Train only the autoencoder, only the prior of a run that has an autoencoder, or all.
        resume: Go on with the run where it stopped, with its own settings.
        overwrite: Replace a run that is there; with --stage prior, only its prior.
    """

    source: Source
    out: Path
    recipe: str = "default"
    minutes: Annotated[float | None, tyro.conf.arg(metavar="M")] = None
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    stage: Literal["autoencoder", "prior", "all"] = "all"
    resume: bool = False
    overwrite: bool = False
    config: Settings = field(default_factory=starting_point.get)

    def run(self) -> None:
        """Train."""
        from voxlex.workflows.train import train

        config = with_budget(self.config, minutes=self.minutes, steps=self.steps)
        folder = train(
            self.source,
            out=self.out,
            config=config,
            stage=self.stage,
            resume=self.resume,
            overwrite=self.overwrite,
        )
        print(f"report: {folder.report_file}")


@dataclass(kw_only=True)
class Prepare:
    """Make a data set ready to train on: decoded, resized, divided into splits, memory-mapped.

    Attributes:
        source: Folder or table of scans, or "phantom".
        out: Folder to make; use it as SOURCE from then on.
        size: Side of the square canvas in pixels, or of the cube in voxels.
        seed: Of the division into splits.
        spacing_mm: Make a cube of each volume, with so many mm between its voxels, and not slices.
        slices: Which slices of volumes to take.
        allow_leak: Take a table's split as it is, even if subjects or near-duplicates cross it.
        phantom: What the phantom should be like; only for the source "phantom".
    """

    source: Source
    out: Path
    size: int = 128
    seed: int = 0
    spacing_mm: Annotated[float | None, tyro.conf.arg(metavar="MM")] = None
    slices: SliceOptions = field(default_factory=SliceOptions)
    allow_leak: bool = False
    phantom: PhantomOptions = field(default_factory=PhantomOptions)

    def run(self) -> None:
        """Prepare."""
        from voxlex.workflows.prepare import prepare

        dataset = prepare(
            self.source,
            out=self.out,
            size=self.size,
            seed=self.seed,
            spacing_mm=self.spacing_mm,
            slices=self.slices,
            allow_leak=self.allow_leak,
            phantom=self.phantom,
        )
        print(f"{len(dataset)} images in {self.out}, {len(dataset.skipped)} skipped")
