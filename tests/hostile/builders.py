"""Builders of hostile and odd inputs: each writes one into a folder and returns the SOURCE that leads to it."""

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from scans.dicom_files import make_dicom_picture, make_dicom_series
from scans.pictures import picture
from scans.volumes import affine_of, marked
from voxlex.scans.read_write import write_scan
from voxlex.scans.scan import Scan

Build = Callable[[Path], Path]

AFFINE = affine_of("LPS", spacing_mm=(4.0, 4.0, 4.5))
SHAPE = (16, 18, 12)

HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a2146" * 8 + b"\nsize 12345\n"


def volume(seed: int = 0, *, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A volume of int16, different for each seed."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 60, shape)
    return (marked(AFFINE, shape) + noise + 40 * rng.integers(0, 9, (1, shape[1], 1))).astype(np.int16)


def good_file(folder: Path, suffix: str, *, seed: int = 0) -> Path:
    """Write an intact file of a format."""
    path = folder / f"scan{suffix}"
    values = volume(seed)
    if suffix in (".png", ".tif", ".jpg"):
        Image.fromarray(picture(seed)).save(path)
    elif suffix == ".dcm":
        make_dicom_series(folder, values[:, :, :1], AFFINE, names="scan.dcm")
    elif suffix in (".nii", ".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    elif suffix == ".mgz":
        nibabel.save(nibabel.MGHImage(values.astype(np.float32), AFFINE), path)
    elif suffix == ".npy":
        np.save(path, picture(seed))
    elif suffix == ".npz":
        np.savez(path, values, affine=AFFINE)
    else:
        write_scan(path, Scan(voxels=values, affine=affine_of("RAS"), spacing_mm=(0.8, 1.0, 1.5)))
    return path


FORMATS = (".nii", ".nii.gz", ".mgz", ".png", ".jpg", ".tif", ".dcm", ".nrrd", ".mha", ".npy", ".npz")


def holding(suffix: str, content: bytes) -> Build:
    def build(folder: Path) -> Path:
        path = folder / f"scan{suffix}"
        path.write_bytes(content)
        return path

    return build


def cut_short(suffix: str, share: float) -> Build:
    def build(folder: Path) -> Path:
        path = good_file(folder, suffix)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return build


def pipe(suffix: str) -> Build:
    def build(folder: Path) -> Path:
        path = folder / f"scan{suffix}"
        os.mkfifo(path)
        return path

    return build


def link(suffix: str, target: str) -> Build:
    def build(folder: Path) -> Path:
        path = folder / f"scan{suffix}"
        path.symlink_to(target)
        return path

    return build


def nifti(array: np.ndarray, **header: object) -> Build:
    def build(folder: Path) -> Path:
        image = nibabel.Nifti1Image(array, AFFINE)
        for name, value in header.items():
            image.header[name] = value
        path = folder / "scan.nii.gz"
        nibabel.save(image, path)
        return path

    return build


def nifti_that_claims(shape: tuple[int, ...], *, rest: int = 1000) -> Build:
    """A header of a volume of a shape, and little behind it."""

    def build(folder: Path) -> Path:
        header = nibabel.Nifti1Header()
        header.set_data_dtype(np.int16)
        header["dim"][: len(shape) + 1] = (len(shape), *shape)
        header["vox_offset"], header["sform_code"] = 352, 1
        header["srow_x"], header["srow_y"], header["srow_z"] = AFFINE[:3]
        path = folder / "scan.nii.gz"
        path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + rest)))
        return path

    return build


def zeros_behind(folder: Path) -> Path:
    """A volume with 200 MB of zeros behind it, in 200 kB."""
    path = nifti(volume())(folder)
    with path.open("ab") as file:
        file.write(gzip.compress(bytes(200 * 10**6), 9))
    return path


def picture_that_claims(folder: Path) -> Path:
    """A PNG of 60000×60000 pixels that ends after its header."""
    path = folder / "scan.png"
    Image.fromarray(picture(0)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60000, 60000)

    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)
    return path


def header_of(name: str, lines: str) -> Build:
    """A header whose voxels lie in a file elsewhere, of the size that it expects."""

    def build(folder: Path) -> Path:
        path = folder / name
        path.write_text(lines.format(secret=folder.parent / "neighbour" / "secret.raw"))
        return path

    return build


_MHD = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 4 4 4\nDimSize = 16 18 12\n"
    "ElementType = MET_SHORT\nElementDataFile = "
)
_NHDR = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 16 18 12\n"
    "space directions: (4,0,0) (0,4,0) (0,0,4)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    "space origin: (0,0,0)\ndata file: "
)


def dicom(change: Callable[[Dataset], object], *, bits: type = np.uint16, compress: bool = False) -> Build:
    """One DICOM slice, changed."""

    def build(folder: Path) -> Path:
        values = volume()[:, :, :1].astype(bits)
        (path,) = make_dicom_series(folder, values, AFFINE, names="scan.dcm")
        dataset = pydicom.dcmread(path)
        if compress:
            dataset.compress(RLELossless, generate_instance_uid=False)
        change(dataset)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return build


def report(dataset: Dataset) -> None:
    """Make a structured report of a slice."""
    del dataset.PixelData, dataset.Rows, dataset.Columns
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.Modality = "SR"


def without(*tags: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for tag in tags:
            delattr(dataset, tag)

    return change


def with_tags(**tags: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for tag, value in tags.items():
            setattr(dataset, tag, value)

    return change


def two_series(folder: Path) -> Path:
    make_dicom_series(folder, volume(1).astype(np.uint16), AFFINE, names="a{:03d}.dcm")
    make_dicom_series(folder, volume(2).astype(np.uint16), AFFINE, names="b{:03d}.dcm", SeriesInstanceUID="1.2.3.9")
    return folder


def table(name: str, content: bytes | str) -> Build:
    def build(folder: Path) -> Path:
        Image.fromarray(picture(0)).save(folder / "a.png")
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return build


def saved(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def saved_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def saved_numpy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def named(name: str | bytes) -> Build:
    """A picture of a name."""

    def build(folder: Path) -> Path:
        path = os.fsencode(folder) + b"/" + (name if isinstance(name, bytes) else name.encode())
        Image.fromarray(picture(0)).save(folder / "scan.png")
        return (folder / "scan.png").rename(os.fsdecode(path))

    return build


def x_ray(folder: Path) -> Path:
    return make_dicom_picture(folder / "scan.dcm", picture(3).astype(np.uint16))


def big_endian(path: Path) -> Path:
    image = nibabel.Nifti1Image(volume().astype(">i2"), AFFINE, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(image, path)
    return path
