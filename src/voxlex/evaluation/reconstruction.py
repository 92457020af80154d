"""Evaluate the quality of reconstructions, and the number of bits that the codes need."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor

from voxlex.codes import rate_bpp
from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.looking import FAITHFUL, Look, Looked, look_at
from voxlex.evaluation.quality import quality_figures
from voxlex.health import health_of
from voxlex.models import Autoencoder
from voxlex.progress import Progress
from voxlex.workers import HERE, Workers


@dataclass(frozen=True)
class ReconstructionFigures:
    """Figures of a set of images, and how often they use each codeword.

    Attributes:
        figures: `reconstruction.*` (see `quality.quality_figures`), `codebook.*` (see `health.Health`), `rate_bpp` (at
            log₂K bits a code) and `n_images`.
        counts: How often each codeword of each codebook occurs, for each level, coarsest first.
        warnings: The problem and a remedy for each codebook that has collapsed.
    """

    figures: dict[str, float]
    counts: Sequence[Int64[Tensor, "_ _"]]
    warnings: list[str]


def evaluate_reconstruction(
    autoencoder: Autoencoder,
    dataset: PreparedDataset,
    *,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> ReconstructionFigures:
    """Reconstruct every image, and measure the quality.

    Args:
        autoencoder: The model to measure.
        dataset: The images.
        progress: Receives the number of images done, and of all images.
        workers: Who reconstructs and measures.
    """
    look = Look(autoencoder=autoencoder, decoders={})
    return reconstruction_figures(look_at(look, dataset, progress=progress, workers=workers), autoencoder, dataset)


def reconstruction_figures(looked: Looked, autoencoder: Autoencoder, dataset: PreparedDataset) -> ReconstructionFigures:
    """Return the figures of what was measured of every image of a data set."""
    groups = list(dataset.manifest["group"])
    health = health_of(autoencoder.quantizers, looked.counts)
    measured = quality_figures(looked.quality[FAITHFUL], groups=groups)
    figures = {
        **{f"reconstruction.{name}": value for name, value in measured.items()},
        **health.figures,
        "rate_bpp": rate_bpp(autoencoder.layouts(dataset.images.shape[2:]), pixels_per_image=dataset.images[0, 0].size),
        "n_images": len(dataset),
    }
    return ReconstructionFigures(figures=figures, counts=looked.counts, warnings=health.warnings)


def texture_figures(looked: Looked, dataset: PreparedDataset) -> dict[str, float]:
    """Return the figures of quality of textured reconstructions, which begin with `texture.` here."""
    measured = quality_figures(looked.quality["textured"], groups=list(dataset.manifest["group"]))
    return {f"texture.{name}": value for name, value in measured.items()}
