import numpy as np
import pytest
import torch

from voxlex.data.phantoms.scanner import Scanner
from voxlex.data.phantoms.template import CSF, GREY, WHITE, load_template


def _points() -> torch.Tensor:
    """An axial slice through the ventricles, in MNI152 coordinates, at 2 mm."""
    y, x = torch.meshgrid(torch.arange(-100.0, 70.0, 2.0), torch.arange(-70.0, 70.0, 2.0), indexing="ij")
    return torch.stack([x, y, torch.full_like(x, 18.0)], dim=-1)


def _tissue_means(contrast: str) -> dict[int, float]:
    points = _points()
    maps = load_template().sample(points)
    scanner = Scanner.draw(np.random.default_rng(0), contrast=contrast)
    signal = scanner.signal(maps, points)
    return {tissue: float(signal[maps[tissue] > 0.9].mean()) for tissue in (CSF, GREY, WHITE)}


def test_t1_shows_white_over_grey_over_fluid():
    means = _tissue_means("t1")
    assert means[WHITE] > means[GREY] + 0.1 > means[CSF] + 0.3


def test_t2_shows_fluid_over_grey_over_white():
    means = _tissue_means("t2")
    assert means[CSF] > means[GREY] + 0.2 > means[WHITE] + 0.3


def test_proton_density_shows_grey_brightest():
    means = _tissue_means("pd")
    assert means[GREY] > means[WHITE] + 0.1
    assert means[GREY] > means[CSF]


def test_background_noise_is_rician():
    scanner = Scanner.draw(np.random.default_rng(0), contrast="t1")
    noise = scanner.detect(torch.zeros(4, 128, 128), np.random.default_rng(1))
    # Without signal, Rician noise is Rayleigh distributed: mean σ·sqrt(π/2), standard deviation σ·sqrt(2 - π/2).
    assert float(noise.mean()) == pytest.approx(scanner.noise * np.sqrt(np.pi / 2), rel=0.02)
    assert float(noise.std()) == pytest.approx(scanner.noise * np.sqrt(2 - np.pi / 2), rel=0.02)


def test_without_variety_and_noise_nothing_is_left_to_chance():
    points = _points()
    maps = load_template().sample(points)
    images = []
    for seed in (0, 1):
        scanner = Scanner.draw(np.random.default_rng(seed), contrast="t1", variety=0.0, noise=0.0)
        images.append(scanner.signal(maps, points))
    torch.testing.assert_close(images[0], images[1])
