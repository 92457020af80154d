"""Volumes as pictures: which slices, and which way up."""

import torch

from voxlex.pages.pictures import draw_reconstructions, draw_samples, to_picture, triptych
from voxlex.pages.views import as_column, as_row


def test_images_stay_as_they_are() -> None:
    images = torch.rand(2, 1, 8, 12)
    assert as_row(images) is images
    assert as_column(images) is images


def test_top_and_front_and_right_lie_where_radiologists_expect_them() -> None:
    volume = torch.zeros(1, 1, 16, 16, 16)
    volume[..., :4, 8, 8] = 0.2  # from the top down
    volume[..., 8, :4, 8] = 0.5  # from the front back
    volume[..., 8, 8, :4] = 0.8  # from the right in
    row = as_row(volume)[0, 0]
    axial, coronal, sagittal = row.split(16, dim=1)
    assert axial[0, 8] == 0.5
    assert axial[8, 0] == 0.8
    assert coronal[0, 8] == 0.2
    assert coronal[8, 0] == 0.8
    assert sagittal[0, 8] == 0.2
    assert sagittal[8, 0] == 0.5
    assert torch.equal(torch.cat([axial, coronal, sagittal]), as_column(volume)[0, 0])


def test_volumes_with_unequal_sides_have_room() -> None:
    assert as_row(torch.rand(1, 1, 8, 12, 10)).shape == (1, 1, 12, 10 + 10 + 12)
    assert as_column(torch.rand(1, 1, 8, 12, 10)).shape == (1, 1, 12 + 8 + 8, 12)


def test_pictures_of_volumes() -> None:
    volumes = torch.rand(3, 1, 16, 16, 16)
    assert to_picture(volumes[0]).size == (48, 16)
    assert triptych(volumes[0], volumes[1]).size == (3 * 16 + 2 * 2, 48)
    assert draw_samples(volumes).width > 48
    assert draw_reconstructions(volumes, volumes, captions=["a", "b", "c"]).width > 48
