"""What the files of a data set do not say."""

from pathlib import Path

import numpy as np
import pandas as pd

from scans.heads import head, write_volume
from voxlex.audit.findings import audit_prepared, audit_scans
from voxlex.audit.unknown import OF_PICTURES, unknowns
from voxlex.data.scan_source import ScanSource
from voxlex.images.frame import Frame
from voxlex.tables.manifest import index_source


def test_each_fact_is_counted_by_scan() -> None:
    table = pd.DataFrame(
        {
            "path": ["a.png", "b.nii", "b.nii", "c.nii"],
            "subject": ["", "s", "s", "t"],
            "label": [""] * 4,
            "slice": pd.array([None, 1, 2, 1], dtype="Int64"),
        }
    )
    found = unknowns(table, [OF_PICTURES, ("orientation",), ("orientation",), ()])
    assert {one.fact: one.scans for one in found} == {
        "subject": 1,
        "label": 3,
        "slice": 1,
        "spacing": 1,
        "orientation": 2,
    }
    assert {one.total for one in found} == {3}
    assert str(found[0]).startswith("subject: unknown for 1 of 3 scans. Scans of one person may lie in several splits")
    assert unknowns(table[:0], []) == []


def test_volumes_and_their_prepared_set_say_the_same(tmp_path: Path) -> None:
    for number in range(4):
        write_volume(tmp_path / "in" / f"sub-{number}" / f"sub-{number}_T1w.nii", head((16, 16, 16), seed=number))
    stored = {one.fact for one in audit_scans(index_source(tmp_path / "in")).unknown}
    assert {"session", "label"} <= stored
    assert not {"subject", "sequence", "slice"} & stored
    dataset = ScanSource.at(tmp_path / "in").prepare(tmp_path / "out", Frame(size=16))
    prepared = audit_prepared(dataset)
    assert {one.fact for one in prepared.unknown} - {"thickness", "orientation", "spacing"} == {"session", "label"}
    assert prepared.as_json()["unknown"]["label"] == 4
    assert np.isfinite(list(prepared.figures.values())).all()
