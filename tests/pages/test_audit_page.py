from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.audit.findings import audit_scans
from voxlex.cli import main
from voxlex.pages.audit_page import MEANINGS, render_audit
from voxlex.tables.manifest import index_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(4):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
        picture = np.asarray(coarse.resize((80, 80), Image.Resampling.BICUBIC))
        Image.fromarray(picture).save(tmp_path / f"<b>{number}.png")
        if number == 2:
            Image.fromarray(picture[::-1]).save(tmp_path / "again.png")
    (tmp_path / "bad.png").write_text("Dear Sir,")
    lines = ["path,split", *(f"{path.name},train" for path in sorted(tmp_path.glob("*.png")))]
    lines[lines.index("again.png,train")] = "again.png,test"
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [values[name] or "" for name in ("src", "href") if name in values]
        if tag == "img":
            self.pictures.append(values["alt"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_the_clusters_and_needs_nothing_else(folder: Path):
    reader = _Reader()
    reader.feed(render_audit(audit_scans(index_source(folder / "table.csv"))))
    assert (
        sorted(reader.pictures) == ["<b>2.png"] * 2 + ["again.png"] * 2
    )  # the pair across the splits, and the cluster
    assert all(address.startswith("data:image/") for address in reader.addresses)
    assert "bad.png: is not a PNG, JPEG or TIFF picture" in reader.text
    assert "1 pair of near-duplicates" in reader.text
    assert "5 of 6 images can be used" in reader.text


def test_every_figure_is_explained(folder: Path):
    assert set(audit_scans(index_source(folder / "table.csv")).figures) == set(MEANINGS)


def test_the_command_writes_both_files(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page, json_file = tmp_path / "out" / "audit.html", tmp_path / "out" / "audit.json"
    assert main(["data", "audit", str(folder), "--out", str(page), "--json", str(json_file)]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert '"clusters": [' in json_file.read_text(encoding="utf-8")
    assert "Near-duplicates" in capsys.readouterr().out


def test_no_day_and_no_name_of_a_person_is_in_the_page_or_the_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(0)
    source = tmp_path / "study_2019-03-04"
    for name in ("MUELLER^HANS", "SCHMIDT^EVA"):
        for day in ("2019-03-04", "05.04.2020"):
            for number in range(3):
                place = source / name / day / f"t1_{day}_{number}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (70, 70), dtype=np.uint8)).save(place)
    (place.parent / f"broken_{day}.png").touch()
    page, lists = tmp_path / "out" / "a.html", tmp_path / "out" / "a.json"
    assert main(["data", "audit", str(source), "--out", str(page), "--json", str(lists)]) == 0
    said = capsys.readouterr().out.replace(str(page), "")
    for text in (page.read_text(encoding="utf-8"), lists.read_text(encoding="utf-8"), said):
        for secret in ("2019", "2020", "05.04", "MUELLER", "HANS"):
            assert secret not in text
    assert "/ses-02/broken_ses-02.png" in lists.read_text(encoding="utf-8")


def test_the_audit_says_what_the_files_do_not_say(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "out" / "a.html"
    assert main(["data", "audit", str(folder), "--out", str(page)]) == 0
    said = capsys.readouterr().out
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    for text in (said, reader.text):
        assert "What these files do not say" in text
        assert "subject: unknown for all scans. Scans of one person may lie in several splits" in text
        assert "spacing: unknown for all scans." in text


def test_names_of_files_cannot_move_the_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = tmp_path / "a\x1b[2Jb"
    source.mkdir()
    for name in ("x\x1b[31m.png", "y\x1b[31m.png"):
        Image.fromarray(np.arange(6400, dtype=np.uint16).astype(np.uint8).reshape(80, 80)).save(source / name)
    rows = ["path,split", "x\x1b[31m.png,train", "y\x1b[31m.png,test"]
    (source / "t.csv").write_text("\n".join(rows))
    for words in (["data", "audit"], ["data", "index", "--out", str(tmp_path / "t.csv")]):
        assert main([*words, str(source)]) == 0
        assert "\x1b" not in capsys.readouterr().out
    table = (tmp_path / "t.csv").read_bytes()
    assert b"\x1b" not in table
    assert index_source(tmp_path / "t.csv").table["path"].str.endswith("%1B[31m.png").all()
