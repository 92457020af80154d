"""Augmentation: the same step varies the same image in the same way, and nothing else is touched."""

import pytest
import torch

from voxlex.training.augmentation import Augmentation, _resampled, _rotations

ROWS = torch.tensor([4, 7])


def _images(dims: int) -> torch.Tensor:
    images = torch.zeros(2, 1, *[16] * dims)
    images[(slice(None), slice(None), *[slice(4, 10)] * dims)] = 0.5
    return images


@pytest.mark.parametrize("dims", [2, 3])
def test_a_step_varies_an_image_always_alike_and_other_steps_do_otherwise(dims: int) -> None:
    augmentation = Augmentation(flip=0.5, degrees=20, scale=0.1, gamma=0.3, bias=0.3, seed=0)
    images = _images(dims)
    state = torch.get_rng_state()
    varied = augmentation(images, ROWS, step=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(varied, augmentation(images, ROWS, step=3))
    assert torch.equal(varied[[1]], augmentation(images[[1]], ROWS[[1]], step=3))
    assert not torch.allclose(varied, augmentation(images, ROWS, step=4))
    assert not torch.allclose(varied[0], varied[1])
    assert varied.shape == images.shape
    assert varied.min() >= 0
    assert varied.max() <= 1


def test_flips_are_left_to_right_alone() -> None:
    images = _images(3)
    varied = Augmentation(flip=1.0, seed=0)(images, ROWS, step=0)
    assert torch.equal(varied, images.flip(-1))


def test_pictures_turn_within_their_plane() -> None:
    images = _images(2)
    varied = Augmentation(degrees=30, seed=0)(images, ROWS, step=0)
    assert float(varied.sum()) == pytest.approx(float(images.sum()), rel=0.1)


def test_nothing_to_do_is_an_error() -> None:
    with pytest.raises(ValueError, match="augment"):
        Augmentation(seed=0)


def test_a_picture_turns_and_grows_about_its_centre() -> None:
    # A turn by a right angle, and a square of twice the side, can be told exactly.
    images = torch.rand(1, 1, 8, 8)
    quarter = _resampled(images, _rotations(torch.tensor([[torch.pi / 2]]), 2))
    turned = [images.rot90(turns, (2, 3)) for turns in (1, -1)]
    assert min(float((quarter - one).abs().max()) for one in turned) < 1e-5
    square = torch.zeros(1, 1, 16, 16)
    square[..., 6:10, 6:10] = 1
    grown = _resampled(square, torch.eye(2)[None] / 2)
    assert grown[..., 5:11, 5:11].min() == 1
    assert float(grown.sum()) == pytest.approx(4 * float(square.sum()))


def test_a_cube_turns_about_each_axis() -> None:
    turned = _rotations(torch.rand(5, 3), 3)
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3).repeat(5, 1, 1))
    torch.testing.assert_close(torch.linalg.det(turned), torch.ones(5))


def test_contrast_keeps_black_and_white_and_shading_is_smooth() -> None:
    images = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
    assert torch.equal(Augmentation(gamma=0.5, seed=0)(images, ROWS, step=0), images)
    shaded = Augmentation(bias=0.2, seed=0)(0.5 * torch.ones(2, 1, 32, 32), ROWS, step=0)
    assert shaded.std() > 0.01
    assert max(float(shaded.diff(dim=axis).abs().max()) for axis in (2, 3)) < 0.05
