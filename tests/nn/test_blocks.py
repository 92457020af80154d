import pytest
import torch
from torch.nn import functional as F

from voxlex.nn.blocks import convolution, depth_to_space, doubling_convolution, space_to_depth


def test_equals_the_pixel_shuffle_of_torch_in_two_dimensions() -> None:
    x = torch.randn(2, 3, 8, 12)
    assert torch.equal(space_to_depth(x, 4), F.pixel_unshuffle(x, 4))
    y = torch.randn(2, 32, 3, 5)
    assert torch.equal(depth_to_space(y, 4), F.pixel_shuffle(y, 4))


@pytest.mark.parametrize("space", [(8, 12), (4, 8, 6)])
def test_folding_and_unfolding_undo_each_other(space: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, *space)
    folded = space_to_depth(x, 2)
    assert folded.shape == (2, 3 * 2 ** len(space), *[side // 2 for side in space])
    assert torch.equal(depth_to_space(folded, 2), x)


@pytest.mark.parametrize(("spatial_dims", "space"), [(2, (8, 8)), (3, (8, 8, 8))])
def test_convolutions_keep_halve_and_double_the_grid(spatial_dims: int, space: tuple[int, ...]) -> None:
    x = torch.randn(1, 2, *space)
    assert convolution(spatial_dims, 2, 3, 3)(x).shape == (1, 3, *space)
    assert convolution(spatial_dims, 2, 3, 1)(x).shape == (1, 3, *space)
    assert convolution(spatial_dims, 2, 3, 4, stride=2)(x).shape == (1, 3, *[4] * spatial_dims)
    assert doubling_convolution(spatial_dims, 2, 3)(x).shape == (1, 3, *[16] * spatial_dims)


def test_refuses_another_number_of_dimensions() -> None:
    with pytest.raises(ValueError, match="spatial_dims"):
        convolution(1, 2, 3, 3)
