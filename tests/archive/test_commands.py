"""Archives as a stranger makes and opens them: pack, unpack, list and verify."""

import json
import re
import shlex
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import voxlex
from voxlex.cli import main

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, of 8 and 16 bits, and a volume whose axes are turned."""
    folder, rng = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 36), dtype=np.uint8)).save(folder / "flat.png")
    (folder / "inner").mkdir()
    Image.fromarray(rng.integers(0, 4000, (36, 48), dtype=np.uint16)).save(folder / "inner" / "deep.png")
    affine = np.array([[0, -3, 0, 10], [2, 0, 0, -20], [0, 0, 4, 5], [0, 0, 0, 1.0]])
    nibabel.save(
        nibabel.Nifti1Image(rng.integers(-100, 900, (9, 8, 7)).astype(np.int16), affine), folder / "head.nii.gz"
    )
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    assert main([str(word) for word in words]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_scans_come_back_on_their_own_grids(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, run = tmp_path / "scans.vxl", GOLDEN / "transformer"
    assert "3 scans" in said(capsys, "pack", run, scans, "--out", archive)
    assert "3 scans" in said(capsys, "unpack", archive, "--run", run, "--out", tmp_path / "out")
    with Image.open(tmp_path / "out" / "flat.png") as picture:
        assert picture.size == (36, 40)
    deep = np.asarray(Image.open(tmp_path / "out" / "inner" / "deep.png"))
    assert (deep.shape, deep.dtype) == ((36, 48), np.uint16)
    assert deep.max() > 300
    before, after = nibabel.load(scans / "head.nii.gz"), nibabel.load(tmp_path / "out" / "head.nii.gz")
    assert after.shape == before.shape
    np.testing.assert_allclose(after.affine, before.affine)
    # What was packed is what encoding and decoding give.
    said(capsys, "encode", run, scans, "--out", tmp_path / "codes.parquet")
    said(capsys, "decode", run, tmp_path / "codes.parquet", "--original-size", "--out", tmp_path / "decoded")
    for name in ("flat.png", "inner/deep.png"):
        one, other = (np.asarray(Image.open(tmp_path / folder / name)).astype(int) for folder in ("out", "decoded"))
        assert np.abs(one - other).max() <= 1
    np.testing.assert_allclose(
        after.get_fdata(), nibabel.load(tmp_path / "decoded" / "head.nii.gz").get_fdata(), atol=1
    )


def test_scans_are_listed_and_verified(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, run = tmp_path / "scans.vxl", GOLDEN / "transformer"
    said(capsys, "pack", run, scans, "--out", archive)
    rows = json.loads(said(capsys, "list", archive, "--json"))
    assert {row["name"] for row in rows} == {"flat.png", "inner/deep.png", "head.nii.gz"}
    flat = next(row for row in rows if row["name"] == "flat.png")
    assert flat["shape"] == [40, 36]
    assert flat["rate_bpp"] == pytest.approx(8 * flat["bytes"] / (40 * 36))
    assert "inner/deep.png" in said(capsys, "list", archive)
    assert "the codes of 3 were decoded, not to images" in said(capsys, "verify", archive)
    assert "the codes of 3 were decoded to images" in said(capsys, "verify", archive, "--run", run)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    content[-80] ^= 1
    archive.write_bytes(content)
    for command in ("list", "verify"):
        assert "is damaged" in said(capsys, command, archive, status=1)


def test_a_damaged_record_does_not_keep_others(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "scans.vxl"
    said(capsys, "pack", GOLDEN / "transformer", scans, "--out", archive, "--with-model")
    entry = next(entry for entry in voxlex.open_archive(archive).entries if entry.name == "flat.png")
    content = bytearray(archive.read_bytes())
    content[entry.start + entry.size // 2] ^= 1
    archive.write_bytes(content)
    told = said(capsys, "unpack", archive, "--out", tmp_path / "out", status=1)
    assert "flat.png: expected the bytes of the checksum" in told
    assert not (tmp_path / "out" / "flat.png").exists()
    assert (tmp_path / "out" / "inner" / "deep.png").exists()
    assert (tmp_path / "out" / "head.nii.gz").exists()


def test_an_archive_with_its_model_needs_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(GOLDEN / "pixelcnn", tmp_path / "run"))
    archive = tmp_path / "scans.vxl"
    said(capsys, "pack", run, GOLDEN / "prepared", "--out", archive, "--with-model", "--coder", "prior")
    with_run = voxlex.open_archive(archive, run=run)
    images = [with_run[number] for number in (0, 7)]
    shutil.rmtree(run)
    alone = voxlex.open_archive(archive)
    assert {alone.record(number).coder for number in range(len(alone))} == {"prior"}
    assert all(torch.allclose(alone[number], image, atol=1e-5) for number, image in zip((0, 7), images, strict=True))
    assert "1 scan in " in said(capsys, "unpack", archive, "--only", "sub-00_0*", "--out", tmp_path / "out")
    with pytest.raises(Exception, match="which only decodes"):
        alone.vocabulary.encode(np.zeros((1, 32, 32), np.uint8))


def test_tables_become_part_of_the_run(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(GOLDEN / "masked", tmp_path / "run"))
    own, shared = tmp_path / "own.vxl", tmp_path / "shared.vxl"
    said(capsys, "pack", run, GOLDEN / "prepared", "--out", own)
    said(capsys, "pack", run, GOLDEN / "prepared", "--out", shared, "--fit-on", GOLDEN / "prepared")
    tables = (run / "tables.safetensors").read_bytes()
    said(capsys, "pack", run, GOLDEN / "prepared", "--out", tmp_path / "third.vxl", "--fit-on", scans)
    assert (run / "tables.safetensors").read_bytes() == tables  # archives need them
    assert shared.stat().st_size < own.stat().st_size
    assert "were not decoded, which takes the run (--run RUN)" in said(capsys, "verify", shared)
    first, second = (voxlex.open_archive(path, run=run) for path in (own, shared))
    assert torch.equal(first.codes(3), second.codes(3))
    (run / "tables.safetensors").unlink()
    assert "expected tables" in said(capsys, "unpack", shared, "--run", run, "--out", tmp_path / "out", status=1)
    assert "expected the run that packed it" in said(
        capsys, "unpack", shared, "--run", GOLDEN / "transformer", "--out", tmp_path / "out", status=1
    )
    assert "none; name the run" in said(capsys, "unpack", own, "--out", tmp_path / "out", status=1)


def test_the_first_codebooks_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, whole, part = GOLDEN / "masked", tmp_path / "whole.vxl", tmp_path / "part.vxl"
    said(capsys, "pack", run, GOLDEN / "prepared", "--out", whole, "--with-model")
    said(capsys, "pack", run, GOLDEN / "prepared", "--out", part, "--with-model", "--codebooks", "1")
    codes = voxlex.open_archive(part).codes(0)
    assert torch.equal(codes, voxlex.open_archive(whole).codes(0)[:, :1])
    assert voxlex.open_archive(part)[0].shape == (1, 32, 32)
    expected = "codebooks: expected 1 to 2, got 3"
    assert expected in said(
        capsys, "pack", run, GOLDEN / "prepared", "--out", tmp_path / "x", "--codebooks", 3, status=1
    )


def test_the_same_scans_give_the_same_bytes(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(GOLDEN / "transformer", tmp_path / "run"))
    threads, contents = torch.get_num_threads(), set()
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            said(capsys, "pack", run, scans, "--out", tmp_path / f"{count}.vxl")
            contents.add((tmp_path / f"{count}.vxl").read_bytes())
            run = run.rename(tmp_path / f"run-{count}")
    finally:
        torch.set_num_threads(threads)
    assert len(contents) == 1


def test_scans_are_added(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, run = tmp_path / "scans.vxl", GOLDEN / "transformer"
    said(capsys, "pack", run, GOLDEN / "prepared", "--out", archive)
    assert "exists already" in said(capsys, "pack", run, scans, "--out", archive, status=1)
    assert "3 scans" in said(capsys, "pack", run, scans, "--out", archive, "--append")
    assert "is in the archive already" in said(capsys, "pack", run, scans, "--out", archive, "--append", status=1)
    assert "of another run" in said(capsys, "pack", GOLDEN / "paper", scans, "--out", archive, "--append", status=1)
    assert len(voxlex.open_archive(archive)) == 23


def test_whole_volumes_by_a_model_of_volumes(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "head.vxl"
    said(capsys, "pack", GOLDEN / "volumes", scans / "head.nii.gz", "--out", archive, "--with-model")
    opened = voxlex.open_archive(archive)
    assert opened.scan(0).for_file()[0].shape == (9, 8, 7)
    assert opened[0].shape == (1, 16, 16, 16)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--coder", "prior"], "use --coder table"),
        (["--coder", "prior", "--codebooks", "1"], "which needs all codebooks"),
        (["--codebooks", "0"], "expected 1 to 2, got 0"),
    ],
)
def test_what_cannot_be_packed(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scans.vxl"
    assert expected in said(capsys, "pack", GOLDEN / "masked", GOLDEN / "prepared", "--out", out, *words, status=1)
    assert not out.exists()
    without = ["pack", GOLDEN / "paper", GOLDEN / "prepared", "--out", out, "--coder", "prior"]
    assert "expected a run with a prior" in said(capsys, *without, status=1)


def test_what_the_page_on_archives_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "archive.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "transformer", "runs/mine")
    rng = np.random.default_rng(1)
    for number in range(12):
        path = Path("more" if number < 3 else "scans", f"patient-{number}", "slice.png")
        path.parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)).replace("patient-1/*", "patient-4/*")
    commands = [shlex.split(line, comments=True)[1:] for line in lines.splitlines() if line]
    assert len(commands) == 7
    for command in commands:
        assert main(command) == 0, command
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)), {})
    exact = [path.relative_to("originals") for path in Path("originals").rglob("*.png")]
    assert len(exact) == 9
    for path in exact:
        one, other = (np.asarray(Image.open(Path(folder, path))) for folder in ("scans", "originals"))
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in Path("restored").rglob("*.png")] == ["slice.png"]


def test_no_name_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = GOLDEN / "archives" / "table.vxl"
    words = ["unpack", archive, "--out", tmp_path / "out", "--only", "nobody/*"]
    assert "--only: expected a pattern that fits a name" in said(capsys, *words, status=1)


def test_a_volume_larger_than_the_model_goes_through_it_in_tiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxlex.models.tiling.LARGEST_TILE", 36**3)
    rng, archive = np.random.default_rng(4), tmp_path / "large.vxl"
    voxels = rng.integers(0, 900, (12, 10, 9)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([30.0, 30.0, 30.0, 1.0])), tmp_path / "large.nii.gz")
    said(capsys, "pack", GOLDEN / "volumes", tmp_path / "large.nii.gz", "--out", archive, "--lossless")
    opened = voxlex.open_archive(archive, run=GOLDEN / "volumes")
    assert opened[0].shape == (1, 40, 40, 40)
    assert min(opened.codes(0).shape[2:]) > max(opened.header.layouts[0].grid)
    np.testing.assert_array_equal(opened.scan(0).for_file()[0], voxels)
    said(capsys, "unpack", archive, "--out", tmp_path / "out")
    after = nibabel.load(tmp_path / "out" / "large.nii.gz")
    np.testing.assert_array_equal(np.asarray(after.dataobj), voxels)
