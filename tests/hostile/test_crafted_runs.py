"""Runs, settings and code files that are damaged, or that somebody has crafted."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from hostile.command import check_refusal, run, snapshot
from scans.pictures import picture
from voxlex.code_table import read_code_table
from voxlex.errors import CodesError
from voxlex.vocabulary import load

GOLDEN = Path(__file__).parent.parent / "golden"

Craft = Callable[[Path], None]


@pytest.fixture
def crafted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run with a prior, beside a picture, in a folder in which the commands run."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "one.png")
    return Path(shutil.copytree(GOLDEN / "transformer", tmp_path / "run"))


def with_metadata(change: Callable[[Any], Any]) -> Craft:
    def craft(folder: Path) -> None:
        content = json.loads((folder / "metadata.json").read_text())
        (folder / "metadata.json").write_text(json.dumps(change(content)))

    return craft


def with_text(name: str, text: str | bytes) -> Craft:
    def craft(folder: Path) -> None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return craft


def with_setting(key: str, value: object) -> Craft:
    def craft(folder: Path) -> None:
        content = yaml.safe_load((folder / "config.yaml").read_text())
        place = content
        *above, last = key.split(".")
        for part in above:
            place = place[part]
        place[last] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    return craft


def with_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Craft:
    def craft(folder: Path) -> None:
        tensors = load_file(folder / "prior.safetensors")
        change(tensors)
        save_file(tensors, folder / "prior.safetensors")

    return craft


def cut(name: str, lines: int) -> Craft:
    def craft(folder: Path) -> None:
        text = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(text[:lines]))

    return craft


METADATA = {
    "a list": (with_metadata(lambda content: []), "values by name"),
    "a number": (with_metadata(lambda content: 5), "values by name"),
    "null": (with_metadata(lambda content: None), "values by name"),
    "without conditions": (
        with_metadata(lambda content: {key: content[key] for key in content if key != "conditions"}),
        "conditions",
    ),
    "conditions of another kind": (with_metadata(lambda content: content | {"conditions": 3}), "conditions: .* a list"),
    "conditions without values": (
        with_metadata(lambda content: content | {"conditions": [{"name": "label"}]}),
        "conditions",
    ),
    "conditions of numbers": (
        with_metadata(lambda content: content | {"conditions": [{"name": 3, "values": [1, 2]}]}),
        "conditions",
    ),
    "other conditions": (
        with_metadata(lambda content: content | {"conditions": [{"name": "label", "values": ["a"] * 9}]}),
        r"prior\.safetensors",
    ),
    "stages of another kind": (with_metadata(lambda content: content | {"stages": [1]}), "stages"),
    "steps that are text": (
        with_metadata(lambda content: content | {"stages": {"prior": {"steps": "many", "minutes": 1.0}}}),
        r"stages\.prior\.steps: expected a whole number, got 'many'",
    ),
    "stages without steps": (
        with_metadata(lambda content: content | {"stages": {"prior": {"minutes": 1.0}}}),
        r"stages\.prior\.steps: expected a value, got none",
    ),
    "deep nesting": (with_text("metadata.json", "[" * 100_000), "JSON"),
    "no text": (with_text("metadata.json", b"\xff\xfe\x00"), "JSON"),
    "empty": (with_text("metadata.json", ""), "empty file"),
    "a huge number": (with_text("metadata.json", "9" * 5000), "JSON"),
    "another format": (with_metadata(lambda content: content | {"format_version": "x" * 10_000}), "format 1, got 'xx"),
}

SETTINGS = {
    "empty": (with_text("config.yaml", ""), "empty"),
    "a list": (with_text("config.yaml", "[]"), "settings by name"),
    "no text": (with_text("config.yaml", b"\xff\xfe"), "UTF-8"),
    "half": (cut("config.yaml", 20), "got none of"),
    "tab": (with_text("config.yaml", "data:\n\tsize: 3\n"), "line 2, column 1.*spaces"),
    "twice": (with_text("config.yaml", "data: {size: 32}\ndata: {size: 64}\n"), "'data' twice"),
    "a name that is a number": (with_text("config.yaml", "1: 2\n"), "expected text as the name"),
    "itself": (with_text("config.yaml", "&a [*a]\n"), "contains itself"),
    "deep nesting": (with_text("config.yaml", "[" * 20_000), "nested too deeply"),
    "NUL": (with_text("config.yaml", "data: \0\n"), "character 0x0"),
    "an object": (with_text("config.yaml", "a: !!python/object:os.system x\n"), "line 1"),
    "no date": (with_text("config.yaml", "a: 2020-13-45\n"), "YAML"),
    "bomb": (
        with_text(
            "config.yaml",
            "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
        ),
        "by aliases",
    ),
    "large": (with_text("config.yaml", "#" * 10**6), "bytes"),
    "size": (with_setting("data.size", 10**9), "data.size: expected at most 65536"),
    "size that does not fit": (with_setting("data.size", 33), "config.yaml: .*multiples"),
    "size of true": (with_setting("data.size", True), "data.size: expected"),
    "size without end": (with_setting("data.size", float("inf")), "data.size: expected"),
    "width": (with_setting("model.network.width", 2**30), "model.network.width: .*GB"),
    "width beyond 64 bits": (with_setting("model.network.width", 2**70), "model.network.width: expected"),
    "blocks": (with_setting("model.network.encoder_blocks", 10**9), "encoder_blocks: expected at most"),
    "codewords": (with_setting("model.quantizer.num_embeddings", 2**30), "num_embeddings: .*GB"),
    "layers": (with_setting("prior.layers", 10**9), "prior.layers: expected at most"),
    "width of the prior": (with_setting("prior.width", 2**30), "prior.width: .*GB"),
    "heads": (with_setting("prior.heads", 7), "config.yaml: .*heads"),
    "kernel": (with_setting("prior.kernel_size", 10**6 + 1), "prior.kernel_size: expected at most"),
    "downsampling": (with_setting("model.network.downsampling", 3), "config.yaml: .*power of two"),
}

WEIGHTS = {
    "another shape": (with_weights(lambda tensors: tensors.update(next_of(tensors))), "does not fit config.yaml"),
    "one is lost": (with_weights(lambda tensors: tensors.pop(min(tensors))), "got nothing"),
    "one too many": (with_weights(lambda tensors: tensors.update(more=torch.zeros(3))), "expected nothing"),
    "empty": (with_text("prior.safetensors", b""), "cannot be read as weights"),
    "a header without end": (with_text("prior.safetensors", b"\xff" * 8 + b"{}"), "cannot be read as weights"),
    "text": (with_text("prior.safetensors", "<html>"), "cannot be read as weights"),
}


def next_of(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = min(tensors)
    return {name: torch.zeros(2, 3)}


CRAFTED = [
    pytest.param(craft, says, names, id=f"{group}-{name}")
    for group, names, cases in (
        ("metadata", "run", METADATA),
        ("settings", "config.yaml", SETTINGS),
        ("weights", "prior.safetensors", WEIGHTS),
    )
    for name, (craft, says) in cases.items()
]


@pytest.mark.parametrize(("craft", "says", "names"), CRAFTED)
def test_a_crafted_run_is_refused_in_one_line(
    craft: Craft, says: str, names: str, crafted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    craft(crafted)
    before = snapshot(crafted.parent)
    for words in (
        ["sample", "run", "--count", "1", "--out", "new"],
        ["encode", "run", "one.png", "--out", "codes.parquet"],
    ):
        check_refusal(run(capfd, *words), names=names, says=says)
        assert snapshot(crafted.parent) == before


@pytest.mark.parametrize("name", ["a list", "deep nesting", "empty", "steps that are text"])
def test_info_of_crafted_metadata_is_refused(name: str, crafted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    METADATA[name][0](crafted)
    check_refusal(run(capfd, "info", "run"), names="metadata.json")


def test_an_intact_run_is_used(crafted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "sample", "run", "--count", "1", "--out", "new").status == 0
    assert run(capfd, "info", "run").status == 0


@pytest.fixture
def table(crafted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN / "codes" / "transformer.parquet", tmp_path / "codes.parquet"))


def put(path: Path, /, **columns: Any) -> None:
    frame = pd.read_parquet(path)
    for column, value in columns.items():
        frame[column] = [value] * len(frame) if not isinstance(value, pd.Series) else value
    frame.to_parquet(path, index=False)


COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
    "no path": ({"path": None}, "path"),
    "a path of numbers": ({"path": 5}, "path"),
    "NUL in the path": ({"path": "a\0b.png"}, "path"),
    "an empty path": ({"path": ""}, "path"),
    "a path upwards": ({"path": "../up.png"}, "leads out"),
    "an absolute path": ({"path": "/up.png"}, "leads out"),
    "no shape": ({"shape": None}, "shape"),
    "a shape of text": ({"shape": "abc"}, "shape: expected lists of integers"),
    "a shape below 0": ({"shape": [-1, 8, 8]}, "shape: expected numbers from 1"),
    "a huge shape": ({"shape": [1, 10**9, 10**9]}, "codes: expected codes of shape"),
    "an empty shape": ({"shape": []}, "shape"),
    "no codes": ({"codes": None}, "codes"),
    "codes of text": ({"codes": "abc"}, "codes: expected lists of integers"),
    "codes below 0": ({"codes": [-1] * 64}, "codes"),
    "huge codes": ({"codes": [2**40] * 64}, "codes"),
    "few codes": ({"codes": [0]}, "codes: expected 64 codes"),
    "no height": ({"height": None}, "height: expected a whole number"),
    "a height below 0": ({"height": -5}, "height: expected a whole number"),
    "a huge height": ({"height": 2**60}, "height: expected a whole number"),
    "a height of text": ({"height": "tall"}, "height: expected a whole number"),
    "many pixels": ({"height": 2**16, "width": 2**16}, "pixels"),
    "a bit depth of 7": ({"bit_depth": 7}, "bit_depth: expected 8, 16 or 32"),
    "grey values without end": ({"intensity_high": float("inf")}, "intensity_high: expected a finite number"),
    "grey values upside down": ({"intensity_high": -1.0}, "intensity_high: expected more than"),
    "another view": ({"view": "askew"}, "view: expected one of"),
    "a volume without a grid": ({"view": "axial"}, "stored_shape: expected"),
    "a huge volume": ({"view": "axial", "stored_shape": [10**5] * 3}, "stored_shape: expected"),
    "a volume below 0": ({"view": "axial", "stored_shape": [-3, 4, 5]}, "stored_shape: expected"),
    "half an affine": (
        {"view": "axial", "stored_shape": [40, 36, 9], "stored_affine": [1.0] * 8},
        "stored_affine: expected 16",
    ),
    "a flat affine": (
        {
            "view": "axial",
            "stored_shape": [40, 36, 9],
            "stored_affine": [0.0] * 16,
            "stored_dtype": "int16",
            "slice": 3,
        },
        "affine",
    ),
    "objects": (
        {
            "view": "axial",
            "stored_shape": [40, 36, 9],
            "stored_affine": np.eye(4).ravel().tolist(),
            "stored_dtype": "object",
        },
        "stored_dtype: expected a type of numbers",
    ),
    "no slice": (
        {
            "view": "axial",
            "stored_shape": [40, 36, 9],
            "stored_affine": np.eye(4).ravel().tolist(),
            "stored_dtype": "int16",
        },
        "slice: expected a whole number",
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_crafted_column_is_refused_in_one_line(name: str, table: Path, capfd: pytest.CaptureFixture[str]) -> None:
    columns, says = COLUMNS[name]
    put(table, **columns)
    before = snapshot(table.parent)
    check_refusal(run(capfd, "decode", "run", "codes.parquet", "--out", "d"), names="codes.parquet", says=says)
    assert snapshot(table.parent) == before


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "Parquet"),
    "half": (lambda path: path.write_bytes(path.read_bytes()[:900]), "Parquet"),
    "text": (lambda path: path.write_text("<html>"), "Parquet"),
    "a footer without end": (
        lambda path: path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1"),
        "Parquet",
    ),
    "another table": (lambda path: pd.DataFrame({"a": [1]}).to_parquet(path), "without the columns"),
    "no rows": (lambda path: pd.read_parquet(path).iloc[:0].to_parquet(path), "none|lists of integers"),
    "a column twice": (lambda path: twice(path), "twice"),
    "text that is not UTF-8": (lambda path: not_text(path), "Parquet"),
    "an odd stamp": (lambda path: stamped(path, b"\xff\xfe"), "another run"),
}


def twice(path: Path) -> None:
    content = pq.read_table(path)
    pq.write_table(content.append_column("path", content["path"]), path)


def not_text(path: Path) -> None:
    content = pq.read_table(path)
    raw = pa.array([b"\xff\xfe.png"] * len(content), pa.binary())
    content = content.set_column(content.column_names.index("label"), "label", raw.view(pa.string()))
    pq.write_table(content, path)


def stamped(path: Path, stamp: bytes) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"voxlex.decoder": stamp}), path)


@pytest.mark.parametrize("name", FILES)
def test_a_crafted_code_file_is_refused_in_one_line(name: str, table: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, says = FILES[name]
    change(table)
    check_refusal(run(capfd, "decode", "run", "codes.parquet", "--out", "d"), names="codes.parquet", says=says)
    assert not (table.parent / "d").exists()


def test_a_small_file_that_unpacks_to_more_than_the_limit_is_refused(table: Path) -> None:
    vocabulary = load(GOLDEN / "transformer")
    content = pq.read_table(table)
    zeros = pa.array([np.zeros(2**20, np.int64)] * len(content))
    content = content.set_column(content.column_names.index("codes"), "codes", zeros)
    pq.write_table(content, table, use_dictionary=False, compression="zstd")
    assert table.stat().st_size < 10**5
    read = partial(read_code_table, table, autoencoder=vocabulary.autoencoder, space=vocabulary.space)
    with pytest.raises(CodesError, match=r"expected a table of up to 0\.01 GB of memory"):
        read(max_gigabytes=0.01)
    with pytest.raises(CodesError, match="codes: expected 64 codes in each row, got 1048576"):
        read()
