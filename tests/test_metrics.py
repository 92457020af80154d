import math

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from voxlex import metrics


def test_figures_of_each_image_by_itself() -> None:
    x = torch.zeros(2, 1, 16, 16)
    x_hat = torch.stack([torch.full((1, 16, 16), 0.1), torch.full((1, 16, 16), 0.01)])
    torch.testing.assert_close(metrics.l1(x_hat, x), torch.tensor([0.1, 0.01]))
    torch.testing.assert_close(metrics.psnr_db(x_hat, x), torch.tensor([20.0, 40.0]), rtol=1e-4, atol=1e-3)


def gaussian_ssim(x: torch.Tensor, y: torch.Tensor) -> float:
    """Wang et al. (2004), written out in float64: window 11, σ 1.5, K₁ 0.01, K₂ 0.03, reflected borders."""
    axis = torch.arange(11, dtype=torch.float64) - 5
    kernel = torch.exp(-(axis**2) / (2 * 1.5**2))
    window = torch.outer(kernel, kernel)[None, None] / kernel.sum() ** 2

    def blur(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(torch.nn.functional.pad(image, (5, 5, 5, 5), mode="reflect"), window)

    x, y = x.double()[None, None], y.double()[None, None]
    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(similarity.mean())


def test_ssim_equals_the_formula_in_float64() -> None:
    x = torch.rand(3, 1, 40, 40)
    x_hat = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    expected = torch.tensor([gaussian_ssim(a[0], b[0]) for a, b in zip(x_hat, x, strict=True)])
    torch.testing.assert_close(metrics.ssim(x_hat, x), expected, rtol=0, atol=1e-4)


def test_ssim_of_volumes_equals_that_of_torchmetrics() -> None:
    x = torch.rand(2, 1, 14, 18, 20)
    x_hat = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    expected = structural_similarity_index_measure(x_hat, x, data_range=1.0, reduction="none")
    torch.testing.assert_close(metrics.ssim(x_hat, x), expected, rtol=0, atol=1e-5)


def test_codebook_figures() -> None:
    codes = torch.tensor([[[0, 0, 1, 1]], [[2, 2, 3, 3]]])
    counts = metrics.code_counts(codes, 8)
    assert counts.tolist() == [[2, 2, 2, 2, 0, 0, 0, 0]]
    assert metrics.entropy_bits(counts) == pytest.approx(2)
    assert metrics.perplexity(counts) == pytest.approx(4)
    assert metrics.usage(counts) == pytest.approx(0.5)


def test_a_collapsed_codebook_has_perplexity_one() -> None:
    counts = metrics.code_counts(torch.zeros(2, 1, 4, 4, dtype=torch.int64), 16)
    assert metrics.perplexity(counts) == pytest.approx(1)


def test_bits() -> None:
    assert metrics.bits(math.log(8)) == pytest.approx(3)


@pytest.mark.parametrize("shape", [(2, 1, 32, 40), (2, 1, 16, 24, 32)])
def test_high_pass_keeps_fine_waves_and_removes_coarse_ones(shape: tuple[int, ...]) -> None:
    place = torch.arange(shape[-1])
    coarse = torch.cos(2 * math.pi * place / 8).expand(shape)  # exactly at the cutoff, which is removed
    fine = torch.cos(2 * math.pi * place / 4).expand(shape)
    torch.testing.assert_close(metrics.high_pass(0.3 + coarse + fine), fine, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 32, 40), (2, 1, 16, 24, 32)])
def test_radial_power_finds_the_frequency_of_a_wave(shape: tuple[int, ...]) -> None:
    wave = torch.cos(2 * math.pi * torch.arange(shape[-1]) / 4).expand(shape)  # a quarter of a cycle per pixel
    power = metrics.radial_power(wave, rings=8)
    assert power.shape == (2, 8)
    assert power.argmax(dim=1).tolist() == [4, 4], "rings are 1/16 wide, and the ring from 4/16 is number 4"
    assert power[:, 4].min() > 1e6 * power[:, [0, 1, 2, 6, 7]].max()


def test_radial_power_of_white_noise_is_flat() -> None:
    noise = torch.randn(64, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(metrics.radial_power(noise, rings=8).mean(dim=0), torch.ones(8), rtol=0, atol=0.1)
