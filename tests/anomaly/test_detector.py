"""Maps mean the same for every method: how rarely a healthy scan is as strange."""

import numpy as np
import pytest
import torch

from two_levels import untrained
from voxlex.anomaly import Detector
from voxlex.anomaly.baselines import NearestHealthy, equalised_intensity
from voxlex.anomaly.calibration import Calibration, Rarity
from voxlex.anomaly.fields import blurred, heads_in
from voxlex.assembly import build_autoencoder
from voxlex.config import ModelConfig
from voxlex.config.networks import ResidualNetworkConfig
from voxlex.config.quantizers import ResidualQuantizerConfig, VectorQuantizerConfig
from voxlex.data.phantoms.lesions import plant
from voxlex.data.phantoms.phantom import generate_subject, generate_volume
from voxlex.errors import DataError
from voxlex.models import Autoencoder
from voxlex.priors import HierarchicalPrior, MaskedPrior, Prior, TransformerPrior

GROUPS = [f"sub-{number}" for number in range(6) for _ in range(6)]
METHODS = ("combined", "restoration", "surprise", "reconstruction")


@pytest.fixture(scope="module")
def healthy() -> torch.Tensor:
    """Six images of each of six subjects."""
    return torch.cat([generate_subject(number, size=32)[3:9] for number in range(6)])


def vocabulary(kind: str, *, dims: int = 2, codebooks: int = 1) -> tuple[Autoencoder, Prior]:
    """A small autoencoder and a prior that have learned nothing."""
    torch.manual_seed(0)
    quantizer = VectorQuantizerConfig(num_embeddings=16)
    if codebooks > 1:
        quantizer = ResidualQuantizerConfig(num_codebooks=codebooks)
    network = ResidualNetworkConfig(downsampling=4, width=8, stem_width=8)
    autoencoder = build_autoencoder(ModelConfig(spatial_dims=dims, network=network, quantizer=quantizer))
    autoencoder(torch.rand(8, 1, *(32,) * dims))  # starts the codebook
    autoencoder.eval()
    (layout,) = autoencoder.layouts((32,) * dims)
    options = {"layout": layout, "width": 8, "layers": 1, "kernel_size": 3}
    prior = MaskedPrior(**options) if kind == "masked" else TransformerPrior(**options, embedding_dim=4)
    return autoencoder, prior.eval()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["masked", "transformer"])
def test_every_method_maps_pixels_of_healthy_scans_as_rarely_as_it_says(
    healthy: torch.Tensor, kind: str, method: str
) -> None:
    if kind == "transformer" and method == "restoration":
        pytest.skip("`combined` goes the same way")
    autoencoder, prior = vocabulary(kind)
    detector = Detector(autoencoder, prior, healthy=healthy, groups=GROUPS, method=method)
    maps = detector(healthy, GROUPS)
    assert maps.shape == (36, 32, 32)
    inside = maps.numpy()[heads_in(healthy)]
    assert (inside > 1).mean() == pytest.approx(0.1, abs=0.01)
    assert (inside > 2).mean() == pytest.approx(0.01, abs=0.002)
    highest = np.array([own[head].max() for own, head in zip(maps.numpy(), heads_in(healthy), strict=True)])
    np.testing.assert_allclose(detector.highest, np.sort(highest), rtol=1e-5)
    assert detector.quantiles(np.array([0.0, highest.max() + 1])).tolist() == [0.0, 36 / 37]


def test_an_image_has_the_same_map_in_any_company(healthy: torch.Tensor) -> None:
    autoencoder, prior = vocabulary("masked")
    detector = Detector(autoencoder, prior, healthy=healthy, groups=GROUPS)
    together = detector(healthy[:5])
    torch.testing.assert_close(detector(healthy[3:4])[0], together[3], rtol=1e-3, atol=1e-3)


def test_a_lesion_that_the_autoencoder_cannot_decode_is_found(healthy: torch.Tensor) -> None:
    autoencoder, prior = vocabulary("masked")
    detector = Detector(autoencoder, prior, healthy=healthy, groups=GROUPS, method="reconstruction")
    random = torch.Generator().manual_seed(0)
    planted = plant(healthy[:6], kind="bright", size_mm=40, pixel_mm=6.5, contrast=0.8, generator=random)
    maps = detector(planted.images, GROUPS[:6])
    inside = planted.masks[:, 0]
    assert maps[inside].mean() > 1.5 > maps[~inside].mean()


@pytest.mark.parametrize(("dims", "codebooks"), [(3, 1), (2, 2)])
def test_volumes_and_several_codes_in_a_cell(healthy: torch.Tensor, dims: int, codebooks: int) -> None:
    autoencoder, prior = vocabulary("masked", dims=dims, codebooks=codebooks)
    images = healthy[::3]
    if dims == 3:
        images = torch.stack([generate_volume(number, size=32, spacing_mm=6.0) for number in range(8)])
    groups = list(range(len(images)))
    maps = Detector(autoencoder, prior, healthy=images, groups=groups)(images[:2], groups[:2])
    assert maps.shape == (2, *(32,) * dims)
    assert maps.isfinite().all()


def test_codes_of_several_levels(healthy: torch.Tensor) -> None:
    autoencoder = untrained()
    coarse, fine = autoencoder.layouts((32, 32))
    options = {"width": 8, "layers": 1, "kernel_size": 3}
    levels = [MaskedPrior(layout=coarse, **options), MaskedPrior(layout=fine, context=[coarse], **options)]
    prior = HierarchicalPrior(levels=levels).eval()
    for method in METHODS:
        maps = Detector(autoencoder, prior, healthy=healthy[:12], groups=GROUPS[:12], method=method)(healthy[:2])
        assert maps.shape == (2, 32, 32)
        assert maps.isfinite().all()


def test_what_cannot_be_calibrated_is_refused(healthy: torch.Tensor) -> None:
    autoencoder, prior = vocabulary("masked")
    with pytest.raises(DataError, match="calibration: expected at least 8 healthy scans of two subjects"):
        Detector(autoencoder, prior, healthy=healthy[:4], groups=GROUPS[:4])
    with pytest.raises(DataError, match="got 12 of 1"):
        Detector(autoencoder, prior, healthy=healthy[:12], groups=["one"] * 12)
    with pytest.raises(ValueError, match="expected 'reconstruction' for a run without a prior"):
        Detector(autoencoder, None, healthy=healthy, groups=GROUPS)


def test_a_subject_with_a_single_other_scan_to_compare_with_has_rarities() -> None:
    scores, images = torch.rand(8, 8, 8), torch.rand(8, 1, 8, 8)
    calibration = Calibration(scores, images, ["a"] * 7 + ["b"])
    assert torch.isfinite(calibration.healthy).all()
    assert torch.isfinite(calibration(scores[:1], images[:1], ["a"])).all()


def test_places_that_differ_among_healthy_scans_are_no_stranger_than_others() -> None:
    rng = torch.Generator().manual_seed(0)
    restless = torch.ones(32, 32)
    restless[:, 16:] = 2
    images = 0.5 + 0.01 * torch.rand(60, 1, 32, 32, generator=rng)
    scores = torch.rand(60, 32, 32, generator=rng) * restless
    rarities = Calibration(scores, images, list(range(60))).healthy
    left, right = (rarities[:, :, half].mean() for half in (slice(2, 12), slice(20, 30)))
    assert float(right) == pytest.approx(float(left), rel=0.2)  # the scores themselves differ by a factor of 2


def test_rarities_rise_with_scores_also_beyond_all_healthy_ones() -> None:
    scores = torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(0))
    rarity = Rarity(scores, torch.ones(4, 64, 64, dtype=torch.bool))
    rising = rarity(torch.linspace(-5, 12, 200).view(1, 1, -1)).flatten()
    assert (rising.diff() >= 0).all()
    assert rising[-1] > rising[-2] > 4
    assert float(rarity(torch.full((1, 1, 1), 2.326))) == pytest.approx(2, abs=0.1)  # a normal's 99th percentile


def test_baselines(healthy: torch.Tensor) -> None:
    ranks = equalised_intensity(healthy)
    assert ranks.min() == 0
    assert ranks.max() <= 1
    brighter = equalised_intensity((healthy * 0.5 + 0.0).clamp(0, 1))[healthy[:, 0] > 0.3]
    assert (brighter - ranks[healthy[:, 0] > 0.3]).abs().mean() < 0.05  # contrast does not matter, but for what is air
    nearest = NearestHealthy(healthy)
    assert nearest(healthy[:3]).max() == 0
    assert nearest(healthy[:3] * 0.8)[0].max() > 0


@pytest.mark.parametrize("shape", [(2, 16, 12), (1, 8, 9, 10)])
def test_blurring_keeps_constants_and_means(shape: tuple[int, ...]) -> None:
    torch.testing.assert_close(blurred(torch.ones(shape), 1.5), torch.ones(shape))
    point = torch.zeros(shape)
    point[(0, *[side // 2 for side in shape[1:]])] = 1
    assert blurred(point, 1.0).sum() == pytest.approx(1, abs=1e-3)
