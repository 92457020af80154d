"""Archives as files: any damage is noticed, nothing half-written takes the place of an archive."""

import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import voxlex
from fuzz.mutations import mutated
from voxlex.archive.archive import Archive, _checked, open_archive
from voxlex.archive.content import Content
from voxlex.archive.format import MARKER, block
from voxlex.archive.record import Record
from voxlex.archive.writer import longer_archive, new_archive
from voxlex.errors import ArchiveError, DataError, VoxlexError

GOLDEN = Path(__file__).parent.parent / "golden"
TABLE = GOLDEN / "archives" / "table.vxl"
MUTATIONS = int(os.environ.get("VOXLEX_FUZZ", "150"))
DIGESTS = {
    "exact": "ebef2ef9d7d30e82",
    "prior": "f13c89a62d21fea9",
    "residual": "dfd9c235f1485bcc",
    "table": "c3b78fbca3732dbe",
    "volumes": "f37dc0356de2f15b",
}
KILLS = int(os.environ.get("VOXLEX_KILLS", "1"))


def expected_of(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "expected" / f"archive-{name}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ["table", "residual", "volumes", "prior"])
def test_archives_of_version_1_open_for_ever(name: str) -> None:
    archive = open_archive(GOLDEN / "archives" / f"{name}.vxl")
    assert archive.damage == []
    expected = expected_of(name)
    for scan in {key.partition("|")[0] for key in expected}:
        np.testing.assert_array_equal(archive.codes(scan), expected[f"{scan}|codes"])
        found, stored = archive.scan(scan).voxels, expected[f"{scan}|scan"]
        assert found.dtype == stored.dtype
        span = float(stored.max()) - float(stored.min())
        np.testing.assert_allclose(found, stored, atol=1.0 + 1e-3 * span)


def read_all(path: Path) -> dict[str, np.ndarray | None]:
    """Return the codes of each record that can be read, by name; None for those that cannot."""
    archive = open_archive(path)
    found: dict[str, np.ndarray | None] = {}
    for number, name in enumerate(archive.names):
        try:
            codes = archive.codes(number)
            assert isinstance(codes, torch.Tensor)
            found[name] = codes.numpy()
        except ArchiveError:
            found[name] = None
    return found


def tables_only(path: Path) -> dict[str, np.ndarray | None]:
    """Return the codes of each record, without building the model, which takes most of the time."""
    content = Content.open(path)
    held = content.read_tables()
    archive = Archive(content, vocabulary=None, tables=None if held is None else _checked(held, content.header))
    found: dict[str, np.ndarray | None] = {}
    for number, name in enumerate(archive.names):
        try:
            found[name] = np.asarray(archive.codes(number))
        except ArchiveError:
            found[name] = None
    return found


def test_no_mutation_gives_other_codes(tmp_path: Path) -> None:
    content = TABLE.read_bytes()
    sound = {key.partition("|")[0]: value for key, value in expected_of("table").items() if key.endswith("codes")}
    records = Content.open(TABLE).entries
    path = tmp_path / "mutated.vxl"
    refused = 0
    for seed in range(MUTATIONS):
        if seed % 4 == 0:
            changed = with_swapped_records(content, [(e.start, e.size) for e in records], seed)
        elif seed % 4 == 1:
            changed = with_a_flip_in_a_record(content, [(e.start, e.size) for e in records], seed)
        else:
            changed = mutated(content, [content], seed)
        path.write_bytes(changed)
        try:
            found = tables_only(path)
        except VoxlexError:
            refused += 1
            continue
        for name, codes in found.items():
            assert codes is None or np.array_equal(codes, sound[name]), f"mutation {seed} changed {name} unannounced"
    assert refused < MUTATIONS  # records that are whole are read


def with_swapped_records(content: bytes, spans: list[tuple[int, int]], seed: int) -> bytes:
    """Swap two records, or write one over another."""
    (a, n), (b, m) = sorted(random.Random(seed).sample(spans, 2))
    first, second = content[a : a + n], content[b : b + m]
    if seed % 8:
        return content[:a] + second + content[a + n : b] + first + content[b + m :]
    return content[:a] + (second + first)[:n] + content[a + n :]


def with_a_flip_in_a_record(content: bytes, spans: list[tuple[int, int]], seed: int) -> bytes:
    choose = random.Random(seed)
    start, size = choose.choice(spans)
    changed = bytearray(content)
    changed[start + choose.randrange(size)] ^= 1 << choose.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("place", ["the header", "a record", "the index", "the end"])
def test_what_is_whole_is_read_from_a_damaged_archive(place: str, tmp_path: Path) -> None:
    content, whole = TABLE.read_bytes(), Content.open(TABLE)
    first, second = whole.entries[0], whole.entries[1]
    at = {
        "the header": 30,
        "a record": second.start + 40,
        "the index": content.rindex(MARKER) + 12,
        "the end": len(content) - 3,
    }[place]
    changed = bytearray(content)
    changed[at] ^= 1
    path = tmp_path / "damaged.vxl"
    path.write_bytes(changed)
    found = read_all(path)
    lost = {second.name} if place == "a record" else set()
    assert {name for name, codes in found.items() if codes is None} == lost
    assert set(found) == {entry.name for entry in whole.entries}
    assert first.name in found
    assert bool(Content.open(path).damage) == (place != "a record")


def test_an_archive_that_is_cut_keeps_its_first_records(tmp_path: Path) -> None:
    entries, path = Content.open(TABLE).entries, tmp_path / "cut.vxl"
    path.write_bytes(TABLE.read_bytes()[: entries[-1].start + 20])
    archive = open_archive(path)
    assert archive.names == [entry.name for entry in entries[:-1]]
    assert "index is damaged or missing" in archive.damage[0]
    with pytest.raises(ArchiveError, match="expected a whole archive to add to"):
        add(path, 2)


def test_archives_of_other_kinds_are_refused_in_one_line(tmp_path: Path) -> None:
    content = TABLE.read_bytes()
    cases = {
        "version 3; install a newer voxlex": content[:8] + b"\3\0" + content[10:],
        "expected an archive of voxlex, got another file": b"PK\3\4" + bytes(500),
        "expected an archive of voxlex": content[:9],
        "without a header that is whole": content[:40],
    }
    for message, changed in cases.items():
        path = tmp_path / "other.vxl"
        path.write_bytes(changed)
        with pytest.raises(ArchiveError, match=message):
            open_archive(path)
    with pytest.raises(ArchiveError, match="no such file"):
        open_archive(tmp_path / "none.vxl")
    with pytest.raises(ArchiveError, match="got a folder"):
        open_archive(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.vxl"
    header = Content.open(TABLE).header
    with new_archive(path, header) as writer:
        writer.add(Content.open(TABLE).record(0))
    archive = open_archive(path)
    with pytest.raises(ArchiveError, match=r"expected tables.*--run RUN"):
        archive.codes(0)
    with pytest.raises(ArchiveError, match="expected the run that packed it"):
        open_archive(path, run=GOLDEN / "paper")


def test_a_record_of_another_archive_is_damage(tmp_path: Path) -> None:
    whole = Content.open(TABLE)
    path = tmp_path / "other.vxl"
    with new_archive(path, replace(whole.header, made_by="voxlex of somebody")) as writer:
        writer.add(whole.record(0))
        salt = writer.salt
    assert salt != whole.salt
    entry = whole.entries[0]
    foreign = TABLE.read_bytes()[entry.start : entry.start + entry.size]
    own = Content.open(path).entries[0]
    content = path.read_bytes()
    path.write_bytes(content[: own.start] + foreign + content[own.start + own.size :])
    assert open_archive(path).names == [entry.name]
    with pytest.raises(ArchiveError, match="damaged"):
        open_archive(path).record(0)


def test_images_in_any_order_and_as_a_data_set() -> None:
    archive = voxlex.open_archive(TABLE)
    whole = [archive[number] for number in range(len(archive))]
    assert torch.equal(archive[-1], whole[-1])
    assert torch.equal(archive["flat.png"], whole[archive.names.index("flat.png")])
    assert archive["flat.png"].shape == (1, 32, 32)
    assert archive["head.nii.gz"].ndim == 4
    flat = archive.flat()
    assert len(flat) == sum(len(images) if images.ndim == 4 else 1 for images in whole)
    assert torch.allclose(flat[0], whole[0][0], atol=1e-5)
    loader = torch.utils.data.DataLoader(flat, batch_size=5)
    assert sum(len(batch) for batch in loader) == len(flat)
    with pytest.raises(IndexError):
        archive[len(archive)]
    again = pickle.loads(pickle.dumps(archive))
    assert torch.equal(again[0], whole[0])


def add(path: Path, *numbers: int) -> None:
    whole = Content.open(TABLE)
    with longer_archive(path) as writer:
        for number in numbers:
            writer.add(whole.record(number))


def test_records_are_added_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "grows.vxl"
    whole = Content.open(TABLE)
    with new_archive(path, whole.header) as writer:
        writer.add(whole.record(0))
    add(path, 1)
    both = tmp_path / "both.vxl"
    with new_archive(both, whole.header) as writer:
        writer.add(whole.record(0))
        writer.add(whole.record(1))
    assert path.read_bytes() == both.read_bytes()
    before = path.read_bytes()
    with pytest.raises(ArchiveError, match="is in the archive already"):
        add(path, 2, 0)
    assert path.read_bytes() == before


def test_a_change_by_another_process_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "shared.vxl"
    whole = Content.open(TABLE)
    with new_archive(path, whole.header) as writer:
        writer.add(whole.record(0))
    with pytest.raises(DataError, match="another process has changed it"), longer_archive(path):
        add(path, 2)
    assert Content.open(path).entries[-1].name == whole.entries[2].name


@pytest.mark.skipif(sys.platform == "win32", reason="the size of a file has no limit to set here")
def test_a_full_disk_leaves_the_old_archive(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "old.vxl"
    whole = Content.open(TABLE)
    with new_archive(path, whole.header) as writer:
        writer.add(whole.record(0))
    before = path.read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, usual[1]))
    try:
        with pytest.raises(DataError, match=r"old\.vxl: cannot be written: File too large"):
            add(path, 1, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


_WRITING = """
import sys, time
from dataclasses import replace
from pathlib import Path
from voxlex.archive.content import Content
from voxlex.archive.writer import longer_archive
content = Content.open(Path(sys.argv[1]))
record = content.record(0)
print("begun", flush=True)
for turn in range(100000):
    with longer_archive(Path(sys.argv[2])) as writer:
        for number in range(50):
            writer.add(replace(record, name=f"{turn}-{number}"))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_a_whole_archive(tmp_path: Path) -> None:
    path, whole = tmp_path / "killed.vxl", Content.open(TABLE)
    choose = random.Random(0)
    for _ in range(KILLS):
        with new_archive(path, whole.header) as writer:
            writer.add(whole.record(0))
        writing = subprocess.Popen(
            [sys.executable, "-c", _WRITING, str(TABLE), str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writing.stdout is not None
        assert writing.stdout.readline() == "begun\n"
        time.sleep(0.3 * choose.random())
        writing.send_signal(signal.SIGKILL)
        writing.wait()
        writing.stdout.close()
        content = Content.open(path)
        assert content.damage == []
        assert (len(content.entries) - 1) % 50 == 0
        assert all(content.record(number).streams for number in range(len(content.entries)))


def records() -> Iterator[Record]:
    content = Content.open(TABLE)
    yield from (content.record(number) for number in range(len(content.entries)))
    yield from (
        Content.open(GOLDEN / "archives" / f"{name}.vxl").record(0) for name in ("prior", "residual", "volumes")
    )


@pytest.mark.parametrize("record", list(records()), ids=lambda record: record.name)
def test_records_are_stored_as_they_are(record: Record) -> None:
    axes = len(record.grids[0])
    longer = replace(record, residual_kind=3, residual=b"what a later version stores")
    for own in (record, longer, replace(record, slices=[3, 4, 9]) if record.slices else record):
        again = Record.from_bytes(own.to_bytes(), levels=len(own.grids), axes=axes)
        assert again.to_bytes() == own.to_bytes()
        assert list(again.slices) == list(own.slices)
        assert again.residual == own.residual
        known = ["head", "he", "sub-00"]
        short = own.to_bytes(folders=known)
        assert Record.from_bytes(short, levels=len(own.grids), axes=axes, folders=known).name == own.name


def test_the_golden_archives_are_not_changed() -> None:
    digests = {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted((GOLDEN / "archives").glob("*.vxl"))
    }
    assert digests == DIGESTS


def test_a_block_says_what_it_is() -> None:
    assert block(82, b"abc", salt=b"12345678")[:6] == MARKER + b"R\x03"
