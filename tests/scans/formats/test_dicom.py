from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.pixels import apply_color_lut, apply_rescale

from scans.dicom_files import COMPRESSIONS, make_dicom_picture, make_dicom_series, make_enhanced_file
from scans.volumes import ORIENTATIONS, affine_of, is_marked_left_front_top, marked
from voxlex.errors import DataError
from voxlex.images.intensity import IntensityMap
from voxlex.scans.read_write import read_scan, write_scan

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def _values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.int16)


@pytest.mark.parametrize("orientation", [name for name in ORIENTATIONS if name not in ("RAS", "PSR", "ASL")])
def test_a_marker_in_a_series_stays_where_it_is_in_the_head(tmp_path: Path, orientation: str):
    affine = affine_of(orientation)  # those whose slices climb against rows × columns are below
    make_dicom_series(tmp_path / "in", marked(affine), affine)
    scan = read_scan(tmp_path / "in")
    assert is_marked_left_front_top(scan.voxels)
    assert scan.voxels.dtype == np.int16
    write_scan(tmp_path / "out.nii.gz", scan)
    assert is_marked_left_front_top(read_scan(tmp_path / "out.nii.gz").voxels)
    written = nibabel.as_closest_canonical(nibabel.load(tmp_path / "out.nii.gz"))
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(marked(affine), affine))
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
    np.testing.assert_allclose(written.affine, expected.affine, atol=1e-4)
    np.testing.assert_allclose(scan.affine, expected.affine, atol=1e-6)


@pytest.mark.parametrize("orientation", ["RAS", "PSR", "ASL", "oblique"])
def test_simpleitk_sees_each_voxel_of_a_series_at_the_same_place(tmp_path: Path, orientation: str):
    affine = affine_of(orientation)
    make_dicom_series(tmp_path / "in", marked(affine), affine)
    scan = read_scan(tmp_path / "in")
    assert is_marked_left_front_top(scan.voxels)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "in"))
    image = SimpleITK.ReadImage(names)
    for index in np.random.default_rng(0).integers(0, scan.voxels.shape, (20, 3)):
        ras = scan.affine @ [*index, 1]
        there = image.TransformPhysicalPointToIndex((-ras[0], -ras[1], ras[2]))
        assert image[there] == scan.voxels[tuple(index)]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_compressed_pixels_are_those_that_were_compressed(tmp_path: Path, compression: str | None, dtype: type):
    affine = affine_of("LPS")
    values = np.random.default_rng(0).integers(0, 250, (20, 16, 3)).astype(dtype)
    if dtype == np.int16:
        values -= 100
    make_dicom_series(tmp_path / "in", values, affine, compression=compression, RescaleSlope=2, RescaleIntercept=-50)
    scan = read_scan(tmp_path / "in")
    assert scan.voxels.dtype == np.int16
    np.testing.assert_array_equal(scan.voxels[::-1, ::-1], values.astype(np.int16) * 2 - 50)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_enhanced_file_is_a_volume_with_the_scale_of_each_frame(tmp_path: Path, compression: str | None):
    affine = affine_of("LPS")
    slopes = [1.0 + index / 4 for index in range(9)]
    path = make_enhanced_file(tmp_path / "a.dcm", marked(affine), affine, slopes=slopes, compression=compression)
    scan = read_scan(path)
    np.testing.assert_allclose(scan.voxels[::-1, ::-1], marked(affine) * np.array(slopes, np.float32))
    np.testing.assert_allclose(scan.spacing_mm, (0.8, 1.0, 1.5))
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(marked(affine), affine)).affine
    np.testing.assert_allclose(scan.affine, expected, atol=1e-6)


# What pydicom's own files hold, decoded by pydicom; those it cannot decode (JPEG-LS, 12-bit JPEG), by SimpleITK alone.
@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_padded.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "JPEG2000.dcm",
        "examples_overlay.dcm",
        "image_dfl.dcm",
    ],
)
def test_grey_values_are_those_of_pydicom(name: str):
    dataset = pydicom.dcmread(PYDICOM_FILES / name)
    if name == "MR_small_padded.dcm":  # of whose padding pydicom warns
        dataset = pydicom.dcmread(PYDICOM_FILES / "MR_small.dcm")
    expected = apply_rescale(dataset.pixel_array, dataset)
    voxels = read_scan(PYDICOM_FILES / name).voxels
    assert voxels.dtype.kind in "ui"
    if voxels.ndim == 3:  # these all lie in LPS
        voxels = voxels[::-1, ::-1, 0].T
    np.testing.assert_array_equal(voxels, expected)


@pytest.mark.parametrize(
    "name", ["JPEG-lossy.dcm", "JPGExtended.dcm", "JPEGLSNearLossless_16.dcm", "MR_small_jpeg_ls_lossless.dcm"]
)
def test_grey_values_are_those_of_simpleitk(name: str):
    voxels = read_scan(PYDICOM_FILES / name).voxels
    if voxels.ndim == 3:
        voxels = voxels[::-1, ::-1, 0].T
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(PYDICOM_FILES / name)))
    np.testing.assert_array_equal(voxels, expected[0])


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_rle.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_rle_16bit.dcm",
        "examples_palette.dcm",
        "examples_jpeg2k.dcm",
    ],
)
def test_colour_becomes_luminance(name: str):
    dataset = pydicom.dcmread(PYDICOM_FILES / name)
    colours = dataset.pixel_array
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(colours, dataset)
    scan = read_scan(PYDICOM_FILES / name)
    assert not scan.is_volume
    np.testing.assert_allclose(scan.voxels, colours @ [0.299, 0.587, 0.114], atol=0.51)


def test_a_film_says_how_to_choose_a_frame():
    path = PYDICOM_FILES / "examples_ybr_color.dcm"
    with pytest.raises(
        DataError, match=r"expected one volume, got 30 frames .*; choose one with --volume 0 to --volume 29"
    ):
        read_scan(path)
    assert read_scan(path, volume=3).voxels.shape == (240, 320)


def test_the_series_of_a_real_ct(tmp_path: Path):
    folder = PYDICOM_FILES / "dicomdirtests" / "98892001" / "CT5N"
    scan = read_scan(folder)
    assert scan.voxels.shape == (16, 16, 5)
    assert scan.modality == "CT"
    assert scan.window == (-160, 240)
    image = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    np.testing.assert_allclose(scan.spacing_mm, image.GetSpacing(), rtol=1e-5)
    np.testing.assert_array_equal(scan.voxels[::-1, ::-1].T, SimpleITK.GetArrayFromImage(image))
    write_scan(tmp_path / "out.nii.gz", scan)
    written = SimpleITK.ReadImage(str(tmp_path / "out.nii.gz"))
    np.testing.assert_allclose(written.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(written.GetDirection(), image.GetDirection(), atol=1e-6)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), SimpleITK.GetArrayFromImage(image))


def test_hounsfield_units_and_the_window_of_a_ct(tmp_path: Path):
    affine = affine_of("LPS")
    tags = {"Modality": "CT", "RescaleIntercept": -1024, "RescaleSlope": 1}
    windows = {"WindowCenter": [40, 600], "WindowWidth": [80, 2000]}
    make_dicom_series(tmp_path / "a", _values(9, 8, 3) + 1000, affine, **tags, **windows)
    scan = read_scan(tmp_path / "a")
    np.testing.assert_array_equal(scan.voxels[::-1, ::-1], _values(9, 8, 3) - 24)
    assert (scan.modality, scan.window) == ("CT", (0, 80))
    chosen = IntensityMap.of(scan)
    assert (chosen.low, chosen.high, chosen.dtype) == (0, 80, np.uint16)


def test_slices_with_scales_of_their_own_as_in_pet(tmp_path: Path):
    tags = {"Modality": "PT", "RescaleSlope": lambda index: 0.5 + index, "RescaleIntercept": 0}
    make_dicom_series(tmp_path / "a", _values(9, 8, 3), affine_of("LPS"), **tags)
    scan = read_scan(tmp_path / "a")
    np.testing.assert_allclose(scan.voxels[::-1, ::-1], _values(9, 8, 3) * np.float32([0.5, 1.5, 2.5]))


@pytest.mark.parametrize("signed", [False, True])
def test_monochrome1_is_turned_round_with_its_window(tmp_path: Path, signed: bool):
    stored = np.linspace(0, 4095, 160).reshape(10, 16).round().astype(np.uint16)
    if signed:
        stored = (stored.astype(np.int16) - 2048).astype(np.int16)
    tags = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 1000, "WindowWidth": 400, "RescaleIntercept": 5}
    turned = read_scan(
        make_dicom_picture(tmp_path / "a.dcm", stored, **tags, RescaleSlope=1, PhotometricInterpretation="MONOCHROME1")
    )
    usual = read_scan(make_dicom_picture(tmp_path / "b.dcm", stored, **tags, RescaleSlope=1))
    assert usual.window == (800, 1200)
    ends = (-2048 + 2047 if signed else 4095) + 10
    np.testing.assert_array_equal(turned.voxels.astype(int), ends - usual.voxels.astype(int))
    assert turned.window == (ends - 1200, ends - 800)
    # What is seen through the window is the same, black for white.
    seen = IntensityMap.of(turned).to_unit(turned.voxels) + IntensityMap.of(usual).to_unit(usual.voxels)
    np.testing.assert_allclose(seen, 1, atol=1e-6)


def test_hounsfield_units_are_never_turned_round(tmp_path: Path):
    tags = {"Modality": "CT", "PhotometricInterpretation": "MONOCHROME1"}
    make_dicom_series(tmp_path / "a", _values(9, 8, 3), affine_of("LPS"), **tags)
    np.testing.assert_array_equal(read_scan(tmp_path / "a").voxels[::-1, ::-1], _values(9, 8, 3))


def test_overlays_in_the_upper_bits_are_left_out(tmp_path: Path):
    stored = np.arange(80, dtype=np.uint16).reshape(8, 10) * 50
    path = make_dicom_picture(tmp_path / "a.dcm", stored | 0x8000, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_scan(path).voxels, stored)


def test_a_tilted_gantry_slants_the_affine(tmp_path: Path):
    affine = affine_of("LPS")
    affine[1, 2] = -0.4
    make_dicom_series(tmp_path / "a", marked(affine), affine)
    scan = read_scan(tmp_path / "a")
    np.testing.assert_allclose(scan.affine[:3, 2], [0, -0.4, 1.5], atol=1e-6)
    write_scan(tmp_path / "a.nii", scan)
    np.testing.assert_allclose(read_scan(tmp_path / "a.nii").affine, scan.affine, atol=1e-5)


def test_files_without_suffix_are_known_by_their_content(tmp_path: Path):
    paths = make_dicom_series(tmp_path / "a", _values(9, 8, 3), affine_of("LPS"), names="IM{:04d}")
    assert read_scan(tmp_path / "a").voxels.shape == (9, 8, 3)
    assert read_scan(paths[0]).voxels.shape == (9, 8, 1)


def test_a_report_beside_the_images_does_no_harm(tmp_path: Path):
    make_dicom_series(tmp_path / "a", _values(9, 8, 3), affine_of("LPS"))
    (tmp_path / "a" / "report.dcm").write_bytes((PYDICOM_FILES / "test-SR.dcm").read_bytes())
    (tmp_path / "a" / "notes.txt").write_text("three slices")
    assert read_scan(tmp_path / "a").voxels.shape == (9, 8, 3)
    with pytest.raises(DataError, match=r"report\.dcm: is a DICOM file without an image"):
        read_scan(tmp_path / "a" / "report.dcm")


def test_several_volumes_in_one_series_are_counted_by_their_numbers(tmp_path: Path):
    first, second = _values(9, 8, 4), _values(9, 8, 4) + 1000
    make_dicom_series(tmp_path / "a", first, affine_of("LPS"), names="b{}.dcm")
    make_dicom_series(tmp_path / "a", second, affine_of("LPS"), names="a{}.dcm", InstanceNumber=lambda index: 5 + index)
    with pytest.raises(
        DataError,
        match=r"a: expected one volume, got 2; choose one with --volume 0 \(repeat 1: 4 slices of 9×8 pixels\), ",
    ):
        read_scan(tmp_path / "a")
    np.testing.assert_array_equal(read_scan(tmp_path / "a", volume=0).voxels[::-1, ::-1], first)
    np.testing.assert_array_equal(read_scan(tmp_path / "a", volume=1).voxels[::-1, ::-1], second)
    (tmp_path / "a" / "a2.dcm").unlink()
    with pytest.raises(DataError, match="1 of 4 positions hold more or fewer slices than the 2 of the others"):
        read_scan(tmp_path / "a", volume=0)


def test_missing_slices(tmp_path: Path):
    paths = make_dicom_series(tmp_path / "a", _values(9, 8, 9), affine_of("LPS"))
    paths[3].unlink()
    with pytest.raises(DataError, match=r"a: 1 slice is missing: 8 are there, with gaps after slice 3$"):
        read_scan(tmp_path / "a")
    paths[4].unlink()
    paths[7].unlink()
    with pytest.raises(DataError, match=r"a: 3 slices are missing: 6 are there, with gaps after slice 3, 5$"):
        read_scan(tmp_path / "a")


def test_slices_that_are_unevenly_spaced(tmp_path: Path):
    def moved(index: int) -> list[float]:
        return [0, 0, 2.0 * index + (0.7 if index > 4 else 0)]

    make_dicom_series(tmp_path / "a", _values(9, 8, 9), affine_of("LPS"), ImagePositionPatient=moved)
    with pytest.raises(DataError, match=r"a: its slices are unevenly spaced, 2 to 2\.7 mm apart"):
        read_scan(tmp_path / "a")


def test_positions_that_were_rounded_are_no_uneven_spacing(tmp_path: Path):
    def rounded(index: int) -> list[float]:
        return [0, 0, round(1.3333 * index, 1)]

    make_dicom_series(tmp_path / "a", _values(9, 8, 30), affine_of("LPS"), ImagePositionPatient=rounded)
    assert read_scan(tmp_path / "a").spacing_mm[2] == pytest.approx(1.3333, abs=0.003)


def test_slices_that_are_shifted_against_each_other(tmp_path: Path):
    def shifted(index: int) -> list[float]:
        return [0, 5.0 if index == 4 else 0, 2.0 * index]

    make_dicom_series(tmp_path / "a", _values(9, 8, 9), affine_of("LPS"), ImagePositionPatient=shifted)
    with pytest.raises(DataError, match="a: its slices are shifted against each other"):
        read_scan(tmp_path / "a")


def test_mixed_series_in_one_folder(tmp_path: Path):
    make_dicom_series(tmp_path / "a", _values(9, 8, 3), affine_of("LPS"), names="a{}.dcm")
    make_dicom_series(tmp_path / "a", _values(9, 8, 5), affine_of("LPS"), names="b{}.dcm", SeriesInstanceUID="2.25.8")
    with pytest.raises(
        DataError, match=r"a: holds 2 DICOM series; choose one with --series 1 \(3 slices\); --series 2 \(5 slices\)$"
    ):
        read_scan(tmp_path / "a")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PixelSpacing": lambda index: [1, 1 + index // 3]}, "differ in PixelSpacing: 1×1 and 1×2 mm"),
        (
            {"ImageOrientationPatient": lambda index: [1, 0, 0, 0, 1, 0] if index else [1, 0, 0, 0, 0, -1]},
            r"holds a localiser alone: series-1-axial \(3 slices\), series-1-coronal \(1 slice\)",
        ),
        ({"ImagePositionPatient": None}, "4 of its 4 DICOM files do not say where their slice lies"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "does not hold two directions at right angles"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "does not hold two directions at right angles"),
        ({"PixelSpacing": [0, 0]}, "expected two lengths above 0 in PixelSpacing, got 0 and 0"),
    ],
)
def test_slices_that_make_no_volume(tmp_path: Path, tags: dict[str, object], message: str):
    make_dicom_series(tmp_path / "a", _values(9, 8, 4), affine_of("LPS"), **tags)
    with pytest.raises(DataError, match=f"a[:/].*{message}"):
        read_scan(tmp_path / "a")


def test_slices_of_several_sizes(tmp_path: Path):
    make_dicom_series(tmp_path / "a", _values(9, 8, 3), affine_of("LPS"), names="a{}.dcm")
    make_dicom_series(tmp_path / "a", _values(7, 8, 1), affine_of("LPS"), names="b{}.dcm")
    with pytest.raises(DataError, match="a: its slices differ in size: 8×7 and 8×9 pixels"):
        read_scan(tmp_path / "a")


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kept", [0, 100, 0.3, 0.9])
def test_a_file_cut_short_or_of_something_else(tmp_path: Path, compression: str | None, kept: float):
    (path,) = make_dicom_series(tmp_path, _values(40, 40, 1), affine_of("LPS"), compression=compression)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(DataError, match=r"001\.dcm: (is not a DICOM file, or is|its pixels cannot be decoded: )"):
        read_scan(path)


def test_what_is_no_dicom(tmp_path: Path):
    (tmp_path / "a.dcm").write_text("no image")
    with pytest.raises(DataError, match=r"a\.dcm: is not a DICOM file, or is damaged or cut short"):
        read_scan(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"b\.dcm: no such file"):
        read_scan(tmp_path / "b.dcm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"empty: expected a folder of one DICOM series, got a folder without a DICOM file"
    ):
        read_scan(tmp_path / "empty")
