"""What each command takes, as a dataclass; the work is done in `workflows`, imported only when it is needed."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import tyro

from voxlex.config import Config, load_recipe, with_budget
from voxlex.data.options import PhantomOptions
from voxlex.errors import ConfigError

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Settings = Annotated[Config, tyro.conf.arg(name="")]

starting_point: ContextVar[Config] = ContextVar("starting_point")
"""What the options of `train` change: the defaults, a recipe, or the settings of the run to resume."""


@runtime_checkable
class Command(Protocol):
    """One thing that a person asks for."""

    def run(self) -> None:
        """Do it."""


@dataclass(kw_only=True)
class Train:
    """Learn a vocabulary from images: an autoencoder, then a prior over its codes, then a report.

    Attributes:
        source: Folder of images (searched recursively), prepared data set, or "phantom".
        out: Run folder to make.
        recipe: Name of a recipe, or a YAML file; options given here change single settings of it.
        minutes: Time to train; both stages share it. The recipe's, if neither this nor --steps is given.
        steps: Steps to train each stage, instead of minutes.
        stage: Train only the autoencoder, only the prior of a run that has an autoencoder, or all.
        resume: Go on with the run where it stopped, with its own settings.
        overwrite: Replace a run that is there.
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
            resume=self.resume or self.stage == "prior",
            overwrite=self.overwrite,
        )
        print(f"report: {folder.report_file}")


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
class Prepare:
    """Make a data set ready to train on: decoded, resized, divided into splits, memory-mapped.

    Attributes:
        source: Folder of images, or "phantom".
        out: Folder to make; use it as SOURCE from then on.
        size: Side of the square canvas in pixels.
        seed: Of the division into splits.
        phantom: What the phantom should be like; only for the source "phantom".
    """

    source: Source
    out: Path
    size: int = 128
    seed: int = 0
    phantom: PhantomOptions = field(default_factory=PhantomOptions)

    def run(self) -> None:
        """Prepare."""
        from voxlex.workflows.prepare import prepare

        dataset = prepare(self.source, out=self.out, size=self.size, seed=self.seed, phantom=self.phantom)
        print(f"{len(dataset)} images in {self.out}, {len(dataset.skipped)} skipped")


@dataclass(kw_only=True)
class Evaluate:
    """Measure reconstructions, codebook, code rate and prior on images, and judge new images beside real ones.

    Attributes:
        run_folder: Run folder.
        source: What it was trained on, or, with --split all, any folder of images or prepared data set.
        split: The images that training never saw, or all; new images are judged beside the former only.
        samples: New images to draw and judge; 0 for none.
        features: What they are compared by: "default", which needs no weights, "inception", or a TorchScript file.
        json: File for the figures.
    """

    run_folder: Run
    source: Source
    split: Literal["test", "all"] = "test"
    samples: int = 128
    features: str = "default"
    json: Path | None = None

    def run(self) -> None:
        """Evaluate."""
        from voxlex.vocabulary import load
        from voxlex.workflows.evaluate import evaluate, show, write_json
        from voxlex.workflows.source import open_for

        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, self.source)
        evaluation = evaluate(vocabulary, dataset, split=self.split, samples=self.samples, features=self.features)
        show(evaluation.figures, title=f"{self.run_folder} on {self.source} ({self.split})")
        for warning in evaluation.warnings:
            print(f"warning: {warning}")
        if self.json:
            write_json(self.json, evaluation.figures)


@dataclass(kw_only=True)
class Reconstruct:
    """Write what the vocabulary makes of images, and a sheet of originals, reconstructions and differences.

    Attributes:
        run_folder: Run folder.
        source: Folder of images, prepared data set, or "phantom".
        out: Folder for the pictures, named after the images.
        inputs: Also write each image as the model saw it, as NAME.input.png.
        overwrite: Write into a folder that is not empty.
    """

    run_folder: Run
    source: Source
    out: Path
    inputs: bool = False
    overwrite: bool = False

    def run(self) -> None:
        """Reconstruct."""
        from voxlex.vocabulary import load
        from voxlex.workflows.reconstruct import reconstruct
        from voxlex.workflows.source import open_for

        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, self.source)
        count = reconstruct(vocabulary, dataset, out=self.out, inputs=self.inputs, overwrite=self.overwrite)
        print(f"{count} reconstructions in {self.out}")


@dataclass(kw_only=True)
class Encode:
    """Store images as codes: one row an image.

    Attributes:
        run_folder: Run folder.
        source: Folder of images, prepared data set, or "phantom".
        out: Parquet file to write.
        overwrite: Replace a file that is there.
    """

    run_folder: Run
    source: Source
    out: Path
    overwrite: bool = False

    def run(self) -> None:
        """Encode."""
        from voxlex.vocabulary import load
        from voxlex.workflows.codes import encode
        from voxlex.workflows.source import open_for

        vocabulary = load(self.run_folder)
        count = encode(vocabulary, open_for(vocabulary.config, self.source), out=self.out, overwrite=self.overwrite)
        print(f"codes of {count} images in {self.out}")


@dataclass(kw_only=True)
class Decode:
    """Write the images that a file of codes stands for.

    Attributes:
        run_folder: The run that wrote the codes.
        codes: File of codes.
        out: Folder for the images.
        original_size: Give each image the size it came in, not the model's.
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
        from voxlex.workflows.codes import decode

        vocabulary = load(self.run_folder)
        count = decode(vocabulary, self.codes, out=self.out, original_size=self.original_size, overwrite=self.overwrite)
        print(f"{count} images in {self.out}")


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
        overwrite: Write into a folder that is not empty.
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
    """Draw a region of an image anew from the prior, given the rest: several draws, and where they differ.

    Attributes:
        run_folder: Run folder.
        image: Image file.
        mask: Image of the same size, not black where to draw.
        out: Folder for the results.
        count: How many draws.
        condition: What the image is known to be, such as label=glioma.
        temperature: Below 1 keeps to what is likely.
        seed: The same seed gives the same images on the same machine.
        overwrite: Write into a folder that is not empty.
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


@dataclass(kw_only=True)
class Info:
    """Say what a run folder holds.

    Attributes:
        run_folder: Run folder.
    """

    run_folder: Run

    def run(self) -> None:
        """Print it."""
        from rich.console import Console

        from voxlex.workflows.info import info

        info(self.run_folder, console=Console())


COMMANDS: dict[str, type[Any]] = {
    "demo": Demo,
    "train": Train,
    "evaluate": Evaluate,
    "reconstruct": Reconstruct,
    "encode": Encode,
    "decode": Decode,
    "sample": Sample,
    "inpaint": Inpaint,
    "prepare": Prepare,
    "info": Info,
}


def _wanted(conditions: tuple[str, ...]) -> dict[str, str]:
    for condition in conditions:
        if "=" not in condition:
            raise ConfigError(f"--condition: expected NAME=VALUE, got {condition!r}")
    return dict(condition.split("=", maxsplit=1) for condition in conditions)
