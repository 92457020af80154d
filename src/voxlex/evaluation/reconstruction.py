"""Evaluate the quality of reconstructions, and the number of bits that the codes need."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from voxlex import metrics
from voxlex.codes import concatenate, rate_bpp
from voxlex.data.dataset import PreparedDataset
from voxlex.health import health_of
from voxlex.models import Autoencoder
from voxlex.models.batches import reconstruct_in_batches
from voxlex.progress import Progress
from voxlex.types import Codes, Levels


@dataclass(frozen=True)
class ReconstructionFigures:
    """Figures of a set of images, and their codes.

    Attributes:
        figures: `reconstruction.l1`, `.psnr_db`, `.ssim` (means over images), `codebook.*` (see `health.Health`),
            `rate_bpp` (at log₂K bits a code) and `n_images`.
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
        measures = [metrics.ssim(x_hat, x), metrics.psnr_db(x_hat, x), metrics.l1(x_hat, x)]
        per_image.append(torch.stack(measures, dim=1))
        batches.append(codes)
        done += len(x)
        if progress is not None:
            progress(done, len(dataset))
    ssim, psnr_db, l1 = torch.cat(per_image).double().mean(dim=0).tolist()
    all_codes, space = concatenate(batches), dataset.images.shape[2:]
    health = health_of(autoencoder.quantizers, all_codes)
    figures = {
        "reconstruction.ssim": ssim,
        "reconstruction.psnr_db": psnr_db,
        "reconstruction.l1": l1,
        **health.figures,
        "rate_bpp": rate_bpp(autoencoder.layouts(space), pixels_per_image=prod(space)),
        "n_images": len(dataset),
    }
    return ReconstructionFigures(figures=figures, codes=all_codes, warnings=health.warnings)
