"""Runs go to a repository and come back, whole and unchanged, or are refused in one line."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import voxlex
from hostile.command import check_refusal, run
from scans.pictures import picture
from voxlex import hub

from .stand_in import StandIn, serving

GOLDEN = Path(__file__).parent.parent / "golden"
TOKEN = "hf_secretsecretsecret"
NAME = "someone/heads"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in of the Hub to which this process is logged in, with an empty cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving(StandIn(token=TOKEN)) as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.address)
        yield stand_in


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, in which there is more than a repository may hold, and figures."""
    folder = tmp_path / "here"
    shutil.copytree(GOLDEN / "transformer", folder / "run")
    shutil.copy(GOLDEN / "unfinished" / "prior.state.pt", folder / "run")
    (folder / "run" / "report.html").write_text("<p>names of scans</p>")
    figures = {"reconstruction.ssim": 0.9, "generation.coverage": 0.41, "generation.coverage_floor": 0.63}
    (folder / "figures.json").write_text(json.dumps(figures))
    monkeypatch.chdir(folder)
    return folder


def pushed(capfd: pytest.CaptureFixture[str], *options: object) -> str:
    """Push the run, and return its pinned address."""
    said = run(capfd, "push", *(options or ("run", NAME)))
    assert (said.status, said.err) == (0, ""), said
    return said.out.strip()


@pytest.mark.usefixtures("here")
def test_a_run_comes_back_as_it_was(remote: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    address = pushed(capfd)
    repository, _, commit = address.removeprefix("hf://").partition("@")
    assert repository == NAME
    own, images = voxlex.load("run"), torch.rand(2, 1, 32, 32)
    for place in (f"hf://{NAME}", address):
        vocabulary = voxlex.load(place)
        assert torch.equal(vocabulary.encode(images), own.encode(images))
        assert torch.equal(vocabulary.sample(1, seed=0), own.sample(1, seed=0))
        assert vocabulary.metadata["hub"] == {"repository": NAME, "commit": commit}


@pytest.mark.usefixtures("here")
def test_only_weights_as_safetensors_and_text_are_pushed(remote: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    pushed(capfd)
    names = {"README.md", "autoencoder.safetensors", "checksums.json", "config.yaml", "metadata.json"}
    assert set(remote.last(NAME)) == {".gitattributes", "prior.safetensors"} | names


def test_only_weights_as_safetensors_and_text_are_downloaded(
    remote: StandIn, here: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pushed(capfd)
    remote.add(NAME, remote.last(NAME) | {"pytorch_model.bin": b"pickle", "prior.state.pt": b"pickle", "a.py": b"1/0"})
    assert run(capfd, "info", f"hf://{NAME}").status == 0
    assert not any(path.endswith((".bin", ".pt", ".py")) for _, path, _ in remote.asked)
    assert not any(path.suffix in (".bin", ".pt", ".py") for path in (tmp_path / "cache").rglob("*"))


def test_commands_take_an_address_in_place_of_a_run(
    remote: StandIn, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = pushed(capfd)
    Image.fromarray(picture(0)).save(here / "one.png")
    for name, *words in (["info"], ["sample", "--count", "1"], ["encode", "one.png"]):
        said = run(capfd, name, address, *words)
        assert said.status == 0, said.err
    said = run(capfd, "pack", address, "one.png", "--fit-on", "one.png")
    check_refusal(said, names="someone/heads", says="copy the run")
    assert not (here / "hf:").exists()


@pytest.mark.usefixtures("here")
def test_the_card_says_what_the_run_says(remote: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    pushed(capfd, "run", NAME, "--figures", "figures.json", "--license", "cc-by-4.0")
    card = remote.last(NAME)["README.md"].decode()
    header, text = card.removeprefix("---\n").split("---\n", 1)
    assert 'license: "cc-by-4.0"' in header
    rows = ("| SSIM | 0.9000 |", "| Coverage | 41.0% | 63.0% |")
    for words in ("16 for train", "healthy, tumour", "25.5 to 70.5", *rows):
        assert words in text, text
    for words in ("not a medical device", "arXiv 1711.00937", f'voxlex.load("hf://{NAME}")'):
        assert words in text, text
    pushed(capfd)
    card = remote.last(NAME)["README.md"].decode()
    assert "license:" not in card
    assert "The licence of the weights was not said" in card
    assert "Not measured" in card


def test_a_commit_stays_what_it_was(remote: StandIn, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = pushed(capfd)
    shutil.rmtree(here / "run")
    shutil.copytree(GOLDEN / "lookup-free", here / "run")
    second = pushed(capfd)
    assert first != second
    assert "prior.safetensors" not in remote.last(NAME)  # what the new run does not have is gone
    assert voxlex.load(first).prior is not None
    assert voxlex.load(f"hf://{NAME}").prior is None


def test_what_is_in_the_cache_needs_no_network(
    remote: StandIn, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    address = pushed(capfd)
    voxlex.load(f"hf://{NAME}")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for place in (f"hf://{NAME}", address):
        assert run(capfd, "info", place).status == 0
    check_refusal(run(capfd, "info", "hf://someone/else"), names="hf://someone/else", says="cannot be reached")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("hf://someone/else", "no such repository"),
        (f"hf://{NAME}@v9", "no such revision"),
        ("hf://heads", "expected hf://owner/name"),
        (f"hf://{NAME}@", "expected hf://owner/name"),
        ("hf://../../etc", "expected hf://owner/name"),
    ],
)
def test_what_is_not_there_is_refused(
    address: str, says: str, remote: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    pushed(capfd)
    check_refusal(run(capfd, "info", address), names=address, says=says)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["autoencoder.safetensors", "config.yaml"])
def test_files_that_somebody_changed_are_refused(name: str, remote: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    pushed(capfd)
    files = remote.last(NAME)
    remote.add(NAME, files | {name: files[name] + b" "})
    check_refusal(run(capfd, "info", f"hf://{NAME}"), names=name, says="SHA-256")
    remote.add(NAME, {path: content for path, content in files.items() if path != name})
    check_refusal(run(capfd, "info", f"hf://{NAME}"), names=name, says="no file")
    remote.add(NAME, {path: content for path, content in files.items() if path != hub.CHECKSUMS})
    check_refusal(run(capfd, "info", f"hf://{NAME}"), names=hub.CHECKSUMS)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("status", "says"), [(403, "status 403; log in"), (500, "status 500")])
def test_a_refusal_to_write_is_one_line(
    status: int, says: str, remote: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    remote.status = status
    check_refusal(run(capfd, "push", "run", NAME), names=NAME, says=says)


def test_the_token_is_told_to_the_hub_alone(
    remote: StandIn, here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = pushed(capfd)
    said = run(capfd, "info", address)
    remote.status = 403  # whose answer quotes the request
    refused = run(capfd, "push", "run", NAME)
    assert {authorization for _, _, authorization in remote.asked} >= {f"Bearer {TOKEN}"}
    assert TOKEN not in said.all + refused.all
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(TOKEN.encode() in path.read_bytes() for path in files)
    assert not any(TOKEN.encode() in content for content in remote.last(NAME).values())


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("words", [["info", "hf://someone/heads"], ["push", "run", "someone/heads"]])
def test_without_the_package_one_line_says_how_to_install_it(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    check_refusal(run(capfd, *words), names="huggingface_hub", says=r"pip install 'voxlex\[hub\]'")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["run", "heads"], "owner/name"),
        (["nothing", NAME], "nothing"),
        (["run", NAME, "--figures", "run/config.yaml"], "config.yaml"),
    ],
)
def test_nothing_is_sent_of_what_cannot_be_pushed(
    words: list[str], names: str, remote: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    check_refusal(run(capfd, "push", *words), names=names)
    assert remote.asked == []


@pytest.mark.usefixtures("here")
def test_a_cache_that_cannot_be_written_is_named(
    remote: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pushed(capfd)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file"))
    check_refusal(run(capfd, "info", f"hf://{NAME}"), names=NAME, says="cache cannot be written")
