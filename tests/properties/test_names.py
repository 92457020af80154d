"""Any bytes that a file system takes are the name of a scan, which is found, named for people, and written again."""

import os
import shutil
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scans.pictures import picture
from voxlex.data.sources import open_source
from voxlex.images.frame import Frame
from voxlex.names import as_on_disk, folded, printable
from voxlex.scans.read_write import read_scan
from voxlex.tables.manifest import index_source
from voxlex.workflows.results import output_folder
from voxlex.workflows.scan_writer import ScanWriter

STEMS = st.binary(min_size=1, max_size=251).filter(lambda name: not {0, ord("/")} & set(name) and name[:1] != b".")


def as_text(name: bytes) -> str:
    return os.fsdecode(name)


@given(name=STEMS.map(as_text))
def test_a_printable_name_can_be_shown_and_leads_back(name: str) -> None:
    shown = printable(name)
    shown.encode("utf-8")
    assert shown == printable(shown)
    if "%" not in name:
        assert as_on_disk(shown) == name


@given(stems=st.lists(STEMS, min_size=1, max_size=4, unique=True))
def test_files_of_any_name_are_found_prepared_and_written_again(tmp_path_factory: object, stems: list[bytes]) -> None:
    place: Path = tmp_path_factory.mktemp("names")  # type: ignore[attr-defined]
    source = place / "source"
    source.mkdir()
    for number, stem in enumerate(stems):
        with (source / as_text(stem + b".png")).open("wb") as file:
            Image.fromarray(picture(number)).save(file, format="PNG")
    there = set(source.iterdir())
    index = index_source(source)
    paths = list(index.table["path"])
    assert {index.place(path) for path in paths} == there
    assert all(path == printable(path) for path in paths)
    dataset = open_source(source, Frame(size=16), cache=place / "cache")
    assert sorted(dataset.manifest["path"]) == sorted(set(paths))
    out = output_folder(place / "out", overwrite=False)
    writer = ScanWriter(out, dataset.manifest)
    for image in dataset.tensor():
        writer.add(image)
    written = [path for path in out.rglob("*.png") if path.is_file()]
    assert len({folded(path.name) for path in written}) == len(stems) == writer.written
    assert all(np.ptp(read_scan(path).voxels) > 0 for path in written)
    shutil.rmtree(place)
