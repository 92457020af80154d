"""Images as they are drawn: seen on the way, stopped on the way, and the same in the end."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import voxlex
from voxlex.codes import levels_of
from voxlex.explorer.drawing import Sketch, draw_samples
from voxlex.explorer.lanes import Job
from voxlex.explorer.requests import SampleRequest

from .conftest import GOLDEN


class Followed(Job):
    """A job whose sketches are kept."""

    def __init__(self) -> None:
        super().__init__(number=1, kind="sample", request={})
        self.sketches: list[Sketch] = []

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "sketch" and value is not None:
            self.sketches.append(value)
        super().__setattr__(name, value)


@pytest.mark.parametrize("name", ["transformer", "masked", "pixelcnn"])
def test_an_image_is_seen_while_it_is_drawn(name: str) -> None:
    vocabulary, job = voxlex.load(GOLDEN / name), Followed()
    usual = tuple(torch.zeros(layout.num_codebooks, dtype=torch.int64) for layout in vocabulary.layouts)
    draw_samples(job, vocabulary, SampleRequest(count=2, seed=4), None, usual)
    expected = [vocabulary.sample(1, seed=seed)[0] for seed in (4, 5)]
    for found, image in zip(job.result, expected, strict=True):
        torch.testing.assert_close(found["image"], image)
    assert job.sketch is None
    first = [sketch for sketch in job.sketches if sketch.seed == 4]
    assert [sketch.step for sketch in first] == list(range(len(first)))
    assert len(first) > 2
    codes = levels_of(vocabulary.sample_codes(1, seed=4))
    assert all(torch.equal(drawn, level) for drawn, level in zip(first[-1].levels, codes, strict=True))
    torch.testing.assert_close(first[-1].image(), vocabulary.decode(vocabulary.sample_codes(1, seed=4))[0])
    grey = [float((sketch.image() == first[0].image().flatten()[-1]).float().mean()) for sketch in first]
    if name != "masked":
        assert grey[0] > 0.5  # all rows but the first are still to come
    assert grey[-1] < 0.5


def waited(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 300
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_sketch_is_asked_for_as_often_as_one_likes(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Job.progress

    def slow(job: Job, done: int, total: int) -> None:
        time.sleep(0.03)
        usual(job, done, total)

    monkeypatch.setattr(Job, "progress", slow)
    number = client.post("/api/sample", json={"count": 64, "seed": 7}).json()["number"]
    address = f"/api/jobs/{number}"
    waited(lambda: client.get(address).json()["sketch"])
    answer = waited(lambda: (found := client.get(f"{address}/sketch")).content and found)
    assert len(answer.content) == 2 * 32 * 32
    assert answer.headers["cache-control"] == "no-store"
    assert json.loads(answer.headers["x-voxlex-figures"])["seed"] >= 7
    client.post(f"{address}/cancel")
    waited(lambda: client.get(address).json()["state"] == "cancelled")
    assert client.get(address).json()["sketch"] is None
    nothing = client.get(f"{address}/sketch")
    assert (nothing.status_code, nothing.content) == (200, b"")
    client.post(f"{address}/discard")
    assert client.get(f"{address}/sketch").status_code == 404


@pytest.mark.parametrize(
    "path", ["/api/jobs/x/sketch", "/api/jobs/-1/sketch", "/api/jobs/..%2f1/sketch", "/api/jobs/77777/sketch"]
)
def test_no_other_sketch_is_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post(path).status_code in (404, 405)


def test_a_mask_is_sent_only_when_it_is_asked_for(client: TestClient) -> None:
    mask = np.zeros((32, 32), bool)
    mask[4:9, 4:9] = True
    packed = base64.b64encode(np.packbits(mask)).decode()
    job = client.post("/api/region", json={"row": 2, "mask": packed, "count": 1}).json()
    assert "mask" not in job["request"]
    listed = next(one for one in client.get("/api/jobs").json() if one["number"] == job["number"])
    assert listed["request"]["row"] == 2
    assert "mask" not in listed["request"]
    assert client.get(f"/api/jobs/{job['number']}").json()["request"]["mask"] == packed


def test_pictures_of_validations_are_served(client: TestClient, run_folder: Path) -> None:
    found = client.get("/api/training").json()["validations"]
    assert list(found) == ["autoencoder"]
    assert [row["step"] for row in found["autoencoder"]["rows"]][:3] == [1, 2, 3]
    answer = client.get("/api/training/autoencoder.validations.png")
    assert answer.content == (run_folder / "autoencoder.validations.png").read_bytes()
    for name in ("texture.validations", "prior.validations", "..%2fautoencoder.validations", "autoencoder.state"):
        assert client.get(f"/api/training/{name}.png").status_code == 404
