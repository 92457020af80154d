"""`voxlex data` as a stranger runs it, and a prior that is asked for a column of a person's own table."""

import io
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from voxlex.cli import main
from voxlex.data.public.catalogue import CATALOGUE, Archive, PublicSet
from voxlex.tables.manifest import index_source

Capture = pytest.CaptureFixture[str]

TINY = ["--size", "16", "--model.network.width", "16", "--model.quantizer.num-embeddings", "32", "--prior.width", "16"]
TINY += ["--prior.layers", "2", "--training.autoencoder.batch-size", "4", "--training.prior.batch-size", "4"]


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten people in BIDS layout, with a table of them."""
    root = tmp_path_factory.mktemp("bids")
    rng = np.random.default_rng(0)
    for number in range(20):
        subject = f"sub-{number // 2:02d}"
        target = root / "images" / subject / "anat" / f"{subject}_{'T1w' if number % 2 else 'T2w'}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).resize((32, 32)).save(target)
    people = {"participant_id": [f"sub-{n:02d}" for n in range(10)], "age": [*range(60, 78, 2), "n/a"]}
    people |= {"scanner": ["one"] * 10, "sex": ["F", "M"] * 5, "exam_date": ["2006-05-19"] * 10}
    pd.DataFrame(people).to_csv(root / "images" / "participants.tsv", sep="\t", index=False)
    return root / "images"


def refused(capsys: Capture, *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("voxlex: ")
    return said[-1]


def test_index_writes_a_table_and_says_what_is_in_it(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["data", "index", str(bids), "--out", str(tmp_path / "m.csv")]) == 0
    said = capsys.readouterr().out
    assert "20 scans of 10 known subjects" in said
    assert "sequence: T1w 10, T2w 10" in said
    assert "age: known for 18 scans" in said
    assert "left out, because names and dates identify people: exam_date" in said
    table = pd.read_csv(tmp_path / "m.csv")
    assert table.columns.tolist()[:6] == ["path", "subject", "session", "sequence", "slice", "label"]
    assert {"age", "sex", "scanner"} < set(table.columns)
    assert (tmp_path / table["path"][0]).is_file()
    assert "2006" not in (tmp_path / "m.csv").read_text()


def test_an_index_beside_its_scans_moves_with_them(bids: Path, tmp_path: Path) -> None:
    write = ["data", "index", str(bids), "--sequence", "T1w", "--out"]
    assert main([*write, str(bids.parent / "m.tsv"), "--overwrite"]) == 0
    paths = pd.read_csv(bids.parent / "m.tsv", sep="\t")["path"]
    assert paths[0] == "images/sub-00/anat/sub-00_T1w.png"
    assert len(paths) == 10
    assert main([*write, str(tmp_path / "m.parquet")]) == 0
    again = ["data", "index", str(tmp_path / "m.parquet"), "--out", str(tmp_path / "again.parquet")]
    assert main(again) == 0
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "m.parquet"), pd.read_parquet(tmp_path / "again.parquet"), check_dtype=False
    )


def test_a_table_of_ones_own_is_joined(bids: Path, tmp_path: Path) -> None:
    pd.DataFrame({"subject": ["00", "01"], "score": [0.25, 0.5]}).to_csv(tmp_path / "scores.csv", index=False)
    words = ["data", "index", str(bids), "--out", str(tmp_path / "m.csv"), "--table", str(tmp_path / "scores.csv")]
    assert main(words) == 0
    assert pd.read_csv(tmp_path / "m.csv")["score"].tolist()[:5] == pytest.approx(
        [0.25, 0.25, 0.5, 0.5, np.nan], nan_ok=True
    )


def test_what_index_refuses(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "m.csv"
    assert "no such file or folder" in refused(capsys, "data", "index", tmp_path / "nowhere", "--out", out)
    assert "did you mean 'phantom'?" in refused(capsys, "data", "audit", "fantom")
    assert "did you mean 'phantom'?" in refused(capsys, "prepare", "phantm", "--out", tmp_path / "p")
    assert "no such file" in refused(capsys, "data", "index", tmp_path / "nothing.csv", "--out", out)
    assert "ends in .csv, .tsv, .parquet" in refused(capsys, "data", "index", bids, "--out", tmp_path / "m.xlsx")
    said = refused(capsys, "data", "index", bids, "--out", out, "--sequence", "T1")
    assert "expected one of the sequences T1w, T2w, got 'T1'" in said
    out.write_text("mine")
    assert "--overwrite" in refused(capsys, "data", "index", bids, "--out", out)
    assert out.read_text() == "mine"


@pytest.mark.slow
def test_a_prior_is_asked_for_an_age(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    table, run = tmp_path / "m.csv", tmp_path / "run"
    assert main(["data", "index", str(bids), "--out", str(table)]) == 0
    columns = ["--prior.condition-columns", "age", "sex", "scanner"]
    assert main(["train", str(table), "--out", str(run), "--steps", "3", *TINY, *columns]) == 0
    sample = ["sample", str(run), "--count", "2", "--out"]
    assert main([*sample, str(tmp_path / "s"), "--condition", "age=70", "sex=F", "scanner=one"]) == 0
    with Image.open(tmp_path / "s" / "sample-0000.png") as image:
        assert image.size == (16, 16)
    said = refused(capsys, *sample, tmp_path / "t", "--condition", "age=170")
    assert "age: expected a number from" in said
    assert "'170'" in said
    said = refused(capsys, "train", table, "--out", tmp_path / "r", *TINY, "--prior.condition-columns", "exam_date")
    assert "no column 'exam_date' to condition on; there are path, subject" in said


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["data"], "index"),
        (["data", "indx"], "index"),
        (["data", "index", "somewhere"], "--out"),
        (["data", "index", "somewhere", "--out", "m.csv", "--tabel", "t.csv"], "--table"),
        (["data", "fetch", "ixi-t1", "--acept-licence"], "--accept-licence"),
    ],
)
def test_misspelt_words_are_usage_errors(words: list[str], hint: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert hint in captured.out + captured.err


def test_help_shows_that_fetch_needs_no_name(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["data", "fetch", "--help"])
    assert "[NAME]" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["data", "data index", "data fetch"])
def test_help_of_the_group_imports_nothing_heavy(words: str) -> None:
    code = (
        f"import sys; from voxlex.cli import main\ntry: main([*'{words}'.split(), '--help'])\nexcept SystemExit: pass\n"
    )
    code += "assert not {'torch', 'pandas', 'pooch', 'matplotlib', 'nibabel', 'SimpleITK'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.fixture
def small_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublicSet]:
    """A public set of one picture, on a server of this machine."""
    picture, archive = io.BytesIO(), tmp_path / "served" / "small.tar"
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(picture, format="png")
    archive.parent.mkdir()
    with tarfile.open(archive, "w") as file:
        member = tarfile.TarInfo("sub-01/sub-01_T1w.png")
        member.size = picture.tell()
        picture.seek(0)
        file.addfile(member, picture)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    public = PublicSet(
        title="One picture",
        homepage="https://example.org",
        licence="CC0",
        licence_url="https://example.org/cc0",
        terms="None.",
        citation="Nobody",
        archives=(Archive(url=f"http://127.0.0.1:{server.server_port}/small.tar", size=archive.stat().st_size),),
    )
    monkeypatch.setitem(CATALOGUE, "small", public)
    yield public
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetch_asks_for_the_licence_once(
    small_set: PublicSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "read https://example.org/cc0, then add --accept-licence" in refused(capsys, "data", "fetch", "small")
    assert not (tmp_path / "small").exists()
    assert main(["data", "fetch", "small", "--accept-licence"]) == 0
    said = capsys.readouterr()
    assert "licence   CC0, https://example.org/cc0" in said.err
    assert "not published for 1 of 1 files" in said.err
    assert "small in small" in said.out
    assert (tmp_path / "small/sub-01/sub-01_T1w.png").is_file()
    assert main(["data", "fetch", "small"]) == 0  # it was accepted before, and is there


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("n", 1), ("", 1)])
def test_a_person_at_a_terminal_is_asked(
    answer: str, status: int, small_set: PublicSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: answer)
    assert main(["data", "fetch", "small", "--out", str(tmp_path / "set")]) == status
    assert (tmp_path / "set" / "sub-01").exists() == (status == 0)


def test_fetch_without_a_name_lists_the_sets(capsys: Capture) -> None:
    assert main(["data", "fetch"]) == 0
    said = capsys.readouterr().out
    assert "ixi-t1" in said
    assert "4.8 GB" in said
    assert "CC BY-SA 3.0" in said
    assert "public set: expected one of neurite-oasis-2d" in refused(capsys, "data", "fetch", "oasis")


def test_prepare_and_train_say_what_is_unknown_before_they_end(tmp_path: Path, capsys: Capture) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        picture = Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).resize((32, 32))
        (tmp_path / "in").mkdir(exist_ok=True)
        picture.save(tmp_path / "in" / f"{number}.png")
    assert main(["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "set"), "--size", "16"]) == 0
    assert "in: subjects: unknown for 12 of 12 scans" in capsys.readouterr().err
    words = ["train", str(tmp_path / "set"), "--out", str(tmp_path / "run"), "--steps", "1", "--stage", "autoencoder"]
    assert main([*words, *TINY]) == 0
    said = capsys.readouterr().err
    assert said.index("in: subjects: unknown for 12 of 12 scans") < said.index("autoencoder")
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert report.count("The subjects of these images are unknown.") == 1
    assert '"subject_unknown": 12' in (tmp_path / "run" / "metadata.json").read_text(encoding="utf-8")


def test_persons_and_files_are_no_conditions(bids: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ["train", bids, "--out", tmp_path / "r", *TINY, "--prior.condition-columns", "label", "subject"]
    assert "expected columns that do not name persons or files, got 'subject'" in refused(capsys, *words)
    assert not (tmp_path / "r").exists()


def test_an_index_is_safe_in_a_spreadsheet_and_read_back_unchanged(tmp_path: Path) -> None:
    names = ["=cmd.png", "+a.png", "-b.png", "@c.png", "'q.png", "new\nline.png", 'qu"o,t;e.png', "pct%20.png", "d.png"]
    for folder in ("=evil", "b"):
        for number, name in enumerate(names):
            (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / "in" / folder / name)
    before = index_source(tmp_path / "in")
    for suffix in ("csv", "tsv", "parquet"):
        out = tmp_path / "in" / "=evil" / f"index.{suffix}"
        assert main(["data", "index", str(tmp_path / "in"), "--out", str(out)]) == 0
        after = index_source(out)
        assert after.root.resolve() == before.root.resolve()
        assert after.table.drop(columns="group").to_dict("list") == before.table.drop(columns="group").to_dict("list")
        if suffix != "parquet":
            cells = [cell.strip('"') for line in out.read_text().splitlines() for cell in re.split(r"[,\t]", line)]
            assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]
