"""Evaluate the quality of reconstructions, and the number of bits that the codes need."""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from voxlex import metrics
from voxlex.codes import concatenate, rate_bpp
from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.intervals import bootstrap_interval
from voxlex.health import health_of
from voxlex.models import Autoencoder
from voxlex.models.batches import reconstruct_in_batches
from voxlex.progress import Progress
from voxlex.types import Codes, Levels


@dataclass(frozen=True)
class ReconstructionFigures:
    """Figures of a set of images, and their codes.

    Attributes:
        figures: `reconstruction.l1`, `.psnr_db`, `.ssim` (means over images, with the ends of a confidence interval as
            in `.ssim_low` and `.ssim_high`), `.high_pass_energy` (of the reconstructions, in shares of that of the
            images) and `.high_pass_correlation`, `codebook.*` (see `health.Health`), `rate_bpp` (at log₂K bits a code)
            and `n_images`.
        codes: The codes of every image, on the CPU.
        warnings: The problem and a remedy for each codebook that has collapsed.
    """

    figures: dict[str, float]
    codes: Codes | Levels
    warnings: list[str]


def evaluate_reconstruction(
    autoencoder: Autoencoder, dataset: PreparedDataset, *, progress: Progress | None = None
) -> ReconstructionFigures:
    """Reconstruct every image, and measure the quality.

    Args:
        autoencoder: The model to measure.
        dataset: The images.
        progress: Receives the number of images done, and of all images.
    """
    per_image: list[Tensor] = []
    batches: list[Codes | Levels] = []
    done = 0
    for x, codes, x_hat in reconstruct_in_batches(autoencoder, dataset):
        detail, detail_hat = metrics.high_pass(x).flatten(1), metrics.high_pass(x_hat).flatten(1)
        products = [(detail_hat * detail_hat), (detail * detail), (detail_hat * detail)]
        measures = [metrics.ssim(x_hat, x), metrics.psnr_db(x_hat, x), metrics.l1(x_hat, x)]
        measures += [product.sum(dim=1) for product in products]
        per_image.append(torch.stack(measures, dim=1))
        batches.append(codes)
        done += len(x)
        if progress is not None:
            progress(done, len(dataset))
    values = torch.cat(per_image).double().numpy()
    energy_hat, energy, shared = values[:, 3:].sum(axis=0)
    all_codes, space = concatenate(batches), dataset.images.shape[2:]
    health = health_of(autoencoder.quantizers, all_codes)
    figures = {
        **_means(values, groups=list(dataset.manifest["group"])),
        "reconstruction.high_pass_energy": _ratio(energy_hat, energy),
        "reconstruction.high_pass_correlation": _ratio(shared, (energy_hat * energy) ** 0.5),
        **health.figures,
        "rate_bpp": rate_bpp(autoencoder.layouts(space), pixels_per_image=prod(space)),
        "n_images": len(dataset),
    }
    return ReconstructionFigures(figures=figures, codes=all_codes, warnings=health.warnings)


def _means(values: Float[np.ndarray, "n _"], *, groups: list[str]) -> dict[str, float]:
    """Return the mean of SSIM, PSNR and L1, each with its confidence interval."""
    figures = {}
    for name, column in zip(("ssim", "psnr_db", "l1"), values.T, strict=False):
        low, high = bootstrap_interval(column, groups)
        figures[f"reconstruction.{name}"] = float(column.mean())
        if np.isfinite([low, high]).all():
            figures |= {f"reconstruction.{name}_low": low, f"reconstruction.{name}_high": high}
    return figures


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
