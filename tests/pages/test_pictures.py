import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from voxlex.errors import DataError
from voxlex.pages import pictures


def flat(*levels: float, side: int = 16, channels: int = 1) -> torch.Tensor:
    """Return images of one even grey each."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, channels, side, side).clone()


def noise(count: int, *, side: int = 16, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    found = picture.convert("RGB").getcolors(maxcolors=1 << 24) or []
    return {colour for _, colour in found if isinstance(colour, tuple)}


def test_grey_and_colour_keep_their_values():
    grey = torch.tensor([[[0.0, 0.5, 1.0]]])
    assert np.asarray(pictures.to_picture(grey)).tolist() == [[0, 128, 255]]
    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    assert np.asarray(pictures.to_picture(red)).tolist() == [[[255, 0, 0]]]


def test_channels_without_a_colour_are_refused():
    with pytest.raises(ValueError, match="image: expected 1 or 3 channels, got 2"):
        pictures.to_picture(torch.zeros(2, 4, 4))


@pytest.mark.parametrize("channels", [1, 3])
def test_difference_is_black_where_equal_and_tells_dark_from_bright(channels: int):
    (original,) = flat(0.5, channels=channels)
    same, dark, bright = (
        np.asarray(pictures.difference_picture(original, original + change))[0, 0] for change in (0.0, -0.05, 0.05)
    )
    assert same.tolist() == [0, 0, 0]
    assert dark[2] > dark[0], "too dark is blue"
    assert bright[0] > bright[2], "too bright is orange"


def test_difference_is_on_one_fixed_scale():
    (original,) = flat(0.5)
    at_limit, beyond = (
        colours(pictures.difference_picture(original, original + factor * pictures.DIFFERENCE_LIMIT))
        for factor in (1.0, 3.0)
    )
    assert at_limit == beyond == {pictures.DIFFERENCE_COLOURS[-1]}


def test_enlarged_pixels_stay_square_and_sharp():
    (image,) = noise(1)
    row = np.asarray(pictures.triptych(image, image, scale=4).convert("L"))
    original = np.asarray(pictures.to_picture(image))
    assert np.array_equal(row[:, : 16 * 4], np.kron(original, np.ones((4, 4), np.uint8)))


def test_few_images_are_shown_larger_than_many():
    few, many = (pictures.draw_samples(flat(*[0.5] * count, side=128)) for count in (1, 16))
    assert few.size == (256, 256)
    assert many.size == (4 * 128 + 3 * 2, 4 * 128 + 3 * 2)


@pytest.mark.parametrize("count", [1, 5, 12, 40])
def test_sheets_show_every_image_in_a_viewable_shape(count: int):
    greys = range(50, 50 + 4 * count, 4)
    expected = {(grey,) * 3 for grey in greys}
    originals = flat(*(grey / 255 for grey in greys))
    reconstructions = pictures.draw_reconstructions(originals, originals.flip(0))
    samples = pictures.draw_samples(originals)
    assert expected <= colours(reconstructions)
    assert expected <= colours(samples)
    assert 0.5 < reconstructions.width / reconstructions.height < 3
    assert 0.5 <= samples.width / samples.height <= 2


def test_captions_are_cut_at_their_start_and_never_widen_a_sheet():
    images = flat(0.5)
    long = "a/very/deep/folder/" * 20
    first, second, short = (
        pictures.draw_samples(images, captions=[text]) for text in (f"{long}01.png", f"{long}02.png", "01")
    )
    assert first.size == second.size == short.size
    assert first.tobytes() != second.tobytes()


def test_captions_must_be_as_many_as_images():
    with pytest.raises(ValueError, match="shorter"):
        pictures.draw_samples(flat(0.1, 0.2), captions=["one"])


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="images: expected at least one, got none"):
        pictures.draw_samples(torch.zeros(0, 1, 16, 16))


def test_quality_captions_name_and_measure_each_image():
    originals = noise(2)
    damaged = torch.stack([(originals[0] + 0.1).clamp(0, 1), originals[1] * 0.2])
    good, bad = pictures.quality_captions(originals, damaged, ["a.png", "b.png"])
    assert good.startswith("a.png · SSIM 0.9")
    assert bad.startswith("b.png · SSIM 0.")
    assert good.endswith("\N{NO-BREAK SPACE}dB")  # in a narrow cell the figure keeps its unit


def test_sheets_are_written_as_png(tmp_path: Path):
    images = noise(3)
    pictures.reconstruction_sheet(tmp_path / "deep" / "reconstructions.png", images, images, captions=["a", "b", "c"])
    pictures.sample_sheet(tmp_path / "samples.png", images)
    for path in (tmp_path / "deep" / "reconstructions.png", tmp_path / "samples.png"):
        with Image.open(path) as picture:
            assert picture.format == "PNG"


def test_a_sheet_that_cannot_be_written_is_one_clear_error(tmp_path: Path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match=r"samples\.png: cannot be written"):
        pictures.sample_sheet(tmp_path / "taken" / "samples.png", noise(1))


def test_an_address_holds_the_whole_picture():
    picture = pictures.to_picture(noise(1)[0])
    kind, encoded = pictures.data_uri(picture).split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as decoded:
        assert np.array_equal(np.asarray(decoded), np.asarray(picture))
