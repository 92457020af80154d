"""Pictures of held-out images after each validation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from voxlex.training.pictures import ABOUT, Shown, Strip, read_about


def shown(value: float, *, images: int = 3, side: int = 16) -> Shown:
    originals = torch.linspace(0, 1, images).view(-1, 1, 1, 1).expand(images, 1, side, side)
    return Shown.of(originals, torch.full((images, 1, side, side), value))


def test_a_row_holds_what_a_validation_saw(tmp_path: Path) -> None:
    file = tmp_path / "autoencoder.validations.png"
    strip = Strip(file)
    strip.add(shown(0.2), step=10, elapsed_s=1.234, figures={"ssim": 0.5, "psnr_db": 20.0, "l1": 0.1})
    strip.add(shown(0.4), step=20, elapsed_s=2.5, figures={"ssim": float("nan"), "psnr_db": float("inf")})
    about = read_about(file)
    assert about == {
        "images": 3,
        "height": 16,
        "width": 16,
        "rows": [
            {"step": 10, "elapsed_s": 1.23, "ssim": 0.5, "psnr_db": 20.0},
            {"step": 20, "elapsed_s": 2.5},
        ],
    }
    with Image.open(file) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (48, 48)
    assert pixels[0, ::16].tolist() == [0, 128, 255]
    assert set(pixels[16:32].flat) == {51}
    assert set(pixels[32:].flat) == {102}
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_many_validations_are_thinned_out(tmp_path: Path) -> None:
    strip = Strip(tmp_path / "a.png")
    for step in range(1, 101):
        strip.add(shown(step / 100), step=step, elapsed_s=step, figures={})
    about = read_about(tmp_path / "a.png")
    assert about is not None
    steps = [row["step"] for row in about["rows"]]
    assert len(steps) <= 12
    assert steps[-1] == 100
    assert steps == sorted(steps)
    assert steps[0] < 50


def test_a_resumed_training_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    for step, resumed_step in ((1, 0), (2, 1), (3, 2), (3, 2)):
        strip = Strip(file, resumed_step=resumed_step)
        strip.add(shown(step / 5), step=step, elapsed_s=step, figures={})
    about = read_about(file)
    assert about is not None
    assert [row["step"] for row in about["rows"]] == [1, 2, 3]
    with Image.open(file) as picture:
        assert np.asarray(picture)[::16, 0].tolist() == [0, 51, 102, 153]
    Strip(file).add(shown(1.0), step=7, elapsed_s=1, figures={})  # a new training begins anew
    about = read_about(file)
    assert about is not None
    assert [row["step"] for row in about["rows"]] == [7]


def test_volumes_show_their_middle_plane_and_large_images_shrink() -> None:
    volume = torch.zeros(2, 1, 8, 16, 16)
    volume[:, :, 4] = 1
    seen = Shown.joined([Shown.of(volume[:1], volume[:1]), Shown.of(volume[1:], volume[1:])])
    assert seen.originals.shape == (2, 16, 16)
    assert (seen.results == 255).all()
    assert Shown.of(torch.zeros(1, 1, 512, 256), torch.zeros(1, 1, 512, 256)).originals.shape == (1, 256, 128)
    assert len(Shown.joined([shown(0.5, images=64)] * 2).originals) == 8


def test_the_same_images_are_shown_each_time_and_not_one_slice_of_each_scan() -> None:
    slices = (torch.arange(64) % 8 / 8).view(-1, 1, 1, 1).expand(64, 1, 8, 8)
    first, second = (Shown.joined([Shown.of(some, some) for some in slices.split(size)]) for size in (32, 10))
    assert (first.originals == second.originals).all()
    assert len(np.unique(first.originals)) > 3


def test_a_file_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    notes: list[str] = []
    strip = Strip(tmp_path / "file" / "a.png", note=notes.append)
    for step in (1, 2):
        strip.add(shown(0.5), step=step, elapsed_s=step, figures={})
    assert len(notes) == 1
    assert "training goes on without it" in notes[0]


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    Strip(tmp_path / "a.png", active=False).add(shown(0.5), step=1, elapsed_s=1, figures={})
    Strip(tmp_path / "a.png").add(None, step=1, elapsed_s=1, figures={})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "what", ["nothing", "text", "other picture", "cut short", "other size", "other rows", "no number"]
)
def test_what_is_not_such_a_file_is_passed_over(tmp_path: Path, what: str) -> None:
    file = tmp_path / "a.png"
    Strip(file).add(shown(0.5), step=1, elapsed_s=1, figures={})
    whole = file.read_bytes()
    if what == "nothing":
        file.unlink()
    elif what == "text":
        file.write_text("no picture")
    elif what == "other picture":
        Image.new("L", (48, 32)).save(file)
    elif what == "cut short":
        file.write_bytes(whole[:60])
    else:
        old, new = {
            "other size": ('"images": 3', '"images": 4'),
            "other rows": ('"step": 1', '"step": "1"'),
            "no number": ('"elapsed_s": 1', '"elapsed_s": NaN'),
        }[what]
        with Image.open(file) as picture:
            text = picture.info[ABOUT]
            assert old in text
            mark = PngInfo()
            mark.add_text(ABOUT, text.replace(old, new))
            picture.save(file, pnginfo=mark)
    assert read_about(file) is None
    Strip(file, resumed_step=1).add(shown(0.5), step=2, elapsed_s=1, figures={})
    about = read_about(file)
    assert about is not None
    assert json.dumps(about["rows"]) == '[{"step": 2, "elapsed_s": 1}]'
