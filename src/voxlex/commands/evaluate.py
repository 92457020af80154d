"""`voxlex evaluate`: measure a vocabulary on images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voxlex.commands.common import Run, Source


@dataclass(kw_only=True)
class Evaluate:
    """Measure reconstructions, codebook, rate and prior on images, and compare new images with real ones.

    Attributes:
        run_folder: Run folder.
        source: What the run was trained on; with --split all, any folder or table of scans or prepared data set.
        split: Measure on the images that training never saw, or on all. New images are compared only with the former.
        samples: How many new images to draw and compare, if enough images were held out; 0 for none.
        features: What new images are compared by: "default", which needs no weights, "inception", or a TorchScript
            file.
        json: File to write the figures to.
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
