"""Metrics of reconstructions and of codebook use. Reconstruction metrics return one value for each image."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from voxlex.types import Image, LevelCodes

PerImage = Float[Tensor, " b"]

_SSIM_WINDOW = 11


def l1(x_hat: Image, x: Image) -> PerImage:
    """Return the mean absolute error of each image, in units of the intensity range."""
    return (x_hat - x).abs().flatten(1).mean(dim=1)


def psnr_db(x_hat: Image, x: Image) -> PerImage:
    """Return the peak signal-to-noise ratio of each image in dB, for data in [0, 1]."""
    axes = tuple(range(1, x.ndim))
    return peak_signal_noise_ratio(x_hat, x, data_range=1.0, dim=axes, reduction="none")


def ssim(x_hat: Image, x: Image) -> PerImage:
    """Return the structural similarity of each image in [0, 1] (Wang et al., 2004).

    The Gaussian window has a side of 11 and σ = 1.5. It has as many dimensions as the images, which are reflected at
    their borders. The result equals that of torchmetrics, whose convolutions take several times as long.
    """
    means = _windowed(torch.cat([x_hat, x, x_hat.square(), x.square(), x_hat * x]))
    x_mean, y_mean, x_square, y_square, product = means.chunk(5)
    x_variance = (x_square - x_mean.square()).clamp(min=0)
    y_variance = (y_square - y_mean.square()).clamp(min=0)
    covariance = product - x_mean * y_mean
    luminance = (2 * x_mean * y_mean + 0.01**2) / (x_mean.square() + y_mean.square() + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (x_variance + y_variance + 0.03**2)
    return (luminance * structure).flatten(1).mean(dim=1)


def _windowed(images: Image) -> Image:
    """Return the mean under a Gaussian window around each pixel, computed one axis at a time."""
    *outer, height, width = (_window_matrix(side, images.device, images.dtype) for side in images.shape[2:])
    images = height.mT @ (images @ width)
    for axis, window in enumerate(outer, start=2):
        images = (images.movedim(axis, -1) @ window).movedim(-1, axis)
    return images


@lru_cache(maxsize=16)
def _window_matrix(length: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "n n"]:
    """Return the window along one axis as a matrix, which is faster than a convolution. Column i belongs to voxel i."""
    reach = _SSIM_WINDOW // 2
    if length <= reach:
        raise ValueError(f"SSIM: expected more than {reach} pixels along each axis, got {length}")
    offsets = torch.arange(-reach, reach + 1)
    taps = torch.exp(-0.5 * (offsets / 1.5).square())
    columns = torch.arange(length)
    matrix = torch.zeros(length, length)
    for offset, weight in zip(offsets.tolist(), taps / taps.sum(), strict=True):
        rows = (columns + offset).abs()
        rows = torch.where(rows >= length, 2 * (length - 1) - rows, rows)
        matrix.index_put_((rows, columns), weight, accumulate=True)
    return matrix.to(device, dtype)


def high_pass(x: Image, *, cutoff: float = 0.125) -> Image:
    """Return the fine detail of images: what is left without frequencies up to `cutoff` cycles per pixel."""
    axes = tuple(range(2, x.ndim))
    spectrum = torch.fft.rfftn(x, dim=axes) * (_radius(x) > cutoff)
    return torch.fft.irfftn(spectrum, s=x.shape[2:], dim=axes)


def detail(x_hat: Image, x: Image) -> tuple[float, float]:
    """Compare the fine detail of images and their reconstructions, over all images together.

    Returns:
        The energy of the detail in `x_hat` as a share of that in `x`, and the correlation of both.
    """
    sides = (high_pass(x_hat).double().flatten(), high_pass(x).double().flatten())
    return detail_from_products(*(float(a @ b) for a, b in ((sides[0],) * 2, (sides[1],) * 2, sides)))


def detail_from_products(energy_hat: float, energy: float, shared: float) -> tuple[float, float]:
    """Return the results of `detail` from the sums of x̂², x² and x̂ x; not a number where there is no detail."""
    ratio, size = (energy_hat / energy if energy > 0 else math.nan), math.sqrt(energy_hat * energy)
    return ratio, (shared / size if size > 0 else math.nan)


def radial_power(x: Image, *, rings: int = 32) -> Float[Tensor, "b r"]:
    """Return the power spectrum of each image, averaged over rings of equal width up to half a cycle per pixel."""
    axes = tuple(range(2, x.ndim))
    power = torch.fft.rfftn(x, dim=axes, norm="ortho").abs().square().mean(dim=1).flatten(1)
    ring = (_radius(x).flatten() * 2 * rings).long()
    inside = ring < rings
    sums = power.new_zeros(len(x), rings).index_add(1, ring[inside], power[:, inside])
    return sums / torch.bincount(ring[inside], minlength=rings).clamp(min=1)


def _radius(x: Image) -> Float[Tensor, "*frequencies"]:
    """Return the frequency of each coefficient of `rfftn`, in cycles per pixel."""
    *sides, last = x.shape[2:]
    frequencies = [*map(torch.fft.fftfreq, sides), torch.fft.rfftfreq(last)]
    grids = torch.meshgrid(*frequencies, indexing="ij")
    return torch.stack(grids).norm(dim=0).to(x.device)


def code_counts(codes: LevelCodes, num_embeddings: int) -> Int64[Tensor, "q k"]:
    """How often each codebook's codewords are used."""
    return torch.stack([torch.bincount(column.flatten(), minlength=num_embeddings) for column in codes.unbind(dim=1)])


def entropy_bits(counts: Int64[Tensor, "q k"]) -> float:
    """Return the entropy of the empirical code distribution in bits per code, averaged over codebooks."""
    p = counts.double() / counts.sum(dim=1, keepdim=True)
    return float(-(p * p.log2().nan_to_num(neginf=0.0)).sum(dim=1).mean())


def perplexity(counts: Int64[Tensor, "q k"]) -> float:
    """Return the effective number of codewords in use, from 1 to K: two to the power of the entropy."""
    return 2.0 ** entropy_bits(counts)


def usage(counts: Int64[Tensor, "q k"]) -> float:
    """Return the share of codewords that are used at least once, from 0 to 1."""
    return float((counts > 0).double().mean())


def bits(nats: float) -> float:
    """Convert nats to bits."""
    return nats / math.log(2)
