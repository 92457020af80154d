"""Patches: where they lie follows from seed, step and row; most are where there is something to see."""

import numpy as np
import pandas as pd
import pytest
import torch

from voxlex.data.dataset import PreparedDataset
from voxlex.training.patches import Patches

BRIGHT = slice(16, 28)


@pytest.fixture
def dataset() -> PreparedDataset:
    """Black volumes with a bright cube near one corner."""
    images = np.zeros((3, 1, 32, 32, 32), np.uint8)
    images[:, :, BRIGHT, BRIGHT, BRIGHT] = 200
    return PreparedDataset(images=images, manifest=pd.DataFrame({"path": list("abc")}), name="few", fingerprint="")


def test_a_patch_is_cut_from_its_row_in_the_unit_interval(dataset: PreparedDataset) -> None:
    patches = Patches(dataset, size=8, foreground_share=1.0, seed=0)
    (found,) = patches.load(torch.tensor([2]), step=5)
    corner = patches.corner(2, step=5)
    expected = dataset.images[2][(slice(None), *(slice(start, start + 8) for start in corner))] / np.float32(255)
    assert found.shape == (1, 8, 8, 8)
    assert np.array_equal(found.numpy(), expected)


def test_places_follow_from_seed_step_and_row_alone(dataset: PreparedDataset) -> None:
    patches, again = (Patches(dataset, size=8, foreground_share=0.5, seed=3) for _ in range(2))
    for step in range(5):
        together = patches.load(torch.tensor([0, 1, 2]), step=step)
        assert torch.equal(together[[1]], again.load(torch.tensor([1]), step=step))
    other = Patches(dataset, size=8, foreground_share=0.5, seed=4)
    assert [patches.corner(0, step=step) for step in range(9)] != [other.corner(0, step=step) for step in range(9)]


def test_patches_of_the_foreground_show_it(dataset: PreparedDataset) -> None:
    def share_bright(foreground_share: float) -> float:
        patches = Patches(dataset, size=8, foreground_share=foreground_share, seed=0)
        return float(np.mean([bool(patches.load(torch.tensor([0]), step=step).any()) for step in range(1_000)]))

    # Of the 25 places along each axis, 16 touch the bright cube; 0.014 is the standard deviation of 1000 draws.
    assert share_bright(0.0) == pytest.approx((16 / 25) ** 3, abs=0.09)
    assert share_bright(1.0) > 0.9


def test_patches_stay_inside_and_reach_the_border(dataset: PreparedDataset) -> None:
    patches = Patches(dataset, size=24, foreground_share=0.5, seed=0)
    corners = np.array([patches.corner(0, step=step) for step in range(100)])
    assert corners.min() == 0
    assert corners.max() == 8


def test_black_images_have_patches_too(dataset: PreparedDataset) -> None:
    dataset.images[:] = 0
    assert Patches(dataset, size=8, foreground_share=1.0, seed=0).load(torch.tensor([0, 1]), step=0).shape[0] == 2


def test_patches_larger_than_images_are_refused(dataset: PreparedDataset) -> None:
    with pytest.raises(ValueError, match="at most 32, got 40"):
        Patches(dataset, size=40, foreground_share=0.5, seed=0)
