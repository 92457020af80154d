"""Two runs on the same scans: each with its own codes, and never those of the other."""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import voxlex
from voxlex import metrics
from voxlex.cli import main
from voxlex.codes import levels_of
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import RunError
from voxlex.explorer.app import make_app
from voxlex.explorer.exhibit import Exhibit
from voxlex.explorer.guard import LARGEST_BODY
from voxlex.explorer.survey import Survey

from .conftest import GOLDEN


@pytest.fixture(scope="module")
def pair(run_folder: Path, scans: Path) -> Iterator[Exhibit]:
    shown = Exhibit(run_folder, str(scans), beside=GOLDEN / "masked")
    shown.refresh()
    shown.wait()
    yield shown
    shown.close()


@pytest.fixture(scope="module")
def asked(pair: Exhibit) -> TestClient:
    return TestClient(make_app(pair, host="127.0.0.1", port=8421), base_url="http://127.0.0.1:8421")


@pytest.mark.parametrize(("prefix", "name"), [("/api", "transformer"), ("/api/beside", "masked")])
def test_each_run_answers_with_its_own_codes(asked: TestClient, scans: Path, prefix: str, name: str) -> None:
    vocabulary, x = voxlex.load(GOLDEN / name), PreparedDataset.open(scans).tensor([3])
    codes = vocabulary.encode(x)
    x_hat = vocabulary.decode(codes)
    scan = asked.get(f"{prefix}/scan/3").json()
    assert scan["codes"] == [level.flatten().tolist() for level in levels_of(codes)]
    decoded = np.frombuffer(asked.post(f"{prefix}/scan/3/decode", json={}).content, "<u2") / 65535
    np.testing.assert_allclose(decoded, x_hat.flatten(), atol=1e-4)
    found = asked.get(f"{prefix}/scan/3/measures").json()
    assert found["ssim"] == pytest.approx(float(metrics.ssim(x_hat, x)[0]), rel=1e-3)
    assert found["psnr_db"] == pytest.approx(float(metrics.psnr_db(x_hat, x)[0]), rel=1e-3)
    assert found["codes"] == sum(level.numel() for level in levels_of(codes))
    layout = vocabulary.layouts[0]
    assert found["raw_bits"] == pytest.approx(layout.codes_per_image * np.log2(layout.num_embeddings))
    bits = np.frombuffer(asked.post(f"{prefix}/scan/3/bits", json={}).content, "<f4")
    assert found["bits"] == pytest.approx(float(bits.sum()), rel=1e-4)
    assert vocabulary.prior is not None
    if vocabulary.prior.exact:
        condition = vocabulary.conditions.look_up(PreparedDataset.open(scans).manifest.iloc[[3]])
        with torch.no_grad():
            nats = float(vocabulary.prior.log_prob(codes, condition)[0])
        assert found["bits"] == pytest.approx(-nats / np.log(2), rel=1e-3)


def test_both_runs_are_described(asked: TestClient) -> None:
    run = asked.get("/api/run").json()
    assert (run["name"], run["beside"]["name"], run["beside"]["problems"]) == ("little", "masked", {})
    assert run["beside"]["version"] != run["version"]
    assert run["beside"]["levels"] != run["levels"]


def test_codewords_of_the_other_run_are_described_too(asked: TestClient, pair: Exhibit) -> None:
    assert pair.beside is not None
    for one in (pair, pair.beside):
        assert one.survey is not None
        one.survey.wait()
    first, second = (asked.get(f"{prefix}/word/0/1/3") for prefix in ("/api", "/api/beside"))
    assert (first.status_code, second.status_code) == (400, 200)  # the first run has one codebook
    assert second.json()["surveyed"] == 20


def test_new_weights_of_one_run_leave_the_other_alone(
    tmp_path: Path, run_folder: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Survey, "start", lambda survey: None)
    other = shutil.copytree(run_folder, tmp_path / "little")
    shown = Exhibit(run_folder, str(scans), beside=other)
    shown.refresh()
    shown.wait()
    assert shown.beside is not None
    assert shown.name.endswith("/little")
    assert shown.name != shown.beside.name
    before, version = shown.codes_of(0)[0], shown.version
    assert torch.equal(before, shown.beside.codes_of(0)[0])
    newer = voxlex.load(other)
    with torch.no_grad():
        for weights in newer.autoencoder.encoder.parameters():
            weights.neg_()
    monkeypatch.setattr(shown.beside, "_load", lambda: newer)
    os.utime(other / "autoencoder.safetensors", (1, 1))
    shown.refresh()
    shown.wait()
    assert not torch.equal(before, shown.beside.codes_of(0)[0])
    assert torch.equal(before, shown.codes_of(0)[0])
    assert shown.version == version
    shown.close()


def test_an_other_run_that_still_trains_says_so(tmp_path: Path, run_folder: Path, scans: Path) -> None:
    early = tmp_path / "early"
    early.mkdir()
    for name in ("config.yaml", "metadata.json"):
        shutil.copy(run_folder / name, early)
    shown = Exhibit(run_folder, str(scans), beside=early)
    with TestClient(make_app(shown, host="127.0.0.1", port=8421), base_url="http://127.0.0.1:8421") as client:
        shown.wait()
        run = client.get("/api/run").json()
        assert (run["loaded"], run["beside"]["loaded"]) == (True, False)
        assert "not trained yet" in run["beside"]["problems"]["run"]
        assert "not trained yet" in client.post("/api/beside/scan/0/decode").json()["error"]
        assert client.post("/api/scan/0/decode").status_code == 200
        shutil.copy(run_folder / "autoencoder.safetensors", early)
        client.get("/api/run")
        shown.wait()
        assert client.get("/api/beside/scan/0/measures").json()["bits"] is None  # there is no prior yet


def test_a_run_that_cannot_stand_beside_is_refused(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other, words in [
        (GOLDEN / "volumes", "--beside: expected a run of images of 32×32"),
        (tmp_path, "expected a run folder"),
        (tmp_path / "none", "no such folder"),
        (run_folder / "config.yaml", "expected a run folder, got a file"),
    ]:
        assert main(["explore", str(run_folder), "--no-browser", "--beside", str(other)]) == 1
        errors = capsys.readouterr().err.strip()
        assert words in errors
        assert "\n" not in errors
    with pytest.raises(RunError, match="which takes 16×16×16"):
        Exhibit(run_folder, beside=GOLDEN / "volumes")


@pytest.mark.parametrize(
    "path",
    [
        "/api/beside/scan/20",
        "/api/beside/scan/..%2f..%2f0",
        "/api/beside/../../etc/passwd",
        "/api/beside/scan/3/original",
        "/api/beside/training",
        "/api/beside/jobs/1",
        "/api/beside",
        "/api/beside/volume/0/metadata.json",
    ],
)
def test_nothing_else_is_served_of_the_other_run(asked: TestClient, client: TestClient, path: str) -> None:
    assert asked.get(path).status_code == 404
    assert client.get("/api/beside/scan/3").status_code == 404  # where there is only one run


def test_the_routes_of_the_other_run_are_guarded(asked: TestClient) -> None:
    foreign = {"origin": "http://evil.example"}
    assert asked.post("/api/beside/scan/3/decode", json={}, headers=foreign).status_code == 403
    assert asked.get("/api/beside/scan/3", headers={"host": "evil.example:8421"}).status_code == 403
    assert asked.post("/api/beside/scan/3/bits", content=b" " * (LARGEST_BODY + 1)).status_code == 413
    for body in ('{"edits": [{"cell": 1, "code": 8}]}', '{"edits": 3}', "{", '{"path": "/etc/passwd"}'):
        answer = asked.post("/api/beside/scan/3/decode", content=body)
        assert answer.status_code == 400
        assert json.loads(answer.text)["error"]


def test_many_ask_both_runs_at_once(asked: TestClient) -> None:
    expected = {prefix: asked.get(f"{prefix}/scan/5").json()["codes"] for prefix in ("/api", "/api/beside")}

    def ask(number: int) -> bool:
        prefix = ("/api", "/api/beside")[number % 2]
        answer = asked.get(f"{prefix}/scan/5", headers={"x-voxlex-tab": f"tab-{number % 8}"})
        return answer.status_code == 503 or answer.json()["codes"] == expected[prefix]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))
