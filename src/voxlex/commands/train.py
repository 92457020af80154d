"""`voxlex train`: learn a vocabulary from images."""

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from voxlex.commands.common import Settings, Source, starting_point
from voxlex.config import Config, with_budget
from voxlex.errors import TrainingError, VoxlexError


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
        from voxlex.commands.training_display import TerminalDisplay
        from voxlex.training.display import SILENCE
        from voxlex.training.processes import is_first_process
        from voxlex.workflows.train import train

        config = with_budget(self.config, minutes=self.minutes, steps=self.steps)
        speaks = is_first_process()
        try:
            folder = train(
                self.source,
                out=self.out,
                config=config,
                stage=self.stage,
                resume=self.resume,
                overwrite=self.overwrite,
                display=TerminalDisplay() if speaks else SILENCE,
            )
        except (KeyboardInterrupt, VoxlexError) as error:
            if speaks or isinstance(error, TrainingError):
                raise
            sys.exit(1)  # the first process meets the same, and says so
        if speaks:
            print(f"report: {folder.report_file}")
            print(f"to train further: {self._further(config)}")

    def _further(self, config: Config) -> str:
        """Return the command that trains for as long again."""
        training = config.training
        budget = (
            ["--steps", f"{2 * training.steps}"]
            if training.steps
            else ["--minutes", f"{2 * (training.minutes or 0):g}"]
        )
        stage = [] if self.stage == "all" else ["--stage", self.stage]
        return shlex.join(["voxlex", "train", self.source, "--out", str(self.out), "--resume", *budget, *stage])
