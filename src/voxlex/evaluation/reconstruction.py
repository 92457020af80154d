"""Evaluate the quality of reconstructions, and the number of bits that the codes need."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
from voxlex.models.batches import decode_in_batches, reconstruct_in_batches
from voxlex.progress import Progress
from voxlex.types import Codes, Image, Levels


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
    measured, codes = _measured(reconstruct_in_batches(autoencoder, dataset), dataset, progress=progress)
    health = health_of(autoencoder.quantizers, codes)
    figures = {
        **{f"reconstruction.{name}": value for name, value in measured.items()},
        **health.figures,
        "rate_bpp": rate_bpp(autoencoder.layouts(dataset.images.shape[2:]), pixels_per_image=dataset.images[0, 0].size),
        "n_images": len(dataset),
    }
    return ReconstructionFigures(figures=figures, codes=codes, warnings=health.warnings)


def evaluate_texture(
    decode: Callable[[Codes | Levels], Image],
    codes: Codes | Levels,
    dataset: PreparedDataset,
    *,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Measure textured reconstructions by the figures of reconstructions, which begin with `texture.` here.

    Args:
        decode: The textured decoder.
        codes: The codes of the images.
        dataset: The images.
        progress: Receives the number of images done, and of all images.
    """
    measured, _ = _measured(decode_in_batches(decode, codes, dataset), dataset, progress=progress)
    return {f"texture.{name}": value for name, value in measured.items()}


def _measured(
    reconstructed: Iterable[tuple[Image, Codes | Levels, Image]],
    dataset: PreparedDataset,
    *,
    progress: Progress | None,
) -> tuple[dict[str, float], Codes | Levels]:
    """Return the figures of quality by name, and the codes."""
    per_image: list[Tensor] = []
    batches: list[Codes | Levels] = []
    done = 0
    for x, codes, x_hat in reconstructed:
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
    energy, correlation = metrics.detail_from_products(*values[:, 3:].sum(axis=0).tolist())
    figures = _means(values, groups=list(dataset.manifest["group"]))
    return figures | {"high_pass_energy": energy, "high_pass_correlation": correlation}, concatenate(batches)


def _means(values: Float[np.ndarray, "n _"], *, groups: list[str]) -> dict[str, float]:
    """Return the mean of SSIM, PSNR and L1, each with its confidence interval."""
    figures = {}
    for name, column in zip(("ssim", "psnr_db", "l1"), values.T, strict=False):
        low, high = bootstrap_interval(column, groups)
        figures[name] = float(column.mean())
        if np.isfinite([low, high]).all():
            figures |= {f"{name}_low": low, f"{name}_high": high}
    return figures
