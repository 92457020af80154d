import math
from itertools import product

import pytest
import torch

from voxlex.losses import RECONSTRUCTION_LOSSES, charbonnier, log_spectrum_loss, reconstruction_losses, ssim_loss


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(3, 1, 24, 24, requires_grad=True), torch.rand(3, 1, 24, 24)


def test_terms_equal_their_formulas(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    x_hat, x = pair
    error = (x_hat - x).double()
    losses = reconstruction_losses(x_hat, x, {"l1": 1.0, "l2": 2.0, "charbonnier": 0.5})
    torch.testing.assert_close(losses["l1"].double(), error.abs().mean(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(losses["l2"].double(), 2 * (error**2).mean(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(
        losses["charbonnier"].double(), 0.5 * (error**2 + 1e-6).sqrt().mean(), rtol=1e-6, atol=1e-7
    )


def test_perfect_reconstructions_cost_nothing() -> None:
    x = torch.rand(2, 1, 24, 24)
    assert charbonnier(x, x) == pytest.approx(1e-3)
    assert float(ssim_loss(x, x)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(32, 40), (16, 24, 8)])
def test_log_spectra_equal_the_formula_written_out(shape: tuple[int, ...]) -> None:
    x_hat, x = torch.rand(2, 1, *shape), torch.rand(2, 1, *shape)
    side = 16 if len(shape) == 2 else 8
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(side, dtype=torch.float64) / side)
    window = hann[:, None] * hann if len(shape) == 2 else hann[:, None, None] * hann[:, None] * hann
    differences = []
    for corner in product(*[range(0, length - side + 1, side // 2) for length in shape]):
        place = (..., *[slice(start, start + side) for start in corner])
        logs = [
            (torch.fft.rfftn(images[place].double() * window, dim=tuple(range(2, images.ndim))).abs() + 0.01).log()
            for images in (x_hat, x)
        ]
        differences.append((logs[0] - logs[1]).abs().flatten())
    torch.testing.assert_close(log_spectrum_loss(x_hat, x).double(), torch.cat(differences).mean(), rtol=1e-4, atol=0)


def test_log_spectra_ask_for_texture_wherever_it_lies() -> None:
    texture = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    elsewhere, smooth = texture.roll((3, 5), (2, 3)), torch.full_like(texture, 0.5)
    assert log_spectrum_loss(elsewhere, texture) < 0.5 * log_spectrum_loss(smooth, texture)
    assert (elsewhere - texture).abs().mean() > (smooth - texture).abs().mean()
    assert float(log_spectrum_loss(texture, texture)) == 0


@pytest.mark.parametrize("name", sorted(RECONSTRUCTION_LOSSES))
def test_terms_have_gradients_and_do_not_depend_on_the_batch_size(
    name: str, pair: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x_hat, x = pair
    once = reconstruction_losses(x_hat, x, {name: 1.0})[name]
    twice = reconstruction_losses(torch.cat([x_hat, x_hat]), torch.cat([x, x]), {name: 1.0})[name]
    torch.testing.assert_close(once, twice)
    once.backward()
    assert x_hat.grad is not None
    assert x_hat.grad.abs().sum() > 0


def test_terms_of_weight_zero_are_left_out(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert set(reconstruction_losses(*pair, {"l1": 1.0, "ssim": 0.0})) == {"l1"}


def test_losses_are_float32_under_autocast(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = reconstruction_losses(pair[0].bfloat16(), pair[1], {"l2": 1.0, "ssim": 1.0})
    assert all(loss.dtype == torch.float32 for loss in losses.values())


@pytest.mark.parametrize("weights", [{"l3": 1.0}, {"l1": 0.0}, {}])
def test_refuses_weights_that_mean_nothing(weights: dict[str, float], pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="losses"):
        reconstruction_losses(*pair, weights)
