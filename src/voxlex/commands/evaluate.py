"""`voxlex evaluate`: measure a vocabulary on images."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from voxlex.commands.common import Run, Source, say


@dataclass(kw_only=True)
class Evaluate:
    """Measure reconstructions, codebook, rate and prior on images, and compare new images with real ones.

    Attributes:
        run_folder: Run folder.
        source: The source that the run was trained on. With --split all, any folder or table of scans or any prepared
            data set.
        split: Images to measure on: the held-out images ("test"), or all of them. New images are compared only with
            held-out images.
        samples: Number of new images to draw and to compare with held-out images. This step is skipped if there are too
            few held-out images, or if the number is 0.
        features: Features by which new images are compared: "default", which needs no weights, "inception", or a
            TorchScript file.
        json: File to write the figures to.
        overwrite: Replace the file that is there.
    """

    run_folder: Run
    source: Source
    split: Literal["test", "all"] = "test"
    samples: int = 128
    features: str = "default"
    json: Path | None = None
    overwrite: bool = False

    def run(self) -> None:
        """Evaluate the run."""
        from voxlex.commands.terminal import progress_bar, show_skipped
        from voxlex.outputs import check_file
        from voxlex.run_folder import RunFolder
        from voxlex.vocabulary import load
        from voxlex.workflows.evaluate import evaluate, write_figures
        from voxlex.workflows.opening import files_of, open_for

        if self.json is not None:
            read = (*RunFolder(self.run_folder).files(), Path(self.features))
            check_file(self.json, overwrite=self.overwrite, reads=chain(read, files_of(self.source)))
        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, self.source, phases=progress_bar)
        show_skipped(dataset)
        evaluation = evaluate(
            vocabulary,
            dataset,
            split=self.split,
            samples=self.samples,
            features=self.features,
            phases=progress_bar,
        )
        _show(evaluation.figures, title=f"{self.run_folder} on {self.source} ({self.split})")
        for warning in evaluation.warnings:
            say(f"warning: {warning}")
        if self.json is not None:
            write_figures(self.json, evaluation.figures)


def _show(figures: Mapping[str, float], *, title: str) -> None:
    """Print figures as a table. Figures of new images stand beside the same figures of real images."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "", "", title=title, box=None, title_justify="left", header_style="dim")
    if any(name.endswith("_floor") for name in figures):
        table.columns[2].header = "real images"
    for name, value in figures.items():
        if not name.endswith("_floor"):
            floor = figures.get(f"{name}_floor")
            table.add_row(name, _written(value), "" if floor is None else _written(floor))
    Console().print(table)


def _written(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else f"{value:.4f}"
