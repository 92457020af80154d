"""Exact scans: they come back bit for bit, without the run, and what cannot be exact is refused by name."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import voxlex
from archive.exact_scans import SECRET, assert_same_file, smooth, write_scans
from archive.test_commands import said
from fuzz.mutations import mutated
from scans.dicom_files import make_dicom_picture, make_dicom_series, secrets_in
from scans.volumes import affine_of, marked
from voxlex.archive.archive import open_archive
from voxlex.archive.content import Content
from voxlex.archive.exact import _as, _as_integers, _parts, samples_of
from voxlex.archive.record import Record
from voxlex.archive.writer import new_archive
from voxlex.cli import main
from voxlex.config.options import ReadingOptions
from voxlex.errors import ArchiveError, DataError, VoxlexError
from voxlex.lossless.container import join, split
from voxlex.scans.listing import find_scans
from voxlex.scans.read_write import read_samples, read_scan
from voxlex.scans.samples import Samples

GOLDEN = Path(__file__).parent.parent / "golden"
RUN = GOLDEN / "transformer"
EXACT = GOLDEN / "archives" / "exact.vxl"
MUTATIONS = int(os.environ.get("VOXLEX_FUZZ", "30"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("exact"))


@pytest.fixture(scope="module")
def archive(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "scans.vxl"
    assert main(["pack", str(RUN), str(scans), "--out", str(out), "--lossless"]) == 0
    return out


def test_scans_come_back_bit_for_bit_without_the_run(
    scans: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, names = tmp_path / "out", {path.name for path in scans.iterdir()}
    assert f"{len(names)} scans" in said(capsys, "unpack", archive, "--out", out)
    found = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert found == {name.replace(".jpg", ".png") for name in names}
    for name in names:
        assert_same_file(scans / name, out / name.replace(".jpg", ".png"))
    assert SECRET[:8] not in archive.read_bytes()
    assert all(SECRET[:8] not in path.read_bytes() for path in out.rglob("*.nii"))
    assert find_scans(tmp_path) == []  # results are not scans to learn from


def test_scans_in_python(scans: Path, archive: Path) -> None:
    opened = voxlex.open_archive(archive)
    for name in opened.names:
        scan, expected = opened.scan(name), read_scan(scans / name)
        assert scan.voxels.dtype == expected.voxels.dtype
        np.testing.assert_array_equal(scan.voxels, expected.voxels)
        if expected.is_volume:
            np.testing.assert_array_equal(scan.affine, expected.affine)
    assert opened.samples("colour.png").values.shape == (3, 20, 24)
    head = nibabel.load(scans / "head.nii.gz").dataobj.get_unscaled()
    np.testing.assert_array_equal(opened.samples("head.nii.gz").values, head)
    with_model = voxlex.open_archive(archive, run=RUN)
    assert with_model["grey.png"].shape == (1, 32, 32)
    assert with_model.codes("head.nii.gz").ndim == 4
    with pytest.raises(ArchiveError, match="expected a scan that was packed with --lossless, got codes alone"):
        open_archive(GOLDEN / "archives" / "table.vxl").samples(0)


def test_exact_scans_are_listed_and_verified(
    scans: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads(said(capsys, "list", archive, "--json"))
    assert {row["coder"] for row in rows} == {"lossless"}
    head = next(row for row in rows if row["name"] == "head.nii.gz")
    assert head["shape"] == [9, 8, 4]
    assert head["rate_bpp"] == pytest.approx(8 * head["bytes"] / (9 * 8 * 4))
    sizes = {row["name"]: row["bytes"] for row in rows}
    assert sizes["seems-colour.jpg"] < sizes["was-a.jpg"] + 100  # which has codes of its own
    count = len(rows)
    assert f"the samples of {count} were decoded and are those that were packed" in said(capsys, "verify", archive)
    said(capsys, "verify", archive, "--run", RUN)
    content = Content.open(archive)
    path = tmp_path / "wrong.vxl"
    with new_archive(path, content.header, version=2) as writer:
        for number in range(2):
            record = content.record(number)
            writer.add(with_another_checksum(record) if number else record)
        name = record.name
    told = said(capsys, "verify", path, status=1)
    assert f"{name}: samples: lossless data: expected values with the checksum of the original" in told
    assert "1 of 2 records" in told


def with_another_checksum(record: Record) -> Record:
    """Return a record whose bytes are whole, but whose samples are not those that its checksum is of."""
    coded = _parts(record).coded
    head, body = split(coded)
    changed = join(head._replace(checksum=head.checksum ^ 1), body)
    return replace(record, residual=record.residual[: -len(coded)] + changed)


def test_without_codes(scans: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare, run = tmp_path / "bare.vxl", RUN
    words = ("--lossless", "--no-codes")
    said(capsys, "pack", run, scans / "grey.png", "--out", bare, *words)
    said(capsys, "pack", run, scans / "deep.png", "--out", bare, *words, "--append")
    assert "the samples of 2 were decoded and are those that were packed" in said(capsys, "verify", bare, "--run", run)
    opened = voxlex.open_archive(bare, run=run)
    np.testing.assert_array_equal(opened.scan("grey.png").voxels, read_scan(scans / "grey.png").voxels)
    with pytest.raises(ArchiveError, match=r"grey\.png: expected codes, got a scan that was packed without them"):
        opened.codes("grey.png")
    told = said(capsys, "pack", run, scans / "head.nii.gz", "--out", bare, "--lossless", "--append", status=1)
    assert "use --no-codes" in told
    assert "expected exact scans (--lossless)" in said(
        capsys, "pack", run, scans, "--out", tmp_path / "x.vxl", "--no-codes", status=1
    )


def test_exact_scans_join_codes(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mixed.vxl"
    said(capsys, "pack", RUN, scans / "deep.png", "--out", out)
    assert Content.open(out).version == 1
    said(capsys, "pack", RUN, scans / "grey.png", "--out", out, "--append", "--lossless")
    assert Content.open(out).version == 2
    assert {row["coder"] for row in json.loads(said(capsys, "list", out, "--json"))} == {"table", "lossless"}
    assert "name the run" in said(capsys, "unpack", out, "--out", tmp_path / "none", status=1)
    said(capsys, "unpack", out, "--out", tmp_path / "one", "--only", "grey*")
    said(capsys, "unpack", out, "--out", tmp_path / "both", "--run", RUN)
    assert_same_file(scans / "grey.png", tmp_path / "both" / "grey.png")
    assert (tmp_path / "both" / "deep.png").exists()
    told = said(capsys, "verify", out, "--run", RUN)
    assert "the samples of 1 were decoded and are those that were packed" in told
    assert "the codes of 2 were decoded to images" in told
    said(capsys, "unpack", out, "--out", tmp_path / "preview", "--run", RUN, "--preview")
    with Image.open(tmp_path / "preview" / "grey.png") as picture:
        assert picture.size == (24, 20)


def test_dicom_becomes_nifti_without_what_names_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    affine, source, out = affine_of("oblique"), tmp_path / "source", tmp_path / "scans.vxl"
    make_dicom_series(source / "series", marked(affine), affine)
    make_dicom_picture(source / "xray.dcm", smooth(np.random.default_rng(1), 20, 24, largest=4000).astype(np.uint16))
    said(capsys, "pack", RUN, source, "--out", out, "--lossless")
    assert secrets_in(out.read_bytes()) == []
    said(capsys, "unpack", out, "--out", tmp_path / "out")
    series, expected = nibabel.load(tmp_path / "out" / "series.nii.gz"), read_scan(source / "series")
    values, place = expected.for_file()
    np.testing.assert_array_equal(np.asarray(series.dataobj), values)
    assert series.get_data_dtype() == values.dtype
    np.testing.assert_allclose(series.affine, place, rtol=1e-6, atol=1e-5)  # NIfTI has numbers of 32 bits
    xray = np.asarray(Image.open(tmp_path / "out" / "xray.png"))
    np.testing.assert_array_equal(xray, read_scan(source / "xray.dcm").voxels)
    scan = voxlex.open_archive(out).scan("series")
    np.testing.assert_array_equal(scan.voxels, expected.voxels)
    np.testing.assert_array_equal(scan.affine, expected.affine)


def test_what_cannot_be_exact_is_named(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "pack", RUN, GOLDEN / "prepared", "--out", tmp_path / "x.vxl", "--lossless", status=1)
    assert "expected scan files for --lossless, got images that are prepared already" in told
    deep = tmp_path / "deep-colour.png"
    deep.write_bytes(deep_colour())
    told = said(capsys, "pack", RUN, deep, "--out", tmp_path / "x.vxl", "--lossless", status=1)
    assert "deep-colour.png: expected 16-bit grey or colour of 8 bits, got 16-bit colour" in told
    assert not (tmp_path / "x.vxl").exists()
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).random((20, 24)))
    with pytest.raises(DataError, match=r"wide\.npy: expected integers in a picture of this format"):
        read_samples(tmp_path / "wide.npy", ReadingOptions())


def deep_colour() -> bytes:
    """Return a PNG file of 16-bit colour, which Pillow cannot write."""
    pixels = np.random.default_rng(0).integers(0, 65536, (16, 16, 3)).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_a_picture_comes_back_as_its_orientation_shows_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # lying on its side
    grey = smooth(np.random.default_rng(2), 20, 24).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "turned.png", exif=exif)
    samples = read_samples(tmp_path / "turned.png", ReadingOptions())
    np.testing.assert_array_equal(samples.values, np.rot90(grey, -1))


def test_the_golden_archive_of_version_2_opens_for_ever() -> None:
    opened = open_archive(EXACT)
    with np.load(GOLDEN / "expected" / "archive-exact.npz") as arrays:
        expected = dict(arrays)
    assert {key.partition("|")[0] for key in expected} == set(opened.names)
    for name in opened.names:
        found = opened.samples(name)
        assert found.values.dtype == expected[f"{name}|samples"].dtype
        np.testing.assert_array_equal(found.values, expected[f"{name}|samples"])
        np.testing.assert_array_equal(opened.scan(name).voxels, expected[f"{name}|scan"])
        np.testing.assert_array_equal(opened.codes(name), expected[f"{name}|codes"])


def test_no_mutation_gives_other_samples(tmp_path: Path) -> None:
    content, path = EXACT.read_bytes(), tmp_path / "mutated.vxl"
    with np.load(GOLDEN / "expected" / "archive-exact.npz") as arrays:
        sound = {key.partition("|")[0]: value for key, value in arrays.items() if key.endswith("|samples")}
    read = 0
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(content, [content], seed))
        try:
            opened = open_archive(path)
        except VoxlexError:
            continue
        for number, name in enumerate(opened.names):
            try:
                values = opened.samples(number).values
            except ArchiveError:
                continue
            assert np.array_equal(values, sound[name]), f"mutation {seed} changed {name} unannounced"
            read += 1
    assert read  # records that are whole are read


def test_residuals_of_later_versions_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, path = Content.open(EXACT).record(0), tmp_path / "later.vxl"
    with new_archive(path, Content.open(EXACT).header, version=2) as writer:
        writer.add(replace(record, residual_kind=2))
    with pytest.raises(ArchiveError, match="a residual of kind 2, of a newer version of voxlex"):
        open_archive(path).scan(0)
    told = said(capsys, "unpack", path, "--run", RUN, "--out", tmp_path / "out", status=1)
    assert f"{record.name}: expected a scan that was packed with --lossless, got a residual of kind 2" in told
    assert not (tmp_path / "out").exists()


def test_a_tiff_file_with_more_numbers_than_colours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "more.tif"
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(16, 16, 4)).save(path)
    content = path.read_bytes()
    place = content.index(struct.pack("<HH", 338, 3)) + 8  # what the fourth number is: transparency
    path.write_bytes(content[:place] + struct.pack("<H", 0) + content[place + 2 :])
    with pytest.raises(DataError, match=r"more\.tif: .*got 4 numbers for each pixel"):
        read_samples(path, ReadingOptions())


def test_samples_that_no_file_holds_are_refused() -> None:
    content = Content.open(EXACT)
    record = content.record(content.numbers["deep.png"])
    samples = samples_of(record)
    for other in (
        replace(record, residual=b""),
        replace(record, residual=b"\2XX" + record.residual[1 + record.residual[0] :]),
        replace(record, facts={**record.facts, "height": 2, "width": 2}),
    ):
        with pytest.raises(ArchiveError):
            samples_of(other)
    with pytest.raises(DataError, match="expected a picture of the kind RGB"):
        Samples(values=samples.values, mode="RGB")
    with pytest.raises(DataError, match="expected a palette"):
        Samples(values=np.full((8, 8), 3, np.uint8), mode="P", extra=bytes(9))


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_floats_keep_every_bit(kind: str) -> None:
    numbers = [0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 5e-324, -1e-40, 3.0e38]
    values = np.array(numbers * 8, kind).reshape(8, 10)
    integers = _as_integers(values)
    assert _as(integers, values.dtype).tobytes() == values.tobytes()
    known = ~np.isnan(values)
    np.testing.assert_array_equal(values[known][np.argsort(integers[known])], np.sort(values[known]))


@pytest.mark.skipif(sys.platform == "win32", reason="the size of a file has no limit to set here")
def test_a_full_disk_is_one_line_and_leaves_nothing(
    scans: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    out, usual = tmp_path / "out" / "scans.vxl", resource.getrlimit(resource.RLIMIT_FSIZE)
    out.parent.mkdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (archive.stat().st_size // 2, usual[1]))
    try:
        told = said(capsys, "pack", RUN, scans, "--out", out, "--lossless", status=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert told.strip().splitlines()[-1] == f"voxlex: {out}: cannot be written: File too large"
    assert list(out.parent.iterdir()) == []


@pytest.mark.slow
def test_another_process_and_more_threads_give_the_same_bytes(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    words = ["pack", "run", str(scans / "head.nii.gz"), "--lossless", "--out"]
    other = subprocess.Popen(
        [sys.executable, "-m", "voxlex", *words, "2.vxl"], env=os.environ | {"OMP_NUM_THREADS": "2"}
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main([*words, "1.vxl"]) == 0
    finally:
        torch.set_num_threads(threads)
    assert other.wait() == 0
    assert Path("1.vxl").read_bytes() == Path("2.vxl").read_bytes()
