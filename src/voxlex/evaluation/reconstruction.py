"""Evaluate the quality of reconstructions, and the number of bits that the codes need."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from voxlex import metrics
from voxlex.codes import concatenate, rate_bpp
from voxlex.data.dataset import PreparedDataset, unit_images
from voxlex.evaluation.intervals import bootstrap_interval
from voxlex.health import health_of
from voxlex.models import Autoencoder
from voxlex.models.batches import Decode, code_batches, decoded_batch, pixel_batches, reconstructed_batch
from voxlex.progress import Progress
from voxlex.types import Codes, Image, Levels
from voxlex.workers import HERE, Workers


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
    batches = workers.map(partial(_reconstructed, autoencoder), pixel_batches(dataset))
    measured, codes = _measured(batches, dataset, progress=progress)
    health = health_of(autoencoder.quantizers, codes)
    figures = {
        **{f"reconstruction.{name}": value for name, value in measured.items()},
        **health.figures,
        "rate_bpp": rate_bpp(autoencoder.layouts(dataset.images.shape[2:]), pixels_per_image=dataset.images[0, 0].size),
        "n_images": len(dataset),
    }
    return ReconstructionFigures(figures=figures, codes=codes, warnings=health.warnings)


def evaluate_texture(
    decode: Decode,
    codes: Codes | Levels,
    dataset: PreparedDataset,
    *,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> dict[str, float]:
    """Measure textured reconstructions by the figures of reconstructions, which begin with `texture.` here.

    Args:
        decode: The textured decoder.
        codes: The codes of the images.
        dataset: The images.
        progress: Receives the number of images done, and of all images.
        workers: Who decodes and measures.
    """
    pairs = zip(pixel_batches(dataset), code_batches(codes, dataset), strict=True)
    measured, _ = _measured(workers.map(partial(_decoded, decode), pairs), dataset, progress=progress)
    return {f"texture.{name}": value for name, value in measured.items()}


_Measured = tuple[Tensor, Codes | Levels]
"""What is measured of each image of a batch, `(b, 6)`, and their codes."""


def _reconstructed(autoencoder: Autoencoder, pixels: np.ndarray) -> _Measured:
    codes, x_hat = reconstructed_batch(autoencoder, None, pixels)
    return _measures(unit_images(pixels), x_hat), codes


def _decoded(decode: Decode, pair: tuple[np.ndarray, Codes | Levels]) -> _Measured:
    pixels, codes = pair
    return _measures(unit_images(pixels), decoded_batch(decode, codes)), codes


def _measures(x: Image, x_hat: Image) -> Float[Tensor, "b 6"]:
    """Return SSIM, PSNR and L1 of each image, and sums of the products of the fine detail of both."""
    detail, detail_hat = metrics.high_pass(x).flatten(1), metrics.high_pass(x_hat).flatten(1)
    products = [(detail_hat * detail_hat), (detail * detail), (detail_hat * detail)]
    measures = [metrics.ssim(x_hat, x), metrics.psnr_db(x_hat, x), metrics.l1(x_hat, x)]
    return torch.stack([*measures, *(product.sum(dim=1) for product in products)], dim=1)


def _measured(
    batches: Iterable[_Measured], dataset: PreparedDataset, *, progress: Progress | None
) -> tuple[dict[str, float], Codes | Levels]:
    """Return the figures of quality by name, and the codes."""
    per_image: list[Tensor] = []
    found: list[Codes | Levels] = []
    done = 0
    for measures, codes in batches:
        per_image.append(measures)
        found.append(codes)
        done += len(measures)
        if progress is not None:
            progress(done, len(dataset))
    values = torch.cat(per_image).double().numpy()
    energy, correlation = metrics.detail_from_products(*values[:, 3:].sum(axis=0).tolist())
    figures = _means(values, groups=list(dataset.manifest["group"]))
    return figures | {"high_pass_energy": energy, "high_pass_correlation": correlation}, concatenate(found)


def _means(values: Float[np.ndarray, "n _"], *, groups: list[str]) -> dict[str, float]:
    """Return the mean of SSIM, PSNR and L1, each with its confidence interval."""
    figures = {}
    for name, column in zip(("ssim", "psnr_db", "l1"), values.T, strict=False):
        low, high = bootstrap_interval(column, groups)
        figures[name] = float(column.mean())
        if np.isfinite([low, high]).all():
            figures |= {f"{name}_low": low, f"{name}_high": high}
    return figures
