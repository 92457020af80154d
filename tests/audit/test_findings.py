import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from duplicates.brains import brains
from scans.heads import LAS, head, write_volume
from scans.pictures import picture
from voxlex.audit.captions import captioned
from voxlex.audit.findings import Audit, audit_prepared, audit_scans
from voxlex.data.scan_source import ScanSource
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.tables.manifest import index_source


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some of everything: table.csv divides all but the file that cannot be read."""
    folder = tmp_path_factory.mktemp("messy")
    middles = [np.asarray(Image.fromarray(slices[3]).resize((96, 96))) for slices in brains()]
    for number, middle in enumerate(middles):
        write(folder / f"{number:02d}.png", middle)
    write(folder / "copy.tif", middles[0])
    write(folder / "mirrored.jpg", middles[1][:, ::-1])
    write(folder / "dark.png", middles[1] // 2)
    write(folder / "black.png", np.zeros((96, 96), np.uint8))
    write(folder / "tiny.png", picture(1, height=40, width=40))
    write(folder / "long.png", picture(2, height=200, width=80))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    splits = {"copy.tif": "test", "dark.png": "validation"}
    names = sorted(path.name for path in folder.iterdir() if path.name != "broken.png")
    rows = [f"{name},{'p1' if name in ('03.png', '04.png') else ''},{splits.get(name, 'train')}" for name in names]
    rows[names.index("04.png")] = "04.png,p1,test"
    (folder / "table.csv").write_text("\n".join(["path,subject,split", *rows]))
    return folder


def paths(audit: Audit, column: str) -> set[str]:
    return set(audit.table["path"][audit.table[column].astype(bool)])


def test_what_is_wrong_is_found(source: Path):
    audit = audit_scans(index_source(source))
    assert audit.figures["images"] == 19
    assert paths(audit, "constant") == {"black.png"}
    assert paths(audit, "tiny") == {"tiny.png"}
    assert paths(audit, "odd_size") == {"long.png"}
    assert paths(audit, "exact") == {"00.png", "copy.tif"}
    unreadable = audit.as_json()["unreadable"]
    assert list(unreadable) == ["broken.png"]
    assert "cannot be decoded" in unreadable["broken.png"]
    clusters = [[audit.table["path"][row] for row in rows] for rows in audit.clusters()]
    assert clusters == [["01.png", "dark.png", "mirrored.jpg"], ["00.png", "copy.tif"]]
    assert audit.figures["mirrored_pairs"] == 2
    assert audit.leaks is None
    assert audit.histogram.sum() == pytest.approx(1)


def test_what_crosses_the_splits_is_found(source: Path):
    found = audit_scans(index_source(source / "table.csv")).as_json()
    assert found["leaking_subjects"] == {"p1": ["test", "train"]}
    crossing = {frozenset(pair) for pair in found["leaking_pairs"]}
    assert crossing == {
        frozenset(p) for p in (("00.png", "copy.tif"), ("01.png", "dark.png"), ("dark.png", "mirrored.jpg"))
    }
    assert found["figures"]["leaking_pairs"] == 3
    json.dumps(found)


def test_a_prepared_data_set_does_not_leak_and_names_what_was_left_out(source: Path, tmp_path: Path):
    dataset = ScanSource.at(source).prepare(tmp_path / "out", Frame(size=80))
    audit = audit_prepared(dataset)
    assert audit.figures["images"] == 19
    assert audit.figures["leaking_pairs"] == 0
    assert audit.figures["near_duplicates"] == 5
    assert paths(audit, "constant") == {"black.png"}
    assert audit.table.set_index("path").loc["long.png", ["height", "width"]].tolist() == [200, 80]


def test_slices_of_one_subject_are_not_counted_as_duplicates(tmp_path: Path):
    for number, pixels in enumerate(brains(1, slices=60)[0]):
        write(tmp_path / "sub-01" / f"slice-{number:02d}.png", pixels)
    figures = audit_scans(index_source(tmp_path)).figures
    assert figures["pairs_within_subjects"] > 20
    assert figures["near_duplicates"] == figures["clusters"] == 0


def test_a_source_of_which_nothing_can_be_used(tmp_path: Path):
    with pytest.raises(DataError, match="no such"):
        audit_scans(index_source(tmp_path / "nowhere"))
    write(tmp_path / "black.png", np.zeros((20, 20), np.uint8))
    audit = audit_scans(index_source(tmp_path))
    assert audit.figures["constant"] == 1
    assert audit.clusters() == []


def test_text_beside_the_head_is_suspected_and_a_head_alone_is_not():
    heads = [np.asarray(Image.fromarray(slices[2]).resize((224, 224))) for slices in brains()]
    assert not any(captioned(head) for head in heads)
    for place in ((4, 4), (120, 206)):
        image = Image.fromarray(heads[0])
        ImageDraw.Draw(image).text(place, "TR 5600 TE 101", fill=230)
        assert captioned(np.asarray(image))
    assert captioned(np.asarray(image).astype(np.float32) * 7 - 100)


def test_volumes_are_compared_by_their_middle_slice(tmp_path: Path):
    for number in range(3):
        write_volume(tmp_path / f"{number}.nii.gz", head((64, 72, 64), seed=number))
    write_volume(tmp_path / "as-read-by-others.nii", head((64, 72, 64), seed=1) // 2, LAS)
    (tmp_path / "torn.nii.gz").write_bytes((tmp_path / "0.nii.gz").read_bytes()[:2000])
    audit = audit_scans(index_source(tmp_path))
    assert [[audit.table["path"][row] for row in rows] for rows in audit.clusters()] == [
        ["1.nii.gz", "as-read-by-others.nii"]
    ]
    assert list(audit.as_json()["unreadable"]) == ["torn.nii.gz"]
    assert audit.table.set_index("path").loc["0.nii.gz", ["height", "width"]].tolist() == [72, 64]
