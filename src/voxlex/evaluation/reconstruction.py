"""How well a vocabulary says images it has not seen, and how many bits that takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2, prod
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from voxlex import metrics
from voxlex.data.prepared import PreparedDataset
from voxlex.data.selection import images_at_once
from voxlex.health import codebook_health
from voxlex.models import VQVAE
from voxlex.types import Codes, Image

BATCH_SIZE = 32


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


@runtime_checkable
class Codec(Protocol):
    """What turns images into codes and back: an autoencoder, or a vocabulary, which takes large volumes in tiles."""

    def encode(self, images: Tensor) -> Codes:
        """Return the codes of images."""

    def decode(self, codes: Tensor) -> Image:
        """Return the images that codes stand for."""


def reconstruct_in_batches(codec: Codec, dataset: PreparedDataset) -> Iterator[tuple[Image, Codes, Image]]:
    """Yield images, their codes and their reconstructions in [0, 1], on the CPU, a batch at a time."""
    at_once = images_at_once(dataset.images[0].size, BATCH_SIZE)
    for start in range(0, len(dataset), at_once):
        x = dataset.tensor(slice(start, start + at_once))
        codes = codec.encode(x)
        yield x, codes.cpu(), codec.decode(codes).cpu()


def encode_dataset(codec: Codec, dataset: PreparedDataset) -> Codes:
    """Return the codes of every image, on the CPU."""
    at_once = images_at_once(dataset.images[0].size, BATCH_SIZE)
    starts = range(0, len(dataset), at_once)
    return torch.cat([codec.encode(dataset.tensor(slice(i, i + at_once))).cpu() for i in starts])


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
