import numpy as np
import pandas as pd
import pytest
import torch

from voxlex.models.arrays import to_image_tensor

RNG = np.random.default_rng(0)
GREY = RNG.random((5, 20, 30), dtype=np.float32)
COLOUR = RNG.random((5, 20, 30, 3), dtype=np.float32)


def convert(images, channels: int = 1, spatial_dims: int = 2) -> torch.Tensor:
    return to_image_tensor(images, channels=channels, spatial_dims=spatial_dims)


@pytest.mark.parametrize(
    "images",
    [
        GREY,
        GREY[..., None],
        GREY[:, None],
        torch.from_numpy(GREY),
        torch.from_numpy(GREY[:, None]),
        GREY.astype(np.float64),
        GREY.astype(">f4"),
        np.asfortranarray(GREY),
        GREY[::-1, :, ::-1][::-1, :, ::-1],
        GREY.tolist(),
        list(GREY),
        tuple(torch.from_numpy(GREY)),
        torch.from_numpy(GREY).double().transpose(1, 2).contiguous().transpose(1, 2),
        torch.from_numpy(GREY)[:, None].requires_grad_(),
        np.ma.array(GREY, mask=False),
        pd.DataFrame({"image": list(GREY)})["image"].tolist(),
    ],
    ids=[
        "bhw",
        "bhwc",
        "bchw",
        "tensor bhw",
        "tensor bchw",
        "float64",
        "big endian",
        "fortran",
        "backwards",
        "lists",
        "arrays",
        "tensors",
        "strided",
        "with gradient",
        "unmasked",
        "column",
    ],
)
def test_grey_in_every_layout(images):
    tensor = convert(images)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, torch.from_numpy(GREY)[:, None], rtol=0, atol=1e-6)


def test_a_single_image():
    torch.testing.assert_close(convert(GREY[0]), torch.from_numpy(GREY[:1])[:, None])


def test_whole_numbers_fill_their_own_range():
    assert convert(np.array([[0, 51], [255, 102]], np.uint8)).flatten().tolist() == pytest.approx([0, 0.2, 1, 0.4])
    deep = np.array([[0, 13107], [65535, 26214]], np.uint16)
    for images in (deep, deep.astype(">u2"), torch.from_numpy(deep)):
        assert convert(images).flatten().tolist() == pytest.approx([0, 0.2, 1, 0.4])


def test_colour_for_a_model_in_colour():
    expected = torch.from_numpy(COLOUR).movedim(-1, 1)
    for images in (COLOUR, COLOUR.transpose(0, 3, 1, 2), expected):
        torch.testing.assert_close(convert(images, channels=3), expected)


def test_colour_becomes_luminance_for_a_model_in_grey():
    expected = torch.from_numpy(COLOUR @ np.array([0.299, 0.587, 0.114], np.float32))[:, None]
    torch.testing.assert_close(convert(COLOUR), expected)
    torch.testing.assert_close(convert(torch.from_numpy(COLOUR).movedim(-1, 1)), expected)
    white = np.full((1, 9, 9, 3), 255, np.uint8)
    torch.testing.assert_close(convert(white), torch.ones(1, 1, 9, 9))


def test_volumes():
    volumes = RNG.random((2, 9, 10, 11), dtype=np.float32)
    expected = torch.from_numpy(volumes)[:, None]
    for images in (volumes, volumes[..., None], volumes[:, None], torch.from_numpy(volumes)):
        torch.testing.assert_close(convert(images, spatial_dims=3), expected)
    torch.testing.assert_close(convert(volumes[0], spatial_dims=3), expected[:1])


def test_floats_a_little_outside_are_clipped():
    tensor = convert(np.array([[-0.0005, 1.0005]], np.float32))
    assert (tensor.min(), tensor.max()) == (0, 1)


def test_the_input_is_not_changed_and_read_only_input_is_fine():
    images = GREY.copy()
    images.setflags(write=False)
    convert(images).zero_()
    np.testing.assert_array_equal(images, GREY)


def test_gradients_flow():
    images = torch.full((1, 1, 9, 9), 0.5, requires_grad=True)
    convert(images).sum().backward()
    assert images.grad is not None
    assert (images.grad == 1).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GREY * 255, r"floats in \[0, 1\], got .* to 25\d.*; rescale them, such as by images / 255"),
        (GREY * 1000, r"floats in \[0, 1\], got .*; rescale them, such as by images / 65535"),
        (GREY - 0.5, r"floats in \[0, 1\], got -0\.\d+ to "),
        (np.where(GREY > 0.5, np.float32(np.nan), GREY), "expected finite values"),
        (np.where(GREY > 0.5, np.float32(np.inf), GREY), "expected finite values"),
        (GREY[0, 0], r"expected one of the shapes \(h, w\), \(b, h, w\), \(b, 1, h, w\), .*got \(30,\)"),
        (GREY[:, :, :, None, None], r"got \(5, 20, 30, 1, 1\)"),
        (np.zeros((2, 9, 9, 4), np.uint8), r"got \(2, 9, 9, 4\); drop the alpha channel"),
        (np.zeros((9, 9, 4), np.uint8), r"got \(9, 9, 4\), which looks like one image with 4 channels"),
        (
            np.zeros((9, 9, 3), np.uint8),
            r"got \(9, 9, 3\), which looks like one image with 3 channels; give images\[None\]",
        ),
        (torch.zeros(9, 9, 1), r"got \(9, 9, 1\), which looks like one image with 1 channels"),
        ([[[0.5, 0.5]], [[0.5]]], "images: expected lists or arrays of one shape"),
        (torch.from_numpy(COLOUR), r"got \(5, 20, 30, 3\)"),
        (np.zeros((2, 3, 9, 3), np.uint8), r"expected a shape with channels at one end, got \(2, 3, 9, 3\)"),
        (np.zeros((0, 9, 9), np.uint8), r"expected at least one pixel, got the shape \(0, 9, 9\)"),
    ],
)
def test_values_and_shapes_that_are_refused(images, message: str):
    with pytest.raises(ValueError, match=message):
        convert(images)


def test_grey_for_a_model_in_colour_is_refused():
    with pytest.raises(ValueError, match=r"expected one of the shapes \(b, 3, h, w\)"):
        convert(GREY, channels=3)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (GREY > 0.5, "bool"),
        (np.zeros((2, 9, 9), np.int64), "int64"),
        (np.zeros((2, 9, 9), np.uint32), "uint32"),
        (torch.zeros(2, 9, 9, dtype=torch.int32), "torch.int32"),
        (torch.zeros(2, 9, 9, dtype=torch.bool), "torch.bool"),
        (np.zeros((2, 9, 9), complex), "complex128"),
        ([[0, 255], [255, 0]], "int64"),
        (np.array([["a"]]), "<U1"),
    ],
)
def test_types_that_are_refused(images, found: str):
    with pytest.raises(TypeError, match=f"uint8, uint16 or floats in .*, got {found}"):
        convert(images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("scan.png", "expected a NumPy array, a torch tensor or lists of numbers, got str"),
        (np.ma.masked_less(GREY, 0.5), "expected an array without masked values"),
    ],
)
def test_what_is_not_an_array_of_numbers_is_refused(images, message: str):
    with pytest.raises(TypeError, match=f"images: {message}"):
        convert(images)
