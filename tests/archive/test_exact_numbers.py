"""Exact scans of other formats: numbers that are not finite, files that change, and work that is broken off."""

from concurrent.futures import CancelledError
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

import voxlex
from archive.test_commands import said
from voxlex.config.options import ReadingOptions
from voxlex.errors import DataError
from voxlex.lossless import codec, decode, encode
from voxlex.scans.read_write import read_samples, read_scan
from voxlex.workflows import originals
from voxlex.workflows.originals import Originals

RUN = Path(__file__).parent.parent / "golden" / "transformer"


def write_odd(folder: Path) -> dict[str, np.ndarray]:
    """Write volumes with numbers of all sorts; return what each file holds, with its own axes."""
    written = {}
    for name, kind in (("one.nrrd", np.float32), ("two.mha", np.float64), ("three.npz", np.float32)):
        values = np.random.default_rng(len(written)).normal(size=(9, 8, 7)).astype(kind)
        values[4:6, 3, 2:4] = [[np.inf, -np.inf], [np.nan, -0.0]]
        bits = np.array([0x7FC12345], "u4").view("f4") if kind is np.float32 else np.array([-np.nan])
        values[5, 5, 5] = bits[0]  # another NaN than the usual one
        if name == "three.npz":
            np.savez(folder / name, voxels=values, spacing_mm=[1.0, 2.0, 3.0])
        else:
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T)), folder / name)
        written[name] = values
    return written


def test_numbers_that_are_not_finite_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "source", tmp_path / "odd.vxl"
    source.mkdir()
    written = write_odd(source)
    words = ("--lossless", "--no-codes", "--nan", "background")
    said(capsys, "pack", RUN, source, "--out", out, *words)
    said(capsys, "unpack", out, "--out", tmp_path / "out")
    archive = voxlex.open_archive(out)
    for name, values in written.items():
        image = nibabel.load(tmp_path / "out" / name.replace(Path(name).suffix, ".nii.gz"))
        found = np.asarray(image.dataobj.get_unscaled())
        assert (found.dtype, found.shape) == (values.dtype, values.shape)
        assert found.tobytes() == values.tobytes()
        expected = read_scan(source / name, nan="background")
        np.testing.assert_array_equal(archive.scan(name).voxels, expected.voxels)
        np.testing.assert_array_equal(archive.scan(name).missing, expected.missing)


def test_numbers_that_nifti_does_not_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.npz"
    np.savez(path, voxels=np.ones((9, 8, 7), np.complex64), spacing_mm=[1.0, 2.0, 3.0])
    with pytest.raises(DataError, match=r"wide\.npz: expected integers or floats of up to 64 bits, got complex"):
        read_samples(path, ReadingOptions())


def test_a_file_that_has_another_shape_than_was_prepared_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "grey.png", tmp_path / "grey.vxl"
    grey = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    Image.fromarray(grey).save(path)

    def read_later(path: Path, reading: ReadingOptions) -> object:
        Image.fromarray(grey.T).save(path)
        return read_samples(path, reading)

    monkeypatch.setattr(originals, "samples_at", read_later)
    told = said(capsys, "pack", RUN, path, "--out", out, "--lossless", status=1)
    assert "grey.png: expected samples of shape (20, 24), as it was prepared, got (24, 20)" in told
    assert not out.exists()


def test_tables_are_not_fitted_for_codes_that_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(tmp_path / "grey.png")
    words = ("--lossless", "--no-codes", "--fit-on", tmp_path, "--out", tmp_path / "grey.vxl")
    told = said(capsys, "pack", RUN, tmp_path, *words, status=1)
    assert told == "voxlex: --fit-on: expected codes to fit tables for, got --no-codes; leave one of them out\n"


def test_coding_ends_before_a_slice_that_is_not_wanted() -> None:
    volume, asked = np.random.default_rng(0).integers(0, 50, (5, 8, 8)), []

    def not_more_than_two() -> None:
        asked.append(len(asked))
        if len(asked) == 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        encode(volume, before_slice=not_more_than_two)
    coded = encode(volume, before_slice=lambda: None)
    assert coded == encode(volume)
    asked.clear()
    with pytest.raises(CancelledError):
        decode(coded, before_slice=not_more_than_two)
    assert len(asked) == 3


def test_a_volume_is_not_coded_to_its_end_when_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, slices, code_slice = np.random.default_rng(0), [], codec.pixels.code_slice
    Image.fromarray(rng.integers(0, 9, (8, 8), dtype=np.uint8)).save(tmp_path / "small.png")
    np.savez(tmp_path / "large.npz", voxels=rng.integers(0, 999, (32, 32, 200), np.int16), spacing_mm=[1.0, 1.0, 1.0])

    def counted(*arguments: object) -> bool:
        slices.append(arguments[-1])
        return bool(code_slice(*arguments))

    monkeypatch.setattr(codec.pixels, "code_slice", counted)
    names = ("small.png", "large.npz")
    coded = Originals({name: tmp_path / name for name in names}, ReadingOptions()).coded(names)
    assert next(coded).shape == (8, 8)
    coded.close()
    assert len(slices) < 200
