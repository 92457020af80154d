"""Measure a trained vocabulary on images."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from voxlex.data.atomic import atomic_file
from voxlex.data.prepared import PreparedDataset
from voxlex.evaluation.generation import wording
from voxlex.evaluation.likelihood import evaluate_prior
from voxlex.evaluation.reconstruction import ReconstructionFigures, evaluate_reconstruction
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.judge import Generation, generate_and_judge


@dataclass(frozen=True)
class Evaluation:
    """All figures of a set of images by their names, and what else a report shows of them."""

    figures: dict[str, float]
    reconstruction: ReconstructionFigures
    generation: Generation | None

    @property
    def warnings(self) -> list[str]:
        """What a reader must know to judge the figures."""
        found = [] if self.reconstruction.warning is None else [self.reconstruction.warning]
        judged = self.generation is not None and self.generation.report is not None
        return found + (wording.warnings(self.figures) if judged else [])


def evaluate(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    split: Literal["test", "all"] = "test",
    samples: int = 128,
    features: str = "default",
) -> Evaluation:
    """Measure reconstructions, codes, and, if there is one, the prior and what is drawn from it.

    Args:
        vocabulary: What is measured.
        dataset: Images; if `split` is "test", those that the vocabulary was trained on and their test part.
        split: Which of them to measure on. New images are judged beside the test part only.
        samples: How many new images to judge; 0 for none.
        features: What new images are compared by; see `evaluation.generation.load_features`.
    """
    images = dataset.subset(split)
    reconstruction = evaluate_reconstruction(vocabulary.autoencoder, images)
    figures, generation = dict(reconstruction.figures), None
    if vocabulary.prior is not None:
        figures |= evaluate_prior(
            vocabulary.prior,
            reconstruction.codes,
            vocabulary.prior.conditions.look_up(images.manifest),
            pixels_per_image=images.images[0, 0].size,
        )
    if vocabulary.prior is not None and samples and split == "test":
        generation = generate_and_judge(vocabulary, dataset, count=samples, features=features)
        figures |= generation.report.figures if generation.report else {}
    return Evaluation(figures=figures, reconstruction=reconstruction, generation=generation)


def show(figures: Mapping[str, float], *, title: str) -> None:
    """Print figures as a table; beside a figure of new images, the same of real ones."""
    table = Table("", "", "", title=title, box=None, title_justify="left", header_style="dim")
    if any(name.endswith("_floor") for name in figures):
        table.columns[2].header = "real images"
    for name, value in figures.items():
        if not name.endswith("_floor"):
            floor = figures.get(f"{name}_floor")
            table.add_row(name, _written(value), "" if floor is None else _written(floor))
    Console().print(table)


def write_json(path: Path, figures: Mapping[str, float]) -> None:
    """Write figures as a JSON object.

    Raises:
        DataError: If the file cannot be written.
    """
    with atomic_file(path) as building:
        building.write_text(json.dumps(dict(figures), indent=2) + "\n", encoding="utf-8")


def _written(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else f"{value:.4f}"
