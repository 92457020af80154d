"""Commands on a store give what they give on this machine, replace nothing foreign, and leave nothing half-written."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import torch
from s3fs import S3FileSystem

import voxlex
from hostile.command import check_refusal, run
from voxlex.cli import main
from voxlex.config import Config
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import Interrupted
from voxlex.run_folder import RunFolder
from voxlex.stores import fetching

from .conftest import BUCKET, SECRET, Bucket

RUN = Path(__file__).parent.parent / "golden" / "transformer"
TINY = [
    "--size",
    "32",
    "--model.network.width",
    "8",
    "--model.quantizer.num-embeddings",
    "16",
    "--stage",
    "autoencoder",
]
TINY += ["--training.autoencoder.batch-size", "2", "--precision", "32-true", "--accelerator", "cpu"]
TINY += ["--training.keep-state"]

Capture = pytest.CaptureFixture[str]


def done(capfd: Capture, *words: object) -> str:
    """Run a command that succeeds, in any time, and return what it said."""
    capfd.readouterr()
    status = main([str(word) for word in words])
    said = "".join(capfd.readouterr())
    assert status == 0, said
    assert SECRET not in said
    return said


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def nothing_left(tmp_path: Path) -> bool:
    """Whether the cache holds no results that were on their way."""
    return not [
        path for path in (tmp_path / "cache").iterdir() if path.name not in ("stores", "unsent") and path.name[0] == "."
    ]


def test_results_are_those_of_this_machine(bucket: Bucket, scans: Path, tmp_path: Path, capfd: Capture) -> None:
    bucket.upload(scans, "scans")
    done(capfd, "prepare", scans, "--out", "local", "--size", 32)
    done(capfd, "prepare", "s3://heads/scans", "--out", "prepared", "--size", 32)
    assert PreparedDataset.open(Path("prepared")).fingerprint == PreparedDataset.open(Path("local")).fingerprint
    said = done(capfd, "encode", RUN, "s3://heads/scans/", "--out", "s3://heads/codes/a.parquet")
    assert "codes of 6 images in s3://heads/codes/a.parquet" in said
    done(capfd, "encode", RUN, scans, "--out", "a.parquet")
    (tmp_path / "b.parquet").write_bytes(bucket.content()["codes/a.parquet"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "b.parquet"), pd.read_parquet("a.parquet"))
    done(capfd, "decode", RUN, "s3://heads/codes/a.parquet", "--out", "s3://heads/decoded")
    done(capfd, "decode", RUN, "a.parquet", "--out", "decoded")
    assert bucket.below("decoded") == pictures(Path("decoded"))
    assert nothing_left(tmp_path)


def test_a_run_on_a_store_is_the_run(bucket: Bucket, scans: Path, capfd: Capture) -> None:
    bucket.upload(RUN, "runs/mine")
    done(capfd, "info", "s3://heads/runs/mine")
    done(capfd, "sample", "s3://heads/runs/mine", "--count", 1, "--out", "s3://heads/drawn")
    done(capfd, "sample", RUN, "--count", 1, "--out", "drawn")
    assert bucket.below("drawn") == pictures(Path("drawn"))
    images = torch.rand(1, 1, 32, 32)
    assert torch.equal(voxlex.load("s3://heads/runs/mine").encode(images), voxlex.load(RUN).encode(images))
    check_refusal(
        run(capfd, "pack", "s3://heads/runs/mine", scans, "--fit-on", scans),
        names="s3://heads/runs/mine",
        says="copy the run",
    )


@pytest.mark.slow
def test_a_training_goes_on_where_it_was(bucket: Bucket, scans: Path, tmp_path: Path, capfd: Capture) -> None:
    bucket.upload(scans, "scans")
    words = ["train", "s3://heads/scans", "--out", "s3://heads/run"]
    said = done(capfd, *words, "--steps", 1, *TINY)
    assert f"voxlex {' '.join(words)} --resume --steps 2" in said
    done(capfd, "train", scans, "--out", "run", "--steps", 1, *TINY)
    weights = bucket.below("run")["autoencoder.safetensors"]
    assert weights == Path("run/autoencoder.safetensors").read_bytes()

    done(capfd, *words, "--steps", 2, "--resume", *TINY)
    held = bucket.below("run")
    assert {name for name in held if "/" not in name} == {path.name for path in Path("run").iterdir() if path.is_file()}
    assert held["autoencoder.safetensors"] != weights
    assert json.loads(held["metadata.json"])["stages"]["autoencoder"]["steps"] == 2
    strangers = (SECRET.encode(), str(tmp_path).encode())
    assert not [name for name, content in held.items() if any(word in content for word in strangers)]
    check_refusal(run(capfd, *words, "--steps", 1, *TINY), names="s3://heads/run", says="exists already")
    assert bucket.below("run") == held
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("saved", [True, False])
def test_a_training_that_is_stopped_uploads_what_it_has_saved(
    saved: bool, bucket: Bucket, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    def stopped(source: str, *, out: Path, config: Config, **_: object) -> None:
        RunFolder.create(out, config)
        raise Interrupted("stopped, and saved") if saved else KeyboardInterrupt

    monkeypatch.setattr("voxlex.workflows.train.train", stopped)
    said = run(capfd, "train", scans, "--out", "s3://heads/run")
    assert (said.status, said.err) == (130, "voxlex: stopped, and saved\n" if saved else "voxlex: interrupted\n")
    assert bucket.below("run").keys() == ({"config.yaml", "metadata.json"} if saved else set())
    assert nothing_left(tmp_path)


def test_nothing_foreign_is_replaced(bucket: Bucket, scans: Path, capfd: Capture) -> None:
    bucket.upload(scans, "scans")
    bucket.upload(scans, "results")
    bucket.put("file", b"mine")
    before = bucket.content()
    for words in (
        ["encode", RUN, "s3://heads/scans", "--out", "s3://heads/results"],
        ["reconstruct", RUN, "s3://heads/scans", "--out", "s3://heads/results"],
        ["reconstruct", RUN, "s3://heads/scans", "--out", "s3://heads/results", "--overwrite"],
        ["reconstruct", RUN, "s3://heads/scans", "--out", "s3://heads/file", "--overwrite"],
        ["train", "s3://heads/scans", "--out", "s3://heads/results", "--overwrite", "--steps", "1"],
        ["reconstruct", RUN, "s3://heads/results", "--out", "s3://heads/results", "--overwrite"],
        ["reconstruct", RUN, "s3://heads/scans/ill/1.png", "--out", "s3://heads/scans", "--overwrite"],
        ["prepare", "s3://heads/scans", "--out", "s3://heads/file"],
    ):
        check_refusal(run(capfd, *words), names="s3://heads/")
        assert bucket.content() == before


def test_own_results_are_replaced_if_asked_for(bucket: Bucket, scans: Path, capfd: Capture) -> None:
    bucket.upload(scans, "scans")
    done(capfd, "sample", RUN, "--count", 3, "--out", "s3://heads/drawn")
    done(capfd, "sample", RUN, "--count", 2, "--out", "s3://heads/drawn", "--overwrite")
    assert {"sample-0000.png", "sample-0001.png", "samples.png", ".voxlex"} == bucket.below("drawn").keys()
    bucket.put("audit.json", b"{}")
    done(capfd, "data", "audit", "s3://heads/scans", "--json", "s3://heads/audit.json", "--overwrite")
    assert json.loads(bucket.content()["audit.json"])


def test_archives(bucket: Bucket, scans: Path, capfd: Capture) -> None:
    bucket.upload(scans, "scans")
    done(capfd, "pack", RUN, "s3://heads/scans/ill", "--out", "s3://heads/a.vxl")
    done(capfd, "pack", RUN, "s3://heads/scans/healthy", "--out=s3://heads/a.vxl", "--append")
    assert len(json.loads(done(capfd, "list", "--json", "s3://heads/a.vxl"))) == 6
    assert len(voxlex.open_archive("s3://heads/a.vxl", run=RUN)) == 6


class Requests:
    """Counts the requests of a kind to the store, and denies them from a number on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str, *, allowed: int | None = None) -> None:
        self.keys: list[str] = []
        self.allowed = allowed
        call = S3FileSystem._call_s3

        async def counted(system: S3FileSystem, name: str, *args: Any, **more: Any) -> Any:
            if name == kind:
                if len(self.keys) == self.allowed:
                    raise PermissionError(f"signed with {SECRET}")
                self.keys.append(more["Key"])
            return await call(system, name, *args, **more)

        monkeypatch.setattr(S3FileSystem, "_call_s3", counted)


@pytest.mark.parametrize(("kind", "allowed"), [("put_object", 3), ("copy_object", 2)])
def test_an_upload_that_fails_leaves_nothing(
    kind: str,
    allowed: int,
    bucket: Bucket,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
) -> None:
    with monkeypatch.context() as patch:
        Requests(patch, kind, allowed=allowed)
        said = run(capfd, "reconstruct", RUN, scans, "--out", "s3://heads/results/mine")
    check_refusal(said, names="s3://heads/results/mine", says="denies access.*is kept in")
    assert SECRET not in said.all
    assert bucket.content() == {}
    (kept,) = (tmp_path / "cache" / "unsent").iterdir()
    assert str(kept / "mine") in said.err
    assert {"reconstructions.png", "ill/1.png"} < pictures(kept / "mine").keys()
    assert nothing_left(tmp_path)


def test_only_what_is_new_is_downloaded(
    bucket: Bucket, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    bucket.upload(scans, "scans")

    def indexed() -> list[str]:
        with monkeypatch.context() as patch:
            counted = Requests(patch, "get_object")
            done(capfd, "data", "index", "s3://heads/scans", "--out", "index.csv", "--overwrite")
        return [key.rpartition("/")[2] for key in counted.keys]

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "THREADS", 1)  # so that three are whole when the fourth is denied
        Requests(patch, "get_object", allowed=3)
        said = run(capfd, "data", "index", "s3://heads/scans", "--out", "index.csv")
        check_refusal(said, names="s3://heads/scans", says="denies access")
    assert len(indexed()) == 3
    assert indexed() == []
    bucket.put("scans/ill/1.png", scans / "ill" / "3.png")
    assert indexed() == ["1.png"]
    assert (tmp_path / "cache/stores/s3/heads/scans/ill/1.png").read_bytes() == (scans / "ill" / "3.png").read_bytes()
    bucket.client.delete_object(Bucket=BUCKET, Key="scans/ill/1.png")
    assert indexed() == []
    assert "scans/ill/1.png" not in Path("index.csv").read_text()
    os.truncate(tmp_path / "cache/stores/s3/heads/scans/ill/3.png", 10)
    assert indexed() == ["3.png"]


def test_a_table_names_addresses(bucket: Bucket, scans: Path, capfd: Capture) -> None:
    bucket.upload(scans, "study/scans")
    done(capfd, "data", "index", "s3://heads/study/scans", "--out", "index.csv")
    table = pd.read_csv("index.csv")
    assert list(table["path"]) == [f"s3://heads/study/scans/{name}" for name in sorted(pictures(scans))]
    done(capfd, "encode", RUN, "index.csv", "--out", "a.parquet")
    relative = "path,label\n" + "".join(f"../scans/{name},x\n" for name in sorted(pictures(scans)))
    bucket.put("study/tables/index.csv", relative.encode())
    done(capfd, "encode", RUN, "s3://heads/study/tables/index.csv", "--out", "b.parquet")
    done(capfd, "encode", RUN, scans, "--out", "c.parquet")
    codes = [list(map(list, pd.read_parquet(f"{name}.parquet")["codes"])) for name in "abc"]
    assert codes[0] == codes[1] == codes[2]
    Path("wrong.csv").write_text("path\ns3://heads/study/none.png\n")
    check_refusal(run(capfd, "encode", RUN, "wrong.csv"), names="s3://heads/study/none.png", says="no such object")


def test_the_cache_is_listed_and_cleaned(bucket: Bucket, scans: Path, tmp_path: Path, capfd: Capture) -> None:
    bucket.upload(scans, "scans")
    done(capfd, "data", "index", "s3://heads/scans", "--out", "index.csv")
    said = done(capfd, "data", "cache")
    assert "s3://heads/scans\n" in said
    assert "1 downloads of" in said
    assert "1 downloads of" not in done(capfd, "data", "cache", "--clean", "--older-than", 1)
    assert "1 downloads of" in done(capfd, "data", "cache", "--clean")
    assert not list((tmp_path / "cache").rglob("*.png"))
    assert "downloads" not in done(capfd, "data", "cache")


@pytest.mark.parametrize(
    ("words", "names", "says"),
    [
        (["info", "s3://heads/none"], "s3://heads/none", "no such object"),
        (["encode", RUN, "s3://heads/none/"], "s3://heads/none", "no such object"),
        (["encode", RUN, "s3://no-such-bucket/x"], "s3://no-such-bucket/x", "no such bucket"),
        (["encode", RUN, "phantom", "--out", "s3://no-such-bucket/x.parquet"], "s3://no-such-bucket", "no such bucket"),
        (
            ["encode", RUN, "s5://heads/x"],
            "s5://heads/x",
            "expected an address that begins with s3://.*did you mean s3://",
        ),
        (["encode", RUN, "S3://"], "S3://", "expected a place after s3://"),
        (["encode", RUN, f"s3://AKIAIOSFODNN7:{SECRET}@heads/x"], "s3://***@heads/x", "without credentials"),
        (
            ["encode", RUN, "phantom", "--out", f"s3://A:{SECRET}@heads/x.parquet"],
            "s3://***@heads",
            "without credentials",
        ),
        (["sample", RUN, "--out", "s3://heads"], "s3://heads", "expected a place in a bucket"),
        (["sample", RUN, "--out", "https://host.org/x"], "https://host.org/x", "expected a place on a store"),
        (["sample", RUN, "--out", "hf://datasets/owner/name"], "hf://datasets/owner/name", "voxlex push"),
        (["sample", RUN, "--out", "hf://owner/name"], "hf://owner/name", "to this machine, .*voxlex push RUN"),
        (["encode", RUN, "phantom", "--out=hf://owner/c.parquet"], "hf://owner/c.parquet", "expected a place on a"),
        (["info", "s3://heads/half"], "s3://heads/half/metadata.json", "got no such file; an upload or a copy may"),
        (["encode", RUN, "s3://heads/both"], "s3://heads/both", "'a', which is both"),
        (["encode", RUN, "s3://heads/up"], "/../", "expected a name that a file can have"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], names: str, says: str, bucket: Bucket, tmp_path: Path, capfd: Capture
) -> None:
    bucket.put("half/config.yaml", RUN / "config.yaml")
    for key in ("both/a", "both/a/b.png", "up/../../../x.png"):
        bucket.put(key, b"x")
    before = bucket.content()
    said = run(capfd, *words)
    check_refusal(said, names=names, says=says)
    assert SECRET not in said.all
    assert bucket.content() == before
    assert not list((tmp_path / "here").iterdir())


def test_denied_access_is_one_line(endpoint: str, bucket: Bucket, scans: Path, capfd: Capture) -> None:
    bucket.upload(scans, "scans")
    for words in (["encode", RUN, "s3://heads/scans"], ["encode", RUN, scans, "--out", "s3://heads/a.parquet"]):
        requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=120)  # from now on, keys must be known
        try:
            said = run(capfd, *words)
        finally:
            requests.post(f"{endpoint}/moto-api/reset-auth", data="inf", timeout=120)
        check_refusal(said, names="s3://heads/", says="the store denies access")
