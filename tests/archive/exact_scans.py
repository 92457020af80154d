"""Small scans of every kind that is stored exactly, and what their files hold."""

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from scans.volumes import affine_of

GEOMETRY = (
    *("dim", "dim_info", "datatype", "bitpix", "pixdim", "xyzt_units", "scl_slope", "scl_inter", "qform_code"),
    *("sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "cal_max", "cal_min", "intent_code", "toffset", "slice_code"),
)
SECRET = b"DOE^JANE 19700102"


def smooth(rng: np.random.Generator, height: int, width: int, *, largest: float = 255) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (np.sin(y / 7) + np.cos(x / 5) + 2.2 + rng.normal(0, 0.02, (height, width))) / 4.5 * largest


def write_scans(folder: Path) -> Path:
    """Write pictures of all modes, and volumes of several types with headers that say much."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    grey = smooth(rng, 20, 24).astype(np.uint8)
    colour = np.stack([smooth(rng, 20, 24) for _ in range(3)], axis=-1).astype(np.uint8)
    pictures = {
        "grey.png": grey,
        "deep.png": smooth(rng, 20, 24, largest=4095).astype(np.uint16),
        "colour.png": colour,
        "clear.png": np.concatenate([colour, colour[..., :1]], axis=-1),
        "bits.png": grey > 120,
        "was-a.jpg": grey,
        "seems-colour.jpg": np.repeat(grey[..., None], 3, axis=-1),
        "floats.tif": smooth(rng, 20, 24, largest=1).astype(np.float32) - np.float32(0.2),
        "signed.tiff": smooth(rng, 20, 24, largest=4000).astype(np.int32) - 900,
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / name)
    Image.fromarray(colour).quantize(16).save(folder / "palette.png")
    write_volume(folder / "head.nii.gz", rng, np.int16, scaling=(0.37, -4.2))
    write_volume(folder / "new.nii", rng, np.uint8, kind=nibabel.Nifti2Image)
    write_volume(folder / "floats.nii", rng, np.float64, endianness=">")
    return folder


def write_volume(
    path: Path,
    rng: np.random.Generator,
    dtype: type,
    *,
    kind: type = nibabel.Nifti1Image,
    scaling: tuple[float, float] | None = None,
    endianness: str = "<",
) -> None:
    voxels = np.stack([smooth(rng, 9, 8, largest=240) for _ in range(4)], axis=-1).astype(dtype)
    affine = affine_of("oblique")
    image = kind(voxels, affine, kind.header_class(endianness=endianness))
    header = image.header
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endianness))
    image.set_sform(affine, 3)
    image.set_qform(affine, 1)
    header.set_xyzt_units("mm", "sec")
    header["cal_max"], header["dim_info"], header["toffset"] = 77, 57, 1.5
    for name in ("descrip", "aux_file", "intent_name"):
        header[name] = SECRET[: header[name].dtype.itemsize]
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", SECRET))
    image.header.set_slope_inter(*(scaling or (None, None)))
    image.to_filename(path)


def assert_same_file(before: Path, after: Path) -> None:
    """Compare what two files hold, bit for bit."""
    if before.name.endswith((".nii", ".nii.gz")):
        one, other = nibabel.load(before), nibabel.load(after)
        for name in GEOMETRY:
            np.testing.assert_array_equal(one.header[name], other.header[name], err_msg=name)
        assert one.header.endianness == other.header.endianness
        assert one.affine.tobytes() == other.affine.tobytes()
        found, expected = (np.asarray(image.dataobj.get_unscaled()) for image in (other, one))
    else:
        with Image.open(before) as first, Image.open(after) as second:
            assert second.mode == first.mode
            palettes = first.getpalette() or [], second.getpalette() or []
            shortest = min(map(len, palettes))
            assert palettes[0][:shortest] == palettes[1][:shortest]
            found, expected = np.asarray(second), np.asarray(first)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()
