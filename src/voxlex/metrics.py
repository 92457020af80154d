"""Measures of reconstructions and of codebook use; each image is measured by itself, means come after."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from voxlex.types import Codes, Image

PerImage = Float[Tensor, " b"]


def l1(x_hat: Image, x: Image) -> PerImage:
    """Mean absolute error of each image, in units of the intensity range."""
    return (x_hat - x).abs().flatten(1).mean(dim=1)


def psnr_db(x_hat: Image, x: Image) -> PerImage:
    """Peak signal-to-noise ratio of each image in dB, for data in [0, 1]."""
    axes = tuple(range(1, x.ndim))
    return peak_signal_noise_ratio(x_hat, x, data_range=1.0, dim=axes, reduction="none")


def ssim(x_hat: Image, x: Image) -> PerImage:
    """Structural similarity of each image in [0, 1] (Wang et al., 2004): Gaussian window 11, σ 1.5."""
    values = structural_similarity_index_measure(
        x_hat, x, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none"
    )
    return values.view(len(x))


def code_counts(codes: Codes, num_embeddings: int) -> Int64[Tensor, "q k"]:
    """How often each codebook's codewords are used."""
    return torch.stack([torch.bincount(column.flatten(), minlength=num_embeddings) for column in codes.unbind(dim=1)])


def entropy_bits(counts: Int64[Tensor, "q k"]) -> float:
    """Entropy of the empirical code distribution in bits per code, a mean over codebooks."""
    p = counts.double() / counts.sum(dim=1, keepdim=True)
    return float(-(p * p.log2().nan_to_num(neginf=0.0)).sum(dim=1).mean())


def perplexity(counts: Int64[Tensor, "q k"]) -> float:
    """Effective number of codewords in use, two to the power of the entropy; from 1 to K."""
    return 2.0 ** entropy_bits(counts)


def usage(counts: Int64[Tensor, "q k"]) -> float:
    """Share of codewords used at least once, from 0 to 1."""
    return float((counts > 0).double().mean())


def rate_bpp(codes_per_image: int, bits_per_code: float, pixels_per_image: int) -> float:
    """Code rate in bits per pixel (per voxel in three dimensions)."""
    return codes_per_image * bits_per_code / pixels_per_image


def bits(nats: float) -> float:
    """Convert nats to bits."""
    return nats / math.log(2)
