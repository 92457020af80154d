"""What the files of results are called: one for each scan, of names that every file system takes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from voxlex.errors import DataError
from voxlex.images.origin import ORIGIN_DEFAULTS
from voxlex.names import folded
from voxlex.workflows.scan_writer import ScanWriter, scans_of


def table(paths: Sequence[str]) -> pd.DataFrame:
    facts = {"height": 16, "width": 16, "bit_depth": 8, "intensity_low": 0.0, "intensity_high": 255.0}
    rows = [{"path": path, "slice": pd.NA, **ORIGIN_DEFAULTS, **facts} for path in paths]
    return pd.DataFrame(rows)


def names(*paths: str, endings: Sequence[str] = ("",), limit: int = 255) -> list[str]:
    return [file for scan in scans_of(table(paths), endings=endings, limit=limit) for file in scan.files(endings)]


def test_two_rows_of_one_picture_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"a\.png: expected one row for each picture or cube, got 2; give each a path"):
        names("a.png", "a.png")


def test_results_are_called_like_their_scans() -> None:
    assert names("a.png", "x/b.jpg", "x/c.jpg", "x/c.tif") == ["a.png", "x/b.png", "x/c.jpg.png", "x/c.tif.png"]


@pytest.mark.parametrize(
    "paths",
    [
        ("A.png", "a.png", "a.PNG"),
        ("\u00e9.png", "e\u0301.png"),
        ("a.png", "a.jpg", "a.png.png", "a.jpg.png"),
        ("a.png", "a.input.png"),
        ("reconstructions.png", "samples.jpg", "x/reconstructions.png"),
        ("b.jpg", "b.png/c.png"),
        ("m%FC.png", "m%fc.png"),
    ],
    ids=["case", "spelling", "suffixes", "endings", "sheets", "a folder", "escapes"],
)
def test_no_two_scans_have_a_file_of_one_name(paths: Sequence[str]) -> None:
    found = [folded(name) for name in names(*paths, endings=("", ".input"))]
    assert len(set(found)) == 2 * len(paths)
    assert not {"reconstructions.png", "samples.png", "b.png"} & set(found)


def test_names_are_not_longer_than_the_file_system_allows() -> None:
    paths = ("x" * 251 + ".png", "x" * 250 + "y.png", "脳" * 83 + ".png", "f" * 255 + "/a.png", "b.png")
    found = names(*paths, endings=("", ".input"))
    assert all(len(part.encode()) <= 255 for name in found for part in name.split("/"))
    assert len(set(found)) == 10
    assert names(*paths)[0] == paths[0]
    assert all(len(part) <= 143 for name in names(*paths, limit=143) for part in name.split("/"))


def test_shortened_names_are_reported(tmp_path: Path) -> None:
    long = "x" * 251 + ".png"
    writer = ScanWriter(tmp_path, table([long, "b.png"]), endings=("", ".input"))
    assert writer.report().notes[0].startswith("1 name is too long for files of results and end in a hash, such as xxx")
    assert ScanWriter(tmp_path, table([long, "b.png"])).report().notes == []


@pytest.mark.parametrize("path", ["", ".", "/etc/a.png", "../a.png", "x/../../a.png"])
def test_paths_that_lead_out_of_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"expected (a path inside the folder of results|the name of a scan)"):
        ScanWriter(tmp_path, table([path]))


def test_control_characters_do_not_reach_the_disk(tmp_path: Path) -> None:
    assert names("a\nb.png", "\x1b[31m.png") == ["a%0Ab.png", "%1B[31m.png"]
    assert np.all([name.isprintable() for name in ScanWriter(tmp_path, table(["a\tb.png"])).image_names])
