"""What the explorer answers, compared with what the same functions return outside it."""

import base64
import io
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import voxlex
from voxlex import metrics
from voxlex.code_table import read_code_table
from voxlex.data.dataset import PreparedDataset
from voxlex.explorer.app import make_app
from voxlex.explorer.exhibit import Exhibit
from voxlex.explorer.survey import Survey
from voxlex.explorer.words import word

from .conftest import GOLDEN, MARKUP


@pytest.fixture(scope="module")
def vocabulary(run_folder: Path) -> voxlex.Vocabulary:
    return voxlex.load(run_folder)


@pytest.fixture(scope="module")
def dataset(scans: Path) -> PreparedDataset:
    return PreparedDataset.open(scans)


def pixels_of(content: bytes, side: int) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(content, "<u2").astype(np.float32) / 65535).view(side, side)


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while job["state"] in ("waiting", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
        job = client.get(f"/api/jobs/{job['number']}").json()
    return job


def test_the_run_is_described(client: TestClient) -> None:
    run = client.get("/api/run").json()
    assert run["name"] == "little"
    assert (run["scans"], run["space"], run["prior"], run["problems"]) == (20, [32, 32], True, {})
    assert run["levels"] == [{"k": 32, "q": 1, "grid": [8, 8]}] or run["levels"][0]["q"] == 1
    assert [condition["name"] for condition in run["conditions"]] == ["label", "age"]


def test_the_table_has_the_columns_that_say_something(client: TestClient, dataset: PreparedDataset) -> None:
    table = client.get("/api/scans").json()
    columns = {column["name"]: column for column in table["columns"]}
    assert columns["path"]["values"] == list(dataset.manifest["path"])
    assert columns["split"]["values"] == list(dataset.manifest["split"])
    assert columns["age"]["numeric"]
    assert None in columns["age"]["values"]
    assert MARKUP in columns["remark"]["values"]
    assert "intensity_low" not in columns


def test_figures_come_once_and_are_those_of_the_library(
    client: TestClient, dataset: PreparedDataset, vocabulary: voxlex.Vocabulary
) -> None:
    found = client.get("/api/figures").json()
    assert found["encoded"] == found["scored"] == found["total"] == 20
    assert sorted(found["rows"]) == list(range(20))
    assert dataset.manifest["split"].iloc[found["rows"][0]] == "test"
    x = dataset.tensor(found["rows"])
    x_hat = vocabulary.reconstruct(x)
    np.testing.assert_allclose(found["figures"]["ssim"], metrics.ssim(x_hat, x), atol=1e-3)
    condition = vocabulary.conditions.look_up(dataset.manifest.iloc[found["rows"]])
    assert vocabulary.prior is not None
    codes = vocabulary.encode(x)
    assert isinstance(codes, torch.Tensor)
    with torch.no_grad():
        bits = -vocabulary.prior.log_prob(codes, condition) / np.log(2) / codes[0].numel()
    np.testing.assert_allclose(found["figures"]["bits"], bits, rtol=1e-2)
    assert (np.array(found["figures"]["surprise"]) >= np.array(found["figures"]["bits"])).all()
    again = client.get("/api/figures?encoded=18&scored=20").json()
    assert [len(values) for values in again["figures"].values()] == [2, 2, 0, 0]


def test_small_pictures_may_be_kept_by_the_browser(client: TestClient, dataset: PreparedDataset) -> None:
    answer = client.get("/api/thumbs/0")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == dataset.images[:].tobytes()
    assert client.get("/api/thumbs/1").status_code == 404


def test_a_scan_is_shown_as_it_is_and_as_it_decodes(
    client: TestClient, dataset: PreparedDataset, vocabulary: voxlex.Vocabulary
) -> None:
    scan = client.get("/api/scan/3").json()
    codes = vocabulary.encode(dataset.tensor([3]))
    assert isinstance(codes, torch.Tensor)
    assert scan["codes"] == [codes.flatten().tolist()]
    assert scan["facts"]["path"] == dataset.manifest["path"][3]
    original = client.get("/api/scan/3/original")
    torch.testing.assert_close(pixels_of(original.content, 32), dataset.tensor([3])[0, 0], rtol=0, atol=1e-4)
    decoded = client.post("/api/scan/3/decode", json={})
    torch.testing.assert_close(pixels_of(decoded.content, 32), vocabulary.decode(codes)[0, 0], rtol=0, atol=1e-4)
    assert decoded.headers["cache-control"] == "no-store"
    assert json.loads(decoded.headers["x-voxlex-figures"])["psnr_db"] > 5


def test_an_exchanged_codeword_changes_picture_bits_and_files(
    client: TestClient, vocabulary: voxlex.Vocabulary, dataset: PreparedDataset, tmp_path: Path
) -> None:
    codes = vocabulary.encode(dataset.tensor([3]))
    assert isinstance(codes, torch.Tensor)
    other = (int(codes.flatten()[10]) + 7) % vocabulary.layouts[0].num_embeddings
    codes.flatten()[10] = other
    codes.view(-1)[10] = other
    request = {"edits": [{"cell": 10, "code": other}]}
    decoded = client.post("/api/scan/3/decode", json=request)
    torch.testing.assert_close(pixels_of(decoded.content, 32), vocabulary.decode(codes)[0, 0], rtol=0, atol=1e-4)
    assert decoded.content != client.post("/api/scan/3/decode", json={}).content
    bits = np.frombuffer(client.post("/api/scan/3/bits", json=request).content, "<f4")
    assert bits.shape == (codes[0].numel(),)
    assert (bits >= 0).all()
    table = client.post("/api/scan/3/codes.parquet", json=request)
    assert "attachment" in table.headers["content-disposition"]
    (tmp_path / "saved.parquet").write_bytes(table.content)
    read = read_code_table(tmp_path / "saved.parquet", autoencoder=vocabulary.autoencoder, space=vocabulary.space).codes
    assert isinstance(read, torch.Tensor)
    assert read.equal(codes)
    picture = client.post("/api/scan/3/picture.png", json=request)
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.size == (32, 32)


def test_a_codeword_is_described_by_its_uses(
    client: TestClient, dataset: PreparedDataset, vocabulary: voxlex.Vocabulary
) -> None:
    codes = vocabulary.encode(dataset.tensor())
    assert isinstance(codes, torch.Tensor)
    counts = torch.bincount(codes.flatten(), minlength=vocabulary.layouts[0].num_embeddings)
    most = int(counts.argmax())
    word = client.get(f"/api/word/0/0/{most}").json()
    assert (word["uses"], word["rank"], sum(word["where"])) == (int(counts[most]), 1, int(counts[most]))
    pixels = np.frombuffer(base64.b64decode(word["pixels"]), np.uint8).reshape(-1, word["side"], word["side"])
    assert 0 < len(word["patches"]) == len(pixels) <= 24
    first = word["patches"][0]
    assert int(codes[first["row"]].flatten()[first["cell"]]) == most
    row, column = divmod(first["cell"], word["grid"][1])
    inner, margin = word["inner"], (word["side"] - word["inner"]) // 2
    cell = dataset.images[first["row"], 0, row * inner : (row + 1) * inner, column * inner : (column + 1) * inner]
    np.testing.assert_array_equal(pixels[0, margin : margin + inner, margin : margin + inner], cell)
    assert most not in [near["code"] for near in word["near"]]
    unused = int(counts.argmin())
    if counts[unused] == 0:
        assert client.get(f"/api/word/0/0/{unused}").json()["patches"] == []


def test_a_codeword_is_described_before_any_scan_is_encoded(run_folder: Path, scans: Path) -> None:
    vocabulary, dataset = voxlex.load(run_folder), PreparedDataset.open(scans)
    described = word(Survey(vocabulary, dataset), dataset, vocabulary.autoencoder, level=0, codebook=0, code=3)
    assert (described["uses"], described["surveyed"], described["patches"], described["near"]) == (0, 0, [], [])


def test_the_map_holds_every_codeword_in_use(client: TestClient) -> None:
    found = client.get("/api/words/0/0").json()
    assert len(found["codes"]) + found["dead"] == found["total"]
    areas = np.array([width * height for _, _, width, height in found["places"]])
    assert areas.sum() == pytest.approx(1, abs=0.02)
    expected = np.sqrt(found["uses"]) / np.sqrt(found["uses"]).sum()
    np.testing.assert_allclose(areas, expected, atol=1e-3)
    assert len(base64.b64decode(found["patches"])) == len(found["codes"]) * found["side"] ** 2


def test_new_images_are_those_of_their_seeds(client: TestClient, vocabulary: voxlex.Vocabulary) -> None:
    request = {"count": 2, "seed": 5, "temperature": 0.9, "condition": {"label": vocabulary.labels[0]}}
    job = finished(client, client.post("/api/sample", json=request).json())
    assert (job["state"], [found["seed"] for found in job["results"]]) == ("done", [5, 6])
    assert all(0 <= found["distance"] <= 1 and 0 <= found["row"] < 20 for found in job["results"])
    content = client.get(f"/api/jobs/{job['number']}/image/1").content
    expected = vocabulary.sample(1, seed=6, temperature=0.9, condition={"label": vocabulary.labels[0]})
    torch.testing.assert_close(pixels_of(content, 32), expected[0, 0], rtol=0, atol=1e-4)
    saved = client.get(f"/api/jobs/{job['number']}/image/1/file")
    with Image.open(io.BytesIO(saved.content)) as image:
        assert json.loads(image.info["Parameters"])["seed"] == 6
    assert client.post(f"/api/jobs/{job['number']}/discard").status_code == 200
    assert client.get(f"/api/jobs/{job['number']}").status_code == 404


def test_a_region_is_drawn_anew_and_the_rest_stays(client: TestClient, dataset: PreparedDataset) -> None:
    mask = np.zeros((32, 32), bool)
    mask[8:16, 8:16] = True
    packed = base64.b64encode(np.packbits(mask)).decode()
    job = finished(client, client.post("/api/region", json={"row": 2, "mask": packed, "count": 2, "seed": 1}).json())
    assert job["state"] == "done", job["error"]
    drawn = [pixels_of(client.get(f"/api/jobs/{job['number']}/image/{index}").content, 32) for index in range(2)]
    original = dataset.tensor([2])[0, 0]
    for version in drawn:
        torch.testing.assert_close(
            version[~torch.from_numpy(mask)], original[~torch.from_numpy(mask)], rtol=0, atol=1e-4
        )
    assert not drawn[0].equal(original)


def test_a_job_can_be_cancelled(client: TestClient) -> None:
    job = client.post("/api/sample", json={"count": 64}).json()
    client.post(f"/api/jobs/{job['number']}/cancel")
    job = finished(client, job)
    assert job["state"] == "cancelled"
    assert len(job["results"]) < 64


def test_the_figures_of_a_training_are_read(client: TestClient) -> None:
    training = client.get("/api/training").json()
    assert training["stages"][0]["name"] == "autoencoder"
    assert any(curve["name"] == "train/loss" and curve["points"] for curve in training["curves"])
    assert client.get("/api/training/samples.png").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/scan/3/decode", '{"edits": [{"cell": 9999, "code": 1}]}', "cell: expected 0 to"),
        ("/api/scan/3/decode", '{"edits": [{"cell": 1, "code": 99999}]}', "codeword: expected 0 to"),
        ("/api/scan/3/decode", '{"edits": [{"cell": 1, "code": 1, "level": 4}]}', "level: expected 0 to 0"),
        ("/api/scan/3/decode", '{"edits": [{"cell": -1, "code": 1}]}', "edits.0.cell"),
        ("/api/scan/3/decode", '{"edit": []}', "edit"),
        ("/api/scan/3/decode", "{", "invalid json"),
        ("/api/scan/3/decode", "[1, 2]", "request"),
        ("/api/sample", '{"count": 1000000}', "count"),
        ("/api/sample", '{"temperature": 0}', "temperature"),
        ("/api/sample", '{"temperature": NaN}', "temperature"),
        ("/api/sample", '{"condition": {"label": "nobody"}}', "nobody"),
        ("/api/sample", '{"condition": {"size": 3}}', "size"),
        ("/api/sample", '{"decoding": "textured"}', "textured decoder"),
        ("/api/region", '{"row": 2, "mask": "AAAA"}', "mask: expected 128 bytes"),
        ("/api/region", '{"row": 2, "mask": "?"}', "base64"),
        ("/api/region", f'{{"row": 2, "mask": "{base64.b64encode(bytes(128)).decode()}"}}', "paint a region"),
    ],
)
def test_a_wrong_request_is_refused_in_words(client: TestClient, path: str, body: str, words: str) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code in (400, 409)
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/scan/20",
        "/api/scan/-1",
        "/api/scan/٣",
        "/api/scan/1e3",
        "/api/scan/99999999999999999999",
        "/api/thumbs/x",
        "/api/jobs/77",
        "/api/jobs/x/image/0",
        "/api/training/metadata.png",
        "/api/nothing",
        "/assets/none.js",
    ],
)
def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_run_without_scans_says_what_is_missing(run_folder: Path) -> None:
    shown = Exhibit(run_folder)
    with TestClient(make_app(shown, host="127.0.0.1", port=8421), base_url="http://127.0.0.1:8421") as client:
        shown.refresh()
        shown.wait()
        run = client.get("/api/run").json()
        assert run["loaded"]
        assert "voxlex explore RUN SOURCE" in run["problems"]["source"]
        answer = client.get("/api/scans")
        assert (answer.status_code, "voxlex explore RUN SOURCE" in answer.json()["error"]) == (409, True)


def test_a_run_that_trains_is_opened_when_it_can_be(tmp_path: Path, run_folder: Path, scans: Path) -> None:
    early = tmp_path / "early"
    early.mkdir()
    for name in ("config.yaml", "metadata.json", "metrics.csv"):
        (early / name).write_bytes((run_folder / name).read_bytes())
    shown = Exhibit(early, str(scans))
    with TestClient(make_app(shown, host="127.0.0.1", port=8421), base_url="http://127.0.0.1:8421") as client:
        shown.wait()
        run = client.get("/api/run").json()
        assert not run["loaded"]
        assert "not trained yet" in run["problems"]["run"]
        assert client.get("/api/training").json()["curves"]
        assert client.get("/api/scan/0").status_code == 200
        assert "not trained yet" in client.post("/api/scan/0/decode").json()["error"]
        for name in ("autoencoder.safetensors", "prior.safetensors"):
            (early / name).write_bytes((run_folder / name).read_bytes())
        client.get("/api/run")
        shown.wait()
        assert client.get("/api/run").json()["loaded"]
        assert client.post("/api/scan/0/decode").status_code == 200


def test_codes_of_a_scan_are_those_of_the_newest_weights(
    tmp_path: Path, run_folder: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Survey, "start", lambda survey: None)
    run = shutil.copytree(run_folder, tmp_path / "run")
    shown = Exhibit(run, str(scans))
    shown.refresh()
    shown.wait()
    before = shown.codes_of(0)[0]
    newer = voxlex.load(run)
    with torch.no_grad():
        for weights in newer.autoencoder.encoder.parameters():
            weights.neg_()
    expected = newer.encode(shown.images().tensor([0]))
    assert not torch.equal(before, expected)
    # Somebody looks at the scan while the newer weights are read.
    monkeypatch.setattr(shown, "_load", lambda: (shown.codes_of(0), newer)[1])
    os.utime(run / "autoencoder.safetensors", (1, 1))
    shown.refresh()
    shown.wait()
    assert torch.equal(shown.codes_of(0)[0], expected)
    shown.close()


def test_volumes_are_nifti_on_their_own_grid() -> None:
    shown = Exhibit(GOLDEN / "volumes", str(GOLDEN / "prepared-volumes"))
    with TestClient(make_app(shown, host="127.0.0.1", port=8421), base_url="http://127.0.0.1:8421") as client:
        shown.wait()
        assert shown.opening.problems == {}
        images = shown.images()
        found = nibabel.Nifti1Image.from_bytes(client.get("/api/volume/0/original.nii").content)
        cube = images.tensor([0])[0, 0].numpy()
        assert found.shape == cube.shape[::-1]
        assert np.sort(found.get_fdata().ravel()) == pytest.approx(np.sort(cube.ravel()), abs=1e-4)
        spacing = shown.loaded().config.data.spacing_mm
        assert found.header.get_zooms() == pytest.approx((spacing,) * 3)
        for kind in ("reconstruction", "difference", "bits"):
            assert client.get(f"/api/volume/0/{kind}.nii").status_code == 200
        assert client.get("/api/volume/0/other.nii").status_code == 404
        side = client.get("/api/scans").json()["thumb"]["side"]
        assert len(client.get("/api/thumbs/0").content) == len(images) * side * side
        word = client.get("/api/word/0/1/3")
        assert word.status_code == 200
        assert client.get("/api/words/0/2").status_code == 400
