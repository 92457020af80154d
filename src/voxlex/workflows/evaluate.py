"""Measure a trained vocabulary on images."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from voxlex.data.atomic import atomic_file
from voxlex.data.prepared import PreparedDataset
from voxlex.evaluation.likelihood import evaluate_prior
from voxlex.evaluation.reconstruction import ReconstructionFigures, evaluate_reconstruction
from voxlex.vocabulary import Vocabulary


@dataclass(frozen=True)
class Evaluation:
    """All figures of a set of images by their names, and what else a report shows of them."""

    figures: dict[str, float]
    reconstruction: ReconstructionFigures


def evaluate(vocabulary: Vocabulary, dataset: PreparedDataset) -> Evaluation:
    """Measure reconstructions, codes, and, if there is one, the prior."""
    reconstruction = evaluate_reconstruction(vocabulary.autoencoder, dataset)
    figures = dict(reconstruction.figures)
    if vocabulary.prior is not None:
        figures |= evaluate_prior(
            vocabulary.prior,
            reconstruction.codes,
            _condition(vocabulary, dataset),
            pixels_per_image=dataset.images[0, 0].size,
        )
    return Evaluation(figures=figures, reconstruction=reconstruction)


def show(figures: Mapping[str, float], *, title: str) -> None:
    """Print figures as a table."""
    table = Table(title=title, show_header=False, box=None, title_justify="left")
    for name, value in figures.items():
        table.add_row(name, f"{value:d}" if isinstance(value, int) else f"{value:.4f}")
    Console().print(table)


def write_json(path: Path, figures: Mapping[str, float]) -> None:
    """Write figures as a JSON object.

    Raises:
        DataError: If the file cannot be written.
    """
    with atomic_file(path) as building:
        building.write_text(json.dumps(dict(figures), indent=2) + "\n", encoding="utf-8")


def _condition(vocabulary: Vocabulary, dataset: PreparedDataset) -> torch.Tensor | None:
    """Return the class of each image; a label that the prior has never met counts as unknown."""
    known = vocabulary.labels
    return vocabulary.classes([label if label in known else "" for label in dataset.manifest["label"]])
