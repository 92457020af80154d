"""What `voxlex verify` says: what was checked, and what was not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive.test_commands import said

RUN = Path(__file__).parent.parent / "golden" / "transformer"


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    for seed, name in enumerate(("one.png", "two.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "scans" / name)
    return tmp_path / "scans"


@pytest.mark.parametrize(
    ("words", "alone", "with_run"),
    [
        ((), "the codes of 2 were decoded, not to images", "the codes of 2 were decoded to images"),
        (
            ("--lossless",),
            "the samples of 2 were decoded and are those that were packed; the codes of 2 were decoded, not to images",
            "the samples of 2 were decoded and are those that were packed; the codes of 2 were decoded to images",
        ),
        (
            ("--lossless", "--no-codes"),
            "the samples of 2 were decoded and are those that were packed",
            "the samples of 2 were decoded and are those that were packed",
        ),
        (("--with-model",), "the codes of 2 were decoded to images", "the codes of 2 were decoded to images"),
    ],
    ids=["codes", "exact", "exact alone", "with the model"],
)
def test_it_says_what_was_decoded(
    words: tuple[str, ...],
    alone: str,
    with_run: str,
    scans: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = tmp_path / "scans.vxl"
    said(capsys, "pack", RUN, scans, "--out", archive, *words)
    assert said(capsys, "verify", archive) == f"2 records are whole, by their checksums; {alone}\n"
    assert said(capsys, "verify", archive, "--run", RUN) == f"2 records are whole, by their checksums; {with_run}\n"


def test_it_says_what_takes_the_run(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, run = tmp_path / "scans.vxl", tmp_path / "run"
    shutil.copytree(RUN, run)
    said(capsys, "pack", run, scans / "one.png", "--out", archive, "--fit-on", RUN.parent / "prepared")
    said(capsys, "pack", run, scans / "two.png", "--out", archive, "--append", "--lossless")
    assert said(capsys, "verify", archive) == (
        "2 records are whole, by their checksums; the samples of 1 were decoded and are those that were packed; "
        "the codes of 2 were not decoded, which takes the run (--run RUN)\n"
    )


def test_it_counts_the_records_that_are_damaged(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "scans.vxl"
    said(capsys, "pack", RUN, scans, "--out", archive, "--lossless", "--no-codes")
    content = archive.read_bytes()
    place = content.index(b"two.png") + 300
    archive.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    told = said(capsys, "verify", archive, status=1)
    assert told.splitlines()[-1] == f"voxlex: {archive}: is damaged: 1 of 2 records"
    archive.write_bytes(content[:-30] + bytes(30))  # the index
    told = said(capsys, "verify", archive, status=1)
    assert told.splitlines()[-1] == f"voxlex: {archive}: is damaged; each of the 2 records that were found is whole"
