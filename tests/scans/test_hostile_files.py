"""Files that claim too much, name other files, or are something else: a clear refusal, soon, and in little memory."""

import bz2
import gzip
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scans.volumes import affine_of, is_marked_left_front_top, marked
from voxlex.errors import DataError
from voxlex.scans.listing import find_scans
from voxlex.scans.read_write import read_scan, write_scan

META = "ObjectType = Image\nNDims = 3\nDimSize = {size}\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {size}\nspacings: 1 1 1\nencoding: {encoding}\n"
LARGE = (30_000, 30_000, 7)
SECRET = "name of a person and a number, long enough for all of the voxels that the headers claim" * 20

AFFINE = affine_of("LAS", spacing_mm=(4.0, 4.0, 4.5))


def nifti(shape: tuple[int, ...] = (12, 16, 9), **fields: object) -> bytes:
    """Return the bytes of a NIfTI file with a marked head, some fields of which are replaced."""
    image = nibabel.Nifti1Image(marked(AFFINE), AFFINE)
    content = bytearray(image.to_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    header["dim"][1 : 1 + len(shape)] = shape
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    return bytes(content)


def npz(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return content.getvalue()


def npy(shape: tuple[int, ...], body: bytes = b"") -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return content.getvalue() + body


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fail if a test takes more than 64 MB."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64e6


CLAIMS = {
    "large.nii": nifti(LARGE),
    "large.nii.gz": gzip.compress(nifti(LARGE), mtime=0),
    "huge.nii.gz": gzip.compress(nifti((30_000, 30_000, 30_000))),
    "behind.nii.gz": gzip.compress(nifti() + bytes(30 << 20)),
    "members.nii.gz": gzip.compress(nifti(), mtime=0) + gzip.compress(bytes(2 << 20), mtime=0) * 3,
    "padded.nii.gz": gzip.compress(nifti(), mtime=0) + bytes(3 << 20),
    "large.mha": (META.format(size="30000 30000 7") + "ElementDataFile = LOCAL\n").encode() + bytes(99),
    "packed.mha": (META.format(size="30000 30000 7") + "CompressedData = True\nElementDataFile = LOCAL\n").encode()
    + zlib.compress(bytes(1 << 20)),
    "large.nrrd": (NRRD.format(size="30000 30000 7", encoding="raw") + "\n").encode() + bytes(99),
    "packed.nrrd": (NRRD.format(size="30000 30000 7", encoding="gzip") + "\n").encode() + gzip.compress(bytes(1 << 20)),
    "large.npy": npy(LARGE, bytes(99)),
    "large.npz": npz(voxels=npy(LARGE, bytes(99))),
    "many.npz": npz(**{f"a{number}": b"x" for number in range(100)}),
    "large.mgh": b"\0\0\0\1" + struct.pack(">5ih", *LARGE, 1, 0, 1) + struct.pack(">3f", 1, 1, 1) + bytes(300),
}


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.usefixtures("little_memory")
def test_no_memory_is_taken_for_what_a_header_claims(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(CLAIMS[name])
    with pytest.raises(DataError, match=rf"{name}: (its header claims|is damaged|expected one array)"):
        read_scan(tmp_path / name, spacing_mm=(1, 1, 1))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.npz"])
def test_the_limit_of_memory_is_an_option(tmp_path: Path, name: str):
    (tmp_path / "in.nii").write_bytes(nifti())
    write_scan(tmp_path / name, read_scan(tmp_path / "in.nii"))
    with pytest.raises(DataError, match=rf"{name}: its header claims .* allow more with --reading.max-gigabytes 1 "):
        read_scan(tmp_path / name, max_gigabytes=1e-6)
    assert is_marked_left_front_top(read_scan(tmp_path / name, max_gigabytes=0.001).voxels)


NAMES = ["/etc/passwd", "../secret.raw", "below/secret.raw", "link.raw", "LIST", "s%03d.raw 1 3 1", "below\\secret.raw"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr", ".mha", ".nrrd"])
def test_headers_name_only_files_beside_them(tmp_path: Path, name: str, suffix: str):
    folder = tmp_path / "scans"
    (folder / "below").mkdir(parents=True)
    for place in (tmp_path / "secret.raw", folder / "below" / "secret.raw"):
        place.write_text(SECRET)
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    meta = META.format(size="10 10 10") + f"ElementDataFile = {name}\n"
    nrrd = NRRD.format(size="10 10 10", encoding="raw") + f"data file: {name}\n\n"
    path = folder / f"a{suffix}"
    path.write_text(meta if suffix.startswith(".mh") else nrrd)
    with pytest.raises(
        DataError, match=rf"a\{suffix}: names (a file that does not lie in its own|several files)"
    ) as told:
        read_scan(path)
    assert "person" not in str(told.value)


@pytest.mark.parametrize("suffix", [".hdr", ".img"])
def test_a_pair_is_not_completed_from_elsewhere(tmp_path: Path, suffix: str):
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Pair(marked(AFFINE), AFFINE), tmp_path / "in" / "a.img")
    (tmp_path / "in" / "a.img").rename(tmp_path / "elsewhere.img")
    (tmp_path / "in" / "a.img").symlink_to(tmp_path / "elsewhere.img")
    with pytest.raises(DataError, match=rf"a\{suffix}: names a file that does not lie in its own folder"):
        read_scan(tmp_path / "in" / f"a{suffix}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr", "a.mgz", "a.npy", "a.npz", "a.mha", "a.nrrd", "a.tif"])
def test_pipes_and_devices_are_not_read(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: .*expected a regular file, got a pipe|its \.img file is missing"):
        read_scan(tmp_path / name)
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match=rf"{name}: .*expected a regular file, got a device|its \.img file is missing"):
        read_scan(tmp_path / "device" / name)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("packed.nii", gzip.compress),
        ("plain.nii.gz", bytes),
        ("twice.nii.gz", lambda content: gzip.compress(gzip.compress(content), mtime=0)),
    ],
)
def test_packing_is_known_by_content(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]):
    (tmp_path / name).write_bytes(pack(nifti()))
    assert is_marked_left_front_top(read_scan(tmp_path / name).voxels)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (gzip.compress(b"", mtime=0), "an empty file"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS"),
        (bytes(128) + b"DICM" + bytes(400), "a DICOM file"),
        (npz(voxels=npy((3, 4, 5), bytes(60))), "a zip archive"),
        (bz2.compress(nifti()), "a file packed with bzip2"),
        (b"\x28\xb5\x2f\xfd" + bytes(400), "a file packed with zstd"),
        (bytes(4000), "zeros"),
        (b"Dear Sir,\n", "text"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, content: bytes, kind: str):
    (tmp_path / name).write_bytes(content if name == "a.nii.gz" or not content.startswith(b"\x1f") else b"")
    with pytest.raises(DataError, match=rf"{name}: expected (a|an) (NIfTI|MetaImage|NRRD) file, got {kind}"):
        read_scan(tmp_path / name)


@pytest.mark.parametrize("packed", [False, True])
def test_a_pair_is_one_scan_by_either_of_its_names(tmp_path: Path, packed: bool):
    end = ".gz" if packed else ""
    nibabel.save(nibabel.Nifti1Pair(marked(AFFINE), AFFINE), tmp_path / f"a.img{end}")
    assert find_scans(tmp_path) == [f"a.hdr{end}"]
    for name in (f"a.hdr{end}", f"a.img{end}"):
        scan = read_scan(tmp_path / name)
        assert is_marked_left_front_top(scan.voxels)
        assert scan.spacing_mm == pytest.approx((4, 4, 4.5))


UNKNOWN = {
    "zero": {"pixdim": [1, 0, 0, 0, 0, 0, 0, 0]},
    "negative": {"pixdim": [1, -4, 4, 4.5, 0, 0, 0, 0]},
    "nan": {"pixdim": [1, np.nan, 4, 4.5, 0, 0, 0, 0]},
    "one": {"pixdim": [1, 4, 4, 0, 0, 0, 0, 0]},
}


@pytest.mark.parametrize("qform", [0, 1])
@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_spacing_is_asked_for(tmp_path: Path, case: str, qform: int):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(sform_code=0, qform_code=qform, **UNKNOWN[case]))
    with pytest.raises(DataError, match=r"a\.nii: does not say how far apart its voxels are; .*--reading\.spacing-mm"):
        read_scan(path)
    scan = read_scan(path, spacing_mm=(4, 4, 4.5))
    assert scan.spacing_mm == pytest.approx((4, 4, 4.5))
    assert scan.unknown == (("spacing",) if qform else ("spacing", "orientation"))
    if not qform:  # what nobody knows is not written as known
        write_scan(tmp_path / "b.nii", scan)
        assert nibabel.load(tmp_path / "b.nii").header["sform_code"] == 0
        assert read_scan(tmp_path / "b.nii").unknown == ("orientation",)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".npy"])
def test_an_unknown_spacing_of_other_formats_is_asked_for(tmp_path: Path, suffix: str):
    meta = META.replace("ElementSpacing = 1 1 1\n", "").format(size="9 8 7") + "ElementDataFile = LOCAL\n"
    nrrd = NRRD.replace("spacings: 1 1 1\n", "").format(size="9 8 7", encoding="raw") + "\n"
    starts = {".mha": meta.encode(), ".nrrd": nrrd.encode(), ".npy": npy((9, 8, 7))}
    (tmp_path / f"a{suffix}").write_bytes(starts[suffix] + bytes(range(252)) * 2)
    with pytest.raises(DataError, match=rf"a\{suffix}: does not say how far apart its voxels are"):
        read_scan(tmp_path / f"a{suffix}")
    scan = read_scan(tmp_path / f"a{suffix}", spacing_mm=(1, 2, 3))
    assert scan.spacing_mm == (1, 2, 3)
    assert scan.unknown == ("spacing", "orientation")
    write_scan(tmp_path / "b.nii", scan)
    np.testing.assert_array_equal(read_scan(tmp_path / "b.nii").voxels, scan.voxels)


@pytest.mark.parametrize("lengths", [(1, 16, 9), (12, 1, 9), (12, 16, 1)])
def test_the_thickness_of_a_single_slice_may_be_unknown(tmp_path: Path, lengths: tuple[int, int, int]):
    steps = [1, *(0.0 if length == 1 else 4.0 for length in lengths), 0, 0, 0, 0]
    (tmp_path / "a.nii").write_bytes(nifti(lengths, sform_code=0, qform_code=1, pixdim=steps))
    scan = read_scan(tmp_path / "a.nii")
    assert scan.spacing_mm == pytest.approx((4, 4, 4))
    assert scan.unknown == ("thickness",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scl_slope": np.inf}, "expected a finite slope and intercept, got inf"),
        ({"scl_slope": 1.0, "scl_inter": np.nan}, "expected a finite slope and intercept"),
        ({"scl_slope": 1e-44}, "expected grey values that float32 can hold"),
        ({"scl_slope": 3e38}, "expected grey values that float32 can hold"),
        ({"datatype": 1, "bitpix": 1}, "expected real numbers of at most 64 bits, got single bits"),
        ({"datatype": 2304, "bitpix": 32}, r"got colour \(RGBA32\)"),
        ({"datatype": 32, "bitpix": 64}, "expected real numbers, got values of type complex64"),
        ({"datatype": 777}, "expected a known type of numbers, got the code 777"),
        ({"bitpix": 8}, "contradicts itself"),
        ({"vox_offset": np.nan}, "does not say where its voxels begin"),
        ({"vox_offset": 1e30}, "damaged or cut short"),
        ({"vox_offset": 100.0}, "damaged"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 5.0}, "its qform is not a rotation"),
        ({"xyzt_units": 2, "srow_x": [1e7, 0, 0, 0]}, "expected voxels 1e-06 to 10000 mm apart"),
    ],
)
def test_headers_without_a_meaning(tmp_path: Path, fields: dict[str, object], message: str):
    (tmp_path / "a.nii").write_bytes(nifti(**fields))
    with pytest.raises(DataError, match=rf"a\.nii: .*{message}"):
        read_scan(tmp_path / "a.nii")


@pytest.mark.parametrize(("slope", "intercept"), [(0.0, 5.0), (np.nan, np.nan)])
def test_a_slope_of_0_or_nan_means_that_there_is_none(tmp_path: Path, slope: float, intercept: float):
    (tmp_path / "a.nii").write_bytes(nifti(scl_slope=slope, scl_inter=intercept))
    assert is_marked_left_front_top(read_scan(tmp_path / "a.nii").voxels)
    assert read_scan(tmp_path / "a.nii").voxels.max() == 1000


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd", ".npz", ".mgz"])
def test_damaged_bytes_are_only_our_errors(tmp_path: Path, suffix: str):
    (tmp_path / "in.nii").write_bytes(nifti())
    path = tmp_path / f"a{suffix}"
    if suffix == ".mgz":
        nibabel.save(nibabel.MGHImage(marked(AFFINE), AFFINE), path)
    else:
        write_scan(path, read_scan(tmp_path / "in.nii"))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 600), 3):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        with suppress(DataError):
            assert np.isfinite(read_scan(path, max_gigabytes=0.05).voxels).all()
