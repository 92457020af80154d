"""Runs, files of codes and prepared sets that version 0.1.0 made still load, and mean what they meant: `golden/`."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import voxlex
from voxlex.cli import main

GOLDEN = Path(__file__).parent / "golden"
WITH_PRIOR = ["transformer", "masked", "pixelcnn", "volumes"]
FIRST_STAGE_ONLY = ["paper", "shared", "lookup-free", "sim-vq", "gumbel"]


def expected_of(name: str) -> Mapping[str, np.ndarray]:
    with np.load(GOLDEN / "expected" / f"{name}.npz") as arrays:
        return dict(arrays)


def check_codes(vocabulary: voxlex.Vocabulary, expected: Mapping[str, np.ndarray], *, atol: float) -> None:
    encoded = vocabulary.encode(expected["images"]).numpy()
    assert encoded.shape == expected["encoded"].shape
    assert (encoded == expected["encoded"]).mean() >= 0.99
    decoded = vocabulary.decode(expected["codes"].astype(np.int64)).numpy()
    np.testing.assert_allclose(decoded, expected["decoded"], rtol=0, atol=atol)


def check_likelihoods(vocabulary: voxlex.Vocabulary, expected: Mapping[str, np.ndarray]) -> None:
    """Compare log-likelihoods, and by how many nats each condition changes them, which is little."""
    codes = torch.from_numpy(np.concatenate([expected["encoded"], expected["codes"]]).astype(np.int64))
    wanted = [json.loads(text) for text in expected["wanted"]]
    found = np.stack([log_prob(vocabulary, codes, some) for some in wanted])
    np.testing.assert_allclose(found, expected["log_prob"], rtol=1e-3)
    assert wanted[0] == {}
    lift, expected_lift = (values[1:] - values[0] for values in (found, expected["log_prob"]))
    np.testing.assert_allclose(lift, expected_lift, rtol=0, atol=0.02)


@torch.no_grad()
def log_prob(vocabulary: voxlex.Vocabulary, codes: torch.Tensor, wanted: Mapping[str, Any]) -> np.ndarray:
    assert vocabulary.prior is not None
    condition = vocabulary.conditions.encode({name: [value] * len(codes) for name, value in wanted.items()})
    return vocabulary.prior.log_prob(codes, condition if wanted else None).numpy()


@pytest.mark.parametrize("name", [*WITH_PRIOR, *FIRST_STAGE_ONLY])
def test_images_and_codes_mean_each_other(name: str) -> None:
    check_codes(voxlex.load(GOLDEN / name), expected_of(name), atol=1e-4)


@pytest.mark.parametrize("name", WITH_PRIOR)
def test_codes_are_as_likely(name: str) -> None:
    check_likelihoods(voxlex.load(GOLDEN / name), expected_of(name))


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("transformer", {"label": "tumour", "age": 45}),
        ("masked", {"label": "healthy"}),
        ("pixelcnn", {"label": "healthy"}),
        ("volumes", {"age": 45}),
    ],
)
def test_new_images_are_drawn(name: str, condition: Mapping[str, Any]) -> None:
    vocabulary, like = voxlex.load(GOLDEN / name), expected_of(name)["decoded"]
    assert sorted(vocabulary.conditions.names) == sorted(condition)
    drawn = vocabulary.sample(2, condition=condition, seed=0)
    assert tuple(drawn.shape) == like.shape
    assert 0 <= drawn.min() < drawn.max() <= 1


@pytest.mark.parametrize("name", ["transformer", "masked", "volumes"])
def test_code_files_are_decoded(name: str, tmp_path: Path) -> None:
    codes = GOLDEN / "codes" / f"{name}.parquet"
    assert main(["decode", str(GOLDEN / name), str(codes), "--out", str(tmp_path / "decoded")]) == 0
    expected = expected_of(f"decoded-{name}")
    found = {path.relative_to(tmp_path / "decoded").as_posix() for path in (tmp_path / "decoded").rglob("*[!.].*")}
    assert found == set(expected)
    for path, values in expected.items():
        decoded = read_scan(tmp_path / "decoded" / path)
        assert decoded.dtype == values.dtype
        np.testing.assert_allclose(decoded.astype(float), values, rtol=0, atol=1)  # where rounding tips


def read_scan(path: Path) -> np.ndarray:
    if path.suffix == ".gz":
        return np.asarray(nibabel.load(path).dataobj)
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_prepared_set_of_pictures() -> None:
    dataset = voxlex.open_source(GOLDEN / "prepared", voxlex.Frame(size=32))
    assert dataset.images.shape == (20, 1, 32, 32)
    assert dataset.labels == ["healthy", "tumour"]
    assert dataset.tensor().max() == 1
    table = dataset.manifest.set_index("path").sort_index()
    assert list(table["subject"]) == [f"sub-{number // 2:02d}" for number in range(20)]
    assert list(table["label"]) == [["healthy", "tumour"][number // 2 % 2] for number in range(20)]
    assert list(table["age"].dropna()) == [25.5 + 5 * (number // 2) for number in range(20) if number // 2 != 3]
    assert {split: len(dataset.subset(split)) for split in ("train", "validation", "test")} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }


def test_a_prepared_set_of_volumes() -> None:
    dataset = voxlex.open_source(GOLDEN / "prepared-volumes", voxlex.Frame(size=16, spacing_mm=10))
    assert dataset.images.shape == (5, 1, 16, 16, 16)
    assert sorted(dataset.manifest["age"]) == [30, 35, 40, 45, 50]
    assert len(dataset.subset("train")) == 3


def test_a_run_is_evaluated(tmp_path: Path) -> None:
    words = ["evaluate", str(GOLDEN / "transformer"), str(GOLDEN / "prepared"), "--split", "all"]
    assert main([*words, "--json", str(tmp_path / "figures.json")]) == 0
    expected = json.loads((GOLDEN / "expected" / "evaluate.json").read_text())
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures.keys() >= expected.keys()
    assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / "unfinished", run)
    noted = (run / "metrics.csv").read_text()
    assert not (run / "prior.safetensors").exists()
    assert main(["train", str(GOLDEN / "prepared"), "--out", str(run), "--resume"]) == 0
    assert (run / "metrics.csv").read_text().startswith(noted)  # a training that began anew would drop these rows
    expected, vocabulary = expected_of("unfinished"), voxlex.load(run)
    check_codes(vocabulary, expected, atol=1e-4)
    check_likelihoods(vocabulary, expected)


def test_a_finished_autoencoder_is_trained_further(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / "unfinished", run)
    words = ["train", str(GOLDEN / "prepared"), "--out", str(run), "--resume", "--stage", "autoencoder"]
    assert main([*words, "--steps", "45"]) == 0
    check_codes(voxlex.load(run), expected_of("unfinished-longer"), atol=0.02)
