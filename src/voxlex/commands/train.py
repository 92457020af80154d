"""`voxlex train`: learn a vocabulary from images."""

import shlex
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from voxlex.commands.common import Source, name_of, place, say
from voxlex.config import CHOICES, Config, beginning_with, load_recipe, with_budget, with_kinds, with_prior_of
from voxlex.errors import ToldElsewhere, TrainingError, VoxlexError

Settings = Annotated[Config, tyro.conf.arg(name="")]

_LATER = ("texture", "prior")  # stages that go on with a run


@dataclass(kw_only=True)
class Train:
    """Learn a vocabulary from images: train an autoencoder, a textured decoder and a prior, and write a report.

    Attributes:
        source: A folder of scans (searched recursively), one scan, a table of scans, a prepared data set, or "phantom".
        out: Run folder to create.
        recipe: Name of a recipe, or a YAML file. Other options change single settings of it. With --stage prior, only
            the prior of the recipe is used. With --resume, the recipe is ignored.
        minutes: Training time in minutes, shared by all stages. The default is that of the recipe.
        steps: Number of training steps of each stage, instead of a time.
        stage: Train only the autoencoder, only the textured decoder or the prior (in a run that already has an
            autoencoder), or all of them.
        resume: Continue the run where it stopped, with its own settings.
        overwrite: Replace an existing run. With --stage texture or prior, replace only this stage of it.
    """

    source: Source
    out: Annotated[Path | None, place("runs/SOURCE")] = None
    recipe: str = "default"
    minutes: Annotated[float | None, tyro.conf.arg(metavar="M")] = None
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    stage: Literal["autoencoder", "texture", "prior", "all"] = "all"
    resume: bool = False
    overwrite: bool = False
    config: Settings = field(default_factory=Config)

    def run(self) -> None:
        """Train the run."""
        from voxlex.commands.terminal import warn_if_inside
        from voxlex.commands.training_display import TerminalDisplay
        from voxlex.training.display import SILENCE
        from voxlex.training.processes import is_first_process
        from voxlex.workflows.train import train

        config = with_budget(self.config, minutes=self.minutes, steps=self.steps)
        speaks = is_first_process()
        try:
            folder = train(
                self.source,
                out=self.folder,
                config=config,
                stage=self.stage,
                resume=self.resume,
                overwrite=self.overwrite,
                display=TerminalDisplay() if speaks else SILENCE,
            )
        except ToldElsewhere as error:
            sys.exit(error.status)
        except (KeyboardInterrupt, VoxlexError) as error:
            if speaks or isinstance(error, TrainingError):
                raise
            sys.exit(1)  # the first process meets the same error and reports it
        if speaks:
            warn_if_inside(self.folder, self.source)
            say(f"report: {folder.report_file}")
            say(f"to train further: {self._further(config)}")

    def _further(self, config: Config) -> str:
        """Return the command that trains for the same time again."""
        training = config.training
        budget = (
            ["--steps", f"{2 * training.steps}"]
            if training.steps
            else ["--minutes", f"{2 * (training.minutes or 0):g}"]
        )
        stage = [] if self.stage == "all" else ["--stage", self.stage]
        return shlex.join(["voxlex", "train", self.source, "--out", str(self.folder), "--resume", *budget, *stage])

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.out or Path("runs") / name_of(self.source)

    @classmethod
    def from_words(cls, words: Sequence[str], read: Callable[[Sequence[str], type["Train"]], "Train"]) -> "Train":
        """Parse the command. Its options change a recipe, or the settings of the run that is continued.

        Args:
            words: The arguments of the command.
            read: Function that parses arguments into a command of the given class.
        """
        command = read(words, cls._changing(_settings_to_change(words)))
        if command.out is None and (command.resume or command.stage in _LATER):
            words = [*words, "--out", str(command.folder)]
            command = read(words, cls._changing(_settings_to_change(words)))
        return command

    @classmethod
    def _changing(cls, config: Config) -> type["Train"]:
        """Return this command with other default settings."""
        start = field(default_factory=lambda: config)
        fields = [("config", Settings, start)]
        return make_dataclass(cls.__name__, fields, bases=(cls,), kw_only=True, namespace={"__doc__": cls.__doc__})


def _settings_to_change(words: Sequence[str]) -> Config:
    """Return the settings that the options change, with the kinds that the options choose."""
    ahead = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("recipe", "out", "stage", *(f"{setting}.kind" for setting in CHOICES)):
        ahead.add_argument(f"--{option}", nargs="?")
    ahead.add_argument("--training.pretrained", "--pretrained", dest="pretrained", nargs="?")
    ahead.add_argument("--resume", action="store_true")
    try:
        given, _ = ahead.parse_known_args(words)
    except ArgumentError:  # parsing all of the words reports the error
        return Config()
    kinds = {setting: getattr(given, f"{setting}.kind") for setting in CHOICES}
    return with_kinds(_settings_to_start_from(given), {setting: kind for setting, kind in kinds.items() if kind})


def _settings_to_start_from(given: Namespace) -> Config:
    """Return a recipe, or the settings of the run that is continued, perhaps with the prior of a recipe."""
    recipe = load_recipe(given.recipe) if given.recipe else Config()  # which is the default recipe
    place = given.pretrained or recipe.training.pretrained
    goes_on = given.out and (given.resume or given.stage in _LATER)
    if not goes_on and place is None:
        return recipe
    from voxlex.run_folder import RunFolder  # a new run does not need it here

    run = RunFolder(Path(given.out)) if goes_on else None
    if run is None or not run.config_file.exists():
        return recipe if place is None else beginning_with(recipe, place, RunFolder.open(Path(place)).config())
    own = run.config()
    if given.stage == "prior" and given.recipe:
        return with_prior_of(own, recipe)
    if given.recipe:  # usually because the first command is repeated with --resume
        print(
            f"voxlex: --recipe {given.recipe} is not used: {run.path} continues with its own settings", file=sys.stderr
        )
    return own
