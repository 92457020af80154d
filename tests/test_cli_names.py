"""Every verb on names that are no text: bytes, escapes, line breaks, and names as long as can be."""

import os
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from voxlex.cli import main

RUN = Path(__file__).parent / "golden" / "masked"
Capture = pytest.CaptureFixture[str]
NAMES = (b"m\xfcller.png", b"\x1b[31mred.png", b"a\nb\tc.png", b"-rf.png", b'"q".png', b"x" * 251 + b".png")


def voxlex(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / os.fsdecode(b"Sch\xe4del \x1b]0;x\x07")
    for name in NAMES:
        path = folder / os.fsdecode(b"f\xfc") / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    return folder


def text_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_every_verb_takes_every_name(scans: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert voxlex("prepare", scans, "--out", "prepared", "--size", 32) == 0
    assert voxlex("encode", RUN, scans) == 0
    (codes,) = Path("codes").iterdir()
    assert codes.name.isprintable()
    assert voxlex("decode", RUN, codes, "--out", "decoded") == 0
    assert voxlex("reconstruct", RUN, scans) == 0
    assert voxlex("reconstruct", RUN, scans, "--out", "both", "--inputs") == 0
    assert voxlex("data", "index", scans, "--out", "index.csv") == 0
    assert voxlex("data", "index", scans, "--out", "index.parquet") == 0
    assert voxlex("data", "audit", scans, "--out", "audit.html", "--json", "audit.json") == 0
    for table in ("index.csv", "index.parquet"):
        assert voxlex("reconstruct", RUN, table, "--out", f"from-{table}") == 0
    said = capsys.readouterr()
    assert all(line.isprintable() for line in (said.out + said.err).splitlines())
    assert "\x1b" not in said.out + said.err
    expected = ['"q".png', "%1B[31mred.png", "-rf.png", "a%0Ab%09c.png", "m%FCller.png", "x" * 251 + ".png"]
    assert sorted(pd.read_csv("index.csv")["path"].str.rpartition("/")[2]) == expected
    (reconstructed,) = Path("reconstructed").iterdir()
    for folder in (Path("decoded"), reconstructed, Path("from-index.csv"), Path("from-index.parquet")):
        assert [name.rpartition("/")[2] for name in text_of(folder) if "/" in name] == expected
    assert len(text_of(Path("both"))) == 2 * len(NAMES) + 1
    assert "\x1b" not in Path("audit.html").read_text(encoding="utf-8")


def test_a_single_scan_of_bytes(scans: Path, tmp_path: Path, capsys: Capture) -> None:
    one = scans / os.fsdecode(b"f\xfc") / os.fsdecode(NAMES[0])
    assert voxlex("reconstruct", RUN, one, "--out", tmp_path / os.fsdecode(b"out\xfc")) == 0
    assert voxlex("reconstruct", RUN, scans / os.fsdecode(b"no\xfc\x1b[1m.png")) == 1
    assert capsys.readouterr().err.strip().isprintable()


def test_a_terminal_that_knows_ascii_alone(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.eye(32, dtype=np.uint8)).save(scans / "脳é.png")
    monkeypatch.chdir(tmp_path)
    for words in (["data", "audit", scans], ["reconstruct", RUN, scans, "--out", tmp_path / "é"]):
        printed = BytesIO()
        terminal = TextIOWrapper(printed, encoding="ascii", write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            assert voxlex(*words) == 0
        assert printed.getvalue()
        assert printed.getvalue().isascii()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["prepare", "", "--out", "p"], "SOURCE"),
        (["prepare", "  ", "--out", "p"], "SOURCE"),
        (["prepare", "s", "--out", ""], "--out"),
        (["train", ""], "SOURCE"),
        (["train", "s", "--out="], "--out"),
        (["encode", "", "s"], "RUN"),
        (["encode", "r", ""], "SOURCE"),
        (["decode", "r", ""], "CODES"),
        (["evaluate", "r", "s", "--json", ""], "--json"),
        (["inpaint", "r", "i", "--mask", ""], "--mask"),
        (["data", "index", "s", "--out", "a.csv", "--table", ""], "--table"),
        (["data", "audit", "s", "--out", " "], "--out"),
        (["data", "fetch", "ixi-t1", "--out", ""], "--out"),
        (["phantom", "--out", ""], "--out"),
    ],
)
def test_an_empty_place_is_refused(words: list[str], name: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert f"{name}: expected a path or a name, got an empty text" in capsys.readouterr().err


def test_results_inside_the_source(tmp_path: Path, capsys: Capture) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    assert voxlex("prepare", tmp_path, "--out", tmp_path / "prepared", "--size", 32) == 0
    assert "warning: " in capsys.readouterr().err
    assert voxlex("reconstruct", RUN, tmp_path, "--out", tmp_path / "out") == 0
    assert voxlex("encode", RUN, tmp_path, "--out", tmp_path / "codes.parquet") == 0
    assert voxlex("decode", RUN, tmp_path / "codes.parquet", "--out", tmp_path / "decoded") == 0
    assert voxlex("sample", RUN, "--count", 2, "--out", tmp_path / "drawn") == 0
    capsys.readouterr()
    assert voxlex("data", "index", tmp_path, "--out", tmp_path / "index.csv") == 0
    said = capsys.readouterr().out
    assert said.startswith("4 scans")
    assert "passed over 13 files that voxlex made itself, in decoded, drawn, out and 1 more" in said
    assert voxlex("reconstruct", RUN, tmp_path / "out", "--out", tmp_path / "again") == 0
