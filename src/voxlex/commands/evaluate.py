"""`voxlex evaluate`: measure a vocabulary on images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from voxlex.commands.common import OnRay, Run, Source, say
from voxlex.config import ReadingOptions
from voxlex.stores.addresses import shown


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
        features: Features by which new images are compared: "default", which needs no weights, "deep", which needs
            `pip install 'voxlex[deep]'`, "inception", or a TorchScript file. "auto" is "deep" if it is installed.
        json: File to write the figures to.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        on_ray: Let the workers of a Ray cluster do the work, with the same results.
        overwrite: Replace the file that is there.
    """

    run_folder: Run
    source: Source
    split: Literal["test", "all"] = "test"
    samples: int = 128
    features: str = "auto"
    json: Path | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    on_ray: OnRay = field(default_factory=OnRay)
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
            check_file(
                self.json, overwrite=self.overwrite, reads=chain(read, files_of(self.source)), suffixes=(".json",)
            )
        vocabulary = load(self.run_folder)
        with self.on_ray.open() as workers:
            dataset = open_for(
                vocabulary.config, self.source, reading=self.reading, workers=workers, phases=progress_bar
            )
            show_skipped(dataset)
            evaluation = evaluate(
                vocabulary,
                dataset,
                split=self.split,
                samples=self.samples,
                features=self.features,
                workers=workers,
                phases=progress_bar,
            )
        _show(evaluation.figures, title=shown(f"{self.run_folder} on {self.source} ({self.split})"))
        for warning in evaluation.warnings:
            say(f"warning: {warning}")
        if self.json is not None:
            write_figures(self.json, evaluation.figures)


def _show(figures: Mapping[str, float], *, title: str) -> None:
    """Print figures as a table. Figures of new images stand beside the same figures of real images."""
    from rich.console import Console
    from rich.table import Table

    ends = {"_floor": "real images", "_reconstructed": "reconstructions", "_textured": "textured"}
    columns = [end for end in ends if any(name.endswith(end) for name in figures)]
    table = Table(
        "", "", *[ends[end] for end in columns], title=title, box=None, title_justify="left", header_style="dim"
    )
    for name in figures:
        if not name.endswith((*ends, "_low", "_high")):
            table.add_row(name, *[_written(figures, f"{name}{end}") for end in ("", *columns)])
    Console().print(table)


def _written(figures: Mapping[str, float], name: str) -> str:
    """Write a figure, and below it its confidence interval if it has one; nothing if there is no such figure."""
    if name not in figures:
        return ""
    value, low, high = figures[name], figures.get(f"{name}_low"), figures.get(f"{name}_high")
    if isinstance(value, int):
        return f"{value:d}"
    return f"{value:.4f}" if low is None or high is None else f"{value:.4f}\n{low:.3f}–{high:.3f}"
