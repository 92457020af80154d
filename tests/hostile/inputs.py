"""Hostile and odd inputs, made by code: each builder writes one into a folder and returns the SOURCE that leads to it.

`BROKEN` cannot be used: alone they are refused, and among good scans they are skipped and listed. `NEEDS_A_WORD` can be
used with an option that the refusal names. `ODD` are used as they are.
"""

import gzip
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Input:
    """An input, and what is to come of it.

    Attributes:
        build: Writes it into an empty folder, and returns the SOURCE.
        says: What the refusal says of the cause, as a regular expression.
        names: What stands in the refusal; the name of SOURCE by default.
        volume: Whether it is a volume, which a run on slices reads, too, but `inpaint` does not.
    """

    build: Build
    says: str = ""
    names: str = ""
    volume: bool = True


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
    import zlib

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


BROKEN: dict[str, Input] = {
    **{f"empty{suffix}": Input(holding(suffix, b""), "empty|no bytes|0 bytes|cut short") for suffix in FORMATS},
    **{f"html{suffix}": Input(holding(suffix, HTML)) for suffix in FORMATS},
    **{f"lfs{suffix}": Input(holding(suffix, LFS)) for suffix in FORMATS},
    **{f"half{suffix}": Input(cut_short(suffix, 0.5)) for suffix in FORMATS if suffix != ".jpg"},
    **{f"start{suffix}": Input(cut_short(suffix, 0.02)) for suffix in FORMATS},
    **{f"pipe{suffix}": Input(pipe(suffix), "regular file|pipe") for suffix in (*FORMATS, "", ".dicom")},
    **{f"device{suffix}": Input(link(suffix, "/dev/zero"), "regular file|device") for suffix in FORMATS},
    **{f"loop{suffix}": Input(link(suffix, f"scan{suffix}")) for suffix in (".png", ".nii.gz", ".dcm")},
    **{f"dangling{suffix}": Input(link(suffix, "nowhere")) for suffix in (".png", ".nii.gz", ".dcm")},
    "claims 30000³": Input(nifti_that_claims((30000, 30000, 30000)), "GB|gigabytes"),
    "claims 400³": Input(nifti_that_claims((400, 400, 400))),
    "claims no voxel": Input(nifti_that_claims((16, 0, 12))),
    "claims less than none": Input(nifti_that_claims((16, -18, 12))),
    "claims eight axes": Input(nifti_that_claims((16, 18, 12), rest=8000)),
    "claims 60000²": Input(picture_that_claims, volume=False),
    "mhd elsewhere": Input(header_of("scan.mhd", _MHD + "{secret}\n"), "beside|inside|folder|names"),
    "mhd upwards": Input(header_of("scan.mhd", _MHD + "../neighbour/secret.raw\n"), "beside|inside|folder|names"),
    "mha elsewhere": Input(header_of("scan.mha", _MHD + "{secret}\n"), "beside|inside|folder|names"),
    "mhd of a list": Input(
        header_of("scan.mhd", _MHD + "LIST\n" + "{secret}\n" * 12), "beside|inside|folder|names|list|LIST"
    ),
    "mhd of a pattern": Input(header_of("scan.mhd", _MHD + "../neighbour/%s.raw 1 12 1\n")),
    "mhd of a device": Input(header_of("scan.mhd", _MHD + "/dev/zero\n"), "beside|inside|folder|names"),
    "nhdr elsewhere": Input(header_of("scan.nhdr", _NHDR + "{secret}\n"), "beside|inside|folder|names"),
    "nhdr upwards": Input(header_of("scan.nhdr", _NHDR + "../neighbour/secret.raw\n"), "beside|inside|folder|names"),
    "nrrd elsewhere": Input(header_of("scan.nrrd", _NHDR + "{secret}\n"), "beside|inside|folder|names"),
    "nhdr of a list": Input(header_of("scan.nhdr", _NHDR + "LIST\n{secret}\n"), "beside|inside|folder|names|list|LIST"),
    "infinite": Input(nifti(np.full(SHAPE, np.inf, np.float32)), "finite|not a number"),
    "colour": Input(nifti(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])), "colour|RGB|real numbers"),
    "complex": Input(nifti(np.ones(SHAPE, np.complex64)), "complex|real numbers"),
    "constant": Input(nifti(np.full(SHAPE, 7, np.int16)), "constant"),
    "constant picture": Input(
        lambda folder: saved(folder / "scan.png", np.full((40, 36), 7, np.uint8)), "constant", volume=False
    ),
    "report": Input(dicom(report), "report|without an image|no image|pixel"),
    "dicom without rows": Input(dicom(without("Rows")), "Rows|0028,0010"),
    "dicom without pixels": Input(dicom(without("PixelData")), "without an image|no image|pixel|Pixel"),
    "dicom of 65535²": Input(dicom(with_tags(Rows=65535, Columns=65535), compress=True)),
    "dicom of many frames": Input(dicom(with_tags(NumberOfFrames=10**9), compress=True)),
    "dicom of few bytes": Input(dicom(with_tags(Rows=2000, Columns=2000))),
    "prepared set of nothing": Input(
        lambda folder: saved_text(folder / "prepared.json", "[]").parent, names="source", says="prepared"
    ),
    "prepared set of text": Input(
        lambda folder: saved_text(folder / "prepared.json", "hello").parent, names="source", says="prepared"
    ),
    "empty table": Input(table("scans.csv", ""), "empty|column|path|row"),
    "table without paths": Input(table("scans.csv", "a,b\n1,2\n"), "path"),
    "table of nothing": Input(table("scans.csv", "path\n"), "row|scan|none|no "),
    "table with NUL": Input(table("scans.csv", b"path\na\0.png\n")),
    "table of html": Input(table("scans.csv", HTML)),
    "table of bytes": Input(table("scans.csv", b"\xff\xfe\x00\x01" * 9)),
    "table of half a parquet": Input(table("scans.parquet", b"PAR1" + bytes(40))),
    "table of an elsewhere": Input(table("scans.csv", "path\nnothing.png\n"), "no such|missing", names="nothing.png"),
    "folder of nothing": Input(lambda folder: folder, "at least one scan", names="source"),
}
"""What cannot be used."""

NEEDS_A_WORD: dict[str, Input] = {
    "4D": Input(nifti(np.stack([volume(0), volume(1)], axis=3)), "--volume"),
    "5D": Input(nifti(np.stack([volume(0), volume(1)], axis=3)[:, :, :, None]), "--volume"),
    "NaN": Input(nifti(np.where(volume() > 200, volume(), np.nan).astype(np.float32)), "--nan"),
    "4D numbers": Input(
        lambda folder: saved_numpy(folder / "scan.npy", np.stack([volume(0), volume(1)])), "--volume|axes|shape"
    ),
}
"""What can be used with an option that the refusal names."""


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


NAMES: dict[str, Input] = {
    "not UTF-8": Input(named(b"caf\xe9.png"), volume=False),
    "long": Input(named("a" * 251 + ".png"), volume=False),
    "long and wide": Input(named("ä" * 125 + ".png"), volume=False),
    "newline": Input(named("a\nb.png"), volume=False),
    "escape": Input(named("a\x1b[31mb\x1b]0;x\x07.png"), volume=False),
    "formula": Input(named("=1+1.png"), volume=False),
    "dash": Input(named("-rf.png"), volume=False),
    "space": Input(named(" a b .png"), volume=False),
    "markup": Input(named("[red]<b>&amp;{{x}}.png"), volume=False),
    "backslash": Input(named("a\\b.png"), volume=False),
    "capitals": Input(named("A.PNG"), volume=False),
}
"""Pictures of odd names."""

ODD: dict[str, Input] = {
    **{f"intact{suffix}": Input(lambda folder, suffix=suffix: good_file(folder, suffix)) for suffix in FORMATS},
    **NAMES,
    "x-ray": Input(x_ray, volume=False),
    "two series": Input(two_series),
    "small float": Input(nifti(volume().astype(np.float32) * 1e-20)),
    "large float": Input(nifti(volume().astype(np.float64) * 1e20)),
    "big-endian": Input(lambda folder: big_endian(folder / "scan.nii")),
    "colours": Input(
        lambda folder: saved(folder / "scan.png", np.stack([picture(0), picture(1), picture(2)], axis=2)), volume=False
    ),
    "zeros behind": Input(zeros_behind),
    "MONOCHROME1": Input(dicom(with_tags(PhotometricInterpretation="MONOCHROME1"))),
}
"""What is used as it is."""


def big_endian(path: Path) -> Path:
    image = nibabel.Nifti1Image(volume().astype(">i2"), AFFINE, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(image, path)
    return path
