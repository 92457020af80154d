"""How well a vocabulary says images it has not seen, and how many bits that takes."""

from dataclasses import dataclass
from math import log2, prod

import torch
from torch import Tensor

from voxlex import metrics
from voxlex.data.dataset import PreparedDataset
from voxlex.health import codebook_health
from voxlex.models import VQVAE
from voxlex.models.batches import reconstruct_in_batches
from voxlex.types import Codes


@dataclass(frozen=True)
class ReconstructionFigures:
    """Figures of a set of images, and the codes they were stored as.

    Attributes:
        figures: `reconstruction.l1`, `.psnr_db`, `.ssim` (means over images), `codebook.*` (see `health`), `rate_bpp`
            (log₂K bits a code) and `n_images`.
        codes: Of every image, on the CPU.
        per_image: SSIM and PSNR in dB of every image, `(n, 2)`.
        warning: What is wrong with the codebook and what to try, if it has collapsed.
    """

    figures: dict[str, float]
    codes: Codes
    per_image: Tensor
    warning: str | None


def evaluate_reconstruction(autoencoder: VQVAE, dataset: PreparedDataset) -> ReconstructionFigures:
    """Reconstruct every image and measure."""
    per_image: list[Tensor] = []
    codes: list[Codes] = []
    for x, batch_codes, x_hat in reconstruct_in_batches(autoencoder, dataset):
        measures = [metrics.ssim(x_hat, x), metrics.psnr_db(x_hat, x), metrics.l1(x_hat, x)]
        per_image.append(torch.stack(measures, dim=1))
        codes.append(batch_codes)
    table, all_codes = torch.cat(per_image), torch.cat(codes)
    health = codebook_health(autoencoder.quantizer, all_codes)
    ssim, psnr_db, l1 = table.double().mean(dim=0).tolist()
    figures = {
        "reconstruction.ssim": ssim,
        "reconstruction.psnr_db": psnr_db,
        "reconstruction.l1": l1,
        **health.figures,
        "rate_bpp": metrics.rate_bpp(
            codes_per_image=prod(all_codes.shape[1:]),
            bits_per_code=log2(autoencoder.quantizer.num_embeddings),
            pixels_per_image=prod(dataset.images.shape[2:]),
        ),
        "n_images": len(dataset),
    }
    return ReconstructionFigures(figures=figures, codes=all_codes, per_image=table[:, :2], warning=health.warning)
