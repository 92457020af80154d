import pytest
import torch

from voxlex.evaluation.lesions import CONTRAST, kept_contrast, largest_change, plant_small


def heads(*space: int) -> torch.Tensor:
    """Return a bright and a dark head on a black background."""
    inside = torch.zeros(2, 1, *space)
    inside[(slice(None), slice(None), *[slice(side // 4, -side // 4) for side in space])] = 1
    return inside * torch.tensor([0.3, 0.8]).view(2, 1, *[1] * len(space))


@pytest.mark.parametrize("space", [(64, 48), (24, 24, 24)])
def test_a_lesion_lies_in_tissue_and_has_its_contrast(space: tuple[int, ...]) -> None:
    images = heads(*space)
    planted = plant_small(images, generator=torch.Generator().manual_seed(0))
    change = planted.images - images
    at_most = change.abs().flatten(1).amax(dim=1)
    torch.testing.assert_close(at_most, torch.full((2,), CONTRAST))
    assert change[0].max() > 0 > change[1].min()  # bright in dark tissue, dark in bright tissue
    middle = planted.shapes.flatten(1).argmax(dim=1)
    assert (images.flatten(1).gather(1, middle.unsqueeze(1)) > 0).all()


def test_contrast_that_is_kept_and_lost() -> None:
    images = heads(64, 64)
    planted = plant_small(images, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        kept_contrast(planted, images, decoded=planted.images, decoded_before=images), torch.ones(2)
    )
    halves = (images + planted.images) / 2
    torch.testing.assert_close(
        kept_contrast(planted, images, decoded=halves, decoded_before=images), torch.full((2,), 0.5)
    )
    assert not kept_contrast(planted, images, decoded=images, decoded_before=images).any()


def test_a_change_of_the_size_of_a_lesion_is_told_from_noise() -> None:
    torch.manual_seed(0)
    images = heads(64, 64)
    planted = plant_small(images, generator=torch.Generator().manual_seed(0))
    noise = images + 0.02 * torch.randn_like(images)
    assert (largest_change(planted.images, images) > 0.8).all()
    assert (largest_change(noise, images) < 0.2).all()
