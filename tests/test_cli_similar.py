"""The scans most like a given one: itself first, then its neighbours."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from voxlex.cli import main
from voxlex.codes import CodeLayout
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.evaluation.code_features import ScanIndex, codeword_shares
from voxlex.images.frame import Frame

RUN = Path(__file__).parent / "golden" / "masked"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("similar")
    PhantomSource(PhantomOptions(subjects=3, slices=5)).write(root / "scans", Frame(size=48))
    assert main(["encode", str(RUN), str(root / "scans"), "--out", str(root / "codes.parquet")]) == 0
    return root


def similar(place: Path, scan: Path, *more: str) -> int:
    return main(["similar", str(RUN), str(scan), "--codes", str(place / "codes.parquet"), *more])


def test_a_scan_is_most_like_itself(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        similar(place, place / "scans" / "sub-002" / "slice-03.png", "--count", "4", "--out", str(tmp_path / "new"))
        == 0
    )
    assert "4 scans in" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "new" / "similar.csv")
    assert list(table.columns) == ["path", "similarity", "subject", "label"]
    assert table["path"][0] == "sub-002/slice-03.png"
    assert table["similarity"][0] == pytest.approx(1, abs=1e-3)
    assert (table["similarity"].diff().dropna() <= 0).all()
    with Image.open(tmp_path / "new" / "similar.png") as sheet:
        assert min(sheet.size) > 100


def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = place / "scans" / "sub-002" / "slice-03.png"
    assert similar(place, scan, "--count", "0", "--out", str(tmp_path / "new")) == 1
    assert "count: expected at least 1, got 0" in capsys.readouterr().err
    other = ["similar", str(RUN.parent / "gumbel"), str(scan), "--codes", str(place / "codes.parquet")]
    assert main([*other, "--out", str(tmp_path / "new")]) == 1
    assert "codes.parquet" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_search_is_exact() -> None:
    features = np.random.default_rng(0).normal(size=(500, 24)).astype(np.float32)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    directions = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    expected = np.argsort(-(directions @ directions[7]))[:5]
    best, similarity = ScanIndex(features).nearest(features[7], 5)
    assert best.tolist() == expected.tolist()
    assert similarity[0] == pytest.approx(1, abs=1e-5)
    assert len(ScanIndex(features[:3]).nearest(features[0], 8)[0]) == 3


def test_shares_of_codewords() -> None:
    codes = torch.tensor([[[[0, 0], [0, 1]]], [[[2, 2], [2, 2]]]])
    shares = codeword_shares(codes, [CodeLayout(num_embeddings=3, grid=(2, 2))])
    np.testing.assert_allclose(shares**2, [[0.75, 0.25, 0], [0, 0, 1]])
