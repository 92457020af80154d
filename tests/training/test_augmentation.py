"""Augmentation: the same step varies the same image in the same way, and nothing else is touched."""

import pytest
import torch

from voxlex.training.augmentation import Augmentation

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
