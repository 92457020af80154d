"""Commands that use a vocabulary on images: measure, reconstruct, store, restore."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from voxlex.commands.common import Run, Source


@dataclass(kw_only=True)
class Evaluate:
    """Measure reconstructions, codebook, code rate and prior on images, and judge new images beside real ones.

    Attributes:
        run_folder: Run folder.
        source: What it was trained on, or, with --split all, any folder or table of scans or prepared data set.
        split: The images that training never saw, or all; new images are judged beside the former only.
        samples: New images to draw and judge, if there are enough held-out ones; 0 for none.
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
    """Write what the vocabulary makes of scans, and a sheet of originals, reconstructions and differences.

    Attributes:
        run_folder: Run folder.
        source: Folder or table of scans, single scan, prepared data set, or "phantom".
        out: Folder for the results, named after the scans: pictures as PNG, volumes as NIfTI on their own grid.
        inputs: Also write each scan as the model saw it, as NAME.input.png or NAME.input.nii.gz.
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
        from voxlex.workflows.outputs import check_apart, check_output_folder
        from voxlex.workflows.reconstruct import reconstruct
        from voxlex.workflows.source import open_for

        check_apart(self.source, self.out)
        check_output_folder(self.out, overwrite=self.overwrite)
        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, self.source, whole=True)
        count = reconstruct(vocabulary, dataset, out=self.out, inputs=self.inputs, overwrite=self.overwrite)
        print(f"{count} reconstructions in {self.out}")


@dataclass(kw_only=True)
class Encode:
    """Store scans as codes: one row a picture, or a slice of a volume.

    Attributes:
        run_folder: Run folder.
        source: Folder or table of scans, single scan, prepared data set, or "phantom".
        out: Parquet file to write, NAME.parquet.
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
        dataset = open_for(vocabulary.config, self.source, whole=True)
        count = encode(vocabulary, dataset, out=self.out, overwrite=self.overwrite)
        print(f"codes of {count} images in {self.out}")


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
        from voxlex.workflows.codes import decode

        vocabulary = load(self.run_folder)
        count = decode(vocabulary, self.codes, out=self.out, original_size=self.original_size, overwrite=self.overwrite)
        print(f"{count} scans in {self.out}")


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
