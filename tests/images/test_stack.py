import numpy as np
import pytest

from voxlex.config.options import Axis, SliceOptions
from voxlex.images.canvas import restore_from_canvas
from voxlex.images.stack import AXES, Stack, displayed

SHAPE = (30, 40, 24)


def marked(*places: tuple[int, int, int]) -> np.ndarray:
    volume = np.zeros(SHAPE, np.float32)
    for place in places:
        volume[place] = 1
    return volume


def stack(axis: Axis, *, shape: tuple[int, int, int] = SHAPE, spacing_mm: tuple[float, float, float] = (1, 1, 1)):
    return Stack(axis=axis, shape=shape, spacing_mm=spacing_mm)


def from_canvas(canvas: np.ndarray, slices: Stack) -> np.ndarray:
    height_mm, width_mm = slices.slice_size_mm
    return restore_from_canvas(canvas, shape=slices.slice_shape, height=height_mm, width=width_mm)


def head(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """An ellipsoid that fills the middle half of each axis, in faint noise."""
    grid = np.stack(np.meshgrid(*(np.linspace(-2, 2, n) for n in shape), indexing="ij"))
    noise = np.random.default_rng(0).random(shape) * 0.05
    return ((np.linalg.norm(grid, axis=0) < 1) + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("axis", "marker", "index", "row", "column"),
    [  # a voxel near the subject's right side, the front and the top
        ("axial", (27, 37, 20), 20, 2, 2),  # front up, right on the left
        ("coronal", (27, 37, 20), 37, 3, 2),  # top up, right on the left
        ("sagittal", (27, 37, 20), 27, 3, 2),  # top up, front on the left
    ],
)
def test_radiological_display(axis: Axis, marker: tuple[int, int, int], index: int, row: int, column: int):
    image = stack(axis).slice(marked(marker), index)
    assert np.argwhere(image).tolist() == [[row, column]]


def test_the_display_of_a_display_is_the_volume():
    volume = np.random.default_rng(0).random(SHAPE)
    assert displayed(volume).shape == SHAPE[::-1]
    np.testing.assert_array_equal(displayed(displayed(volume)), volume)


@pytest.mark.parametrize("axis", AXES)
def test_slices_assemble_to_the_volume(axis: Axis):
    volume = np.random.default_rng(0).random(SHAPE)
    slices = [stack(axis).slice(volume, index) for index in range(len(stack(axis)))]
    np.testing.assert_array_equal(stack(axis).assemble(slices), volume)
    assert {image.shape for image in slices} == {stack(axis).slice_shape}
    with pytest.raises(ValueError, match="expected all"):
        stack(axis).assemble(slices[1:])


@pytest.mark.parametrize("axis", AXES)
def test_a_canvas_of_the_slice_s_own_size_changes_nothing(axis: Axis):
    image = np.random.default_rng(0).random(stack(axis).slice_shape).astype(np.float32)
    canvas = stack(axis).to_canvas(image, size=max(image.shape))
    np.testing.assert_array_equal(from_canvas(canvas, stack(axis)), image)


def test_thick_slices_are_as_wide_on_the_canvas_as_in_the_body():
    thick = stack("coronal", shape=(60, 60, 12), spacing_mm=(1.0, 1.0, 5.0))
    assert thick.slice_shape == (12, 60)
    assert thick.slice_size_mm == (60, 60)
    canvas = thick.to_canvas(np.ones((12, 60), np.float32), size=60)
    assert (canvas == 1).all()
    ramp = np.linspace(0, 1, 12, dtype=np.float32)[:, None].repeat(60, axis=1)
    assert np.abs(from_canvas(thick.to_canvas(ramp, size=60), thick) - ramp).max() < 0.05


@pytest.mark.parametrize("axis", AXES)
def test_the_range_is_a_share_of_the_head(axis: Axis):
    chosen = stack(axis).choose(head(), SliceOptions(lowest=0, highest=1))
    length = len(stack(axis))
    assert chosen == list(range(chosen[0], chosen[-1] + 1))
    assert abs(chosen[0] - 0.27 * length) < 2
    assert abs(chosen[-1] - 0.73 * length) < 2
    upper = stack(axis).choose(head(), SliceOptions(lowest=0.5, highest=1))
    assert abs(upper[0] - length / 2) <= 1
    assert upper[-1] == chosen[-1]


def test_a_number_of_slices_or_a_distance_between_them():
    axial = stack("axial", shape=(30, 30, 100), spacing_mm=(1, 1, 2))
    volume = np.ones((30, 30, 100), np.float32)
    assert axial.choose(volume, SliceOptions(lowest=0, highest=1, count=3)) == [0, 50, 99]
    assert axial.choose(volume, SliceOptions(count=1)) == [50]
    every = axial.choose(volume, SliceOptions(lowest=0.2, highest=0.8, every_mm=10))
    assert set(np.diff(every)) == {5}
    assert abs(every[0] + every[-1] - 99) <= 1
    assert axial.choose(volume, SliceOptions(lowest=0, highest=0.1, count=50)) == list(range(11))
    assert axial.choose(volume, SliceOptions(lowest=0.501, highest=0.502)) == [50]
