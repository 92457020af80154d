"""What can be known before a training begins is found before it begins, and leaves nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.cli import main
from voxlex.config import Config, parse
from voxlex.errors import VoxlexError
from voxlex.workflows import check as module
from voxlex.workflows.check import check
from voxlex.workflows.train import train

PREPARED = Path(__file__).parent.parent / "golden" / "prepared"  # 20 pictures of 32×32, 16 of them to train on

TINY = {
    "data": {"size": 32},
    "model": {"network": {"width": 8, "stem_width": 4}, "quantizer": {"num_embeddings": 16}},
    "prior": {"width": 8, "layers": 1},
    "training": {
        "minutes": None,
        "steps": 1,
        "accelerator": "cpu",
        "precision": "32-true",
        "autoencoder": {"batch_size": 2},
        "prior": {"batch_size": 2},
    },
}


def changed(settings: dict[str, object]) -> Config:
    """Return a small experiment with other values of some settings, named by their paths."""
    content = parse(Config, TINY, where="test")
    from voxlex.config.validation import plain

    tree = plain(content)
    for path, value in settings.items():
        *above, last = path.split(".")
        place = tree
        for part in above:
            place = place[part]
        place[last] = value
    return parse(Config, tree, where="test")


REFUSED = [
    ({"prior.heads": 3}, "models", "prior: width: expected a multiple of heads"),
    ({"prior.kernel_size": 2}, "models", "prior: kernel_size: expected an odd number"),
    ({"training.autoencoder.batch_size": 17}, "images", "training.autoencoder.batch_size: expected at most 16"),
    ({"training.prior.batch_size": 17}, "images", "training.prior.batch_size: expected at most 16"),
    ({"prior.condition_columns": ["mood"]}, "conditions", "prior.condition_columns: no column 'mood'"),
    ({"training.accelerator": "tpu"}, "device", "training.accelerator 'tpu'"),
    ({"data.size": 64}, "data", "expected images of 64×64, got a set prepared at 32×32"),
    ({"training.autoencoder.patch_size": 6}, "settings", "patch_size: expected a multiple of 4"),
    ({"model.network.width": 2_000_000}, "memory", "memory: expected at most"),
]


@pytest.mark.parametrize(("settings", "name", "said"), REFUSED, ids=[row[2][:40] for row in REFUSED])
def test_a_refusal_comes_first_and_leaves_nothing(
    tmp_path: Path, settings: dict[str, object], name: str, said: str
) -> None:
    config = changed(settings)
    findings = check(str(PREPARED), out=tmp_path / "runs" / "run", config=config)
    wrong = [finding for finding in findings if not finding.ok]
    assert (name, True) in [(finding.name, said in finding.said) for finding in wrong]
    with pytest.raises(VoxlexError) as refused:
        train(str(PREPARED), out=tmp_path / "runs" / "run", config=config)
    assert str(refused.value) == wrong[0].said
    assert list(tmp_path.iterdir()) == []


def test_a_good_experiment_passes_every_check(tmp_path: Path) -> None:
    findings = check(str(PREPARED), out=tmp_path / "run", config=changed({}))
    assert [(finding.name, finding.ok) for finding in findings] == [
        (name, True)
        for name in (
            "settings",
            "run folder",
            "device",
            "data",
            "images",
            "conditions",
            "models",
            "memory",
            "disk",
        )
    ]
    said = {finding.name: finding.said for finding in findings}
    assert said["images"] == "16 for train, 2 for validation, 2 for test"
    assert list(tmp_path.iterdir()) == []


def test_scans_are_judged_by_a_few(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    scans = make_folder(40)
    said = {one.name: one.said for one in check(str(scans), out=tmp_path / "run", config=changed({}))}
    assert said["data"] == "about 40 images; 4 of 4 opened scans can be read"
    assert said["images"] == "about 32 for train, 4 for validation, 4 for test"
    for path in scans.iterdir():
        path.write_bytes(b"no picture")
    [wrong] = [one for one in check(str(scans), out=tmp_path / "run", config=changed({})) if not one.ok]
    assert "4 unreadable of 4" in wrong.said
    assert "000.png" in wrong.said


def test_too_few_groups_are_known_before_scans_are_prepared(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / "scans" / f"sub-0{number % 2}_{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (32, 32), np.uint8)).save(path)
    findings = check(str(tmp_path / "scans"), out=tmp_path / "run", config=changed({}))
    assert ["at least 3 groups" in one.said for one in findings if not one.ok] == [True]


def test_a_full_disk_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: Full)
    [wrong] = [one for one in check(str(PREPARED), out=tmp_path / "run", config=changed({})) if not one.ok]
    assert wrong.name == "disk"
    assert "free disk space" in wrong.said


def test_the_command_prints_a_line_a_check_and_fails_if_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", str(PREPARED), "--out", str(tmp_path / "run"), "--size", "32", "--accelerator", "cpu"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert all(line.startswith("ok ") for line in lines)
    assert main([*words, "--prior.heads", "3"]) == 1
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.out.splitlines() if line.startswith("wrong")] == ["models"]
    assert said.err == "voxlex: prior: width: expected a multiple of heads, got 128 with 3 heads\n"
    assert list(tmp_path.iterdir()) == []


def test_a_place_without_permission_or_a_run_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("ten years of work")
    findings = check(str(PREPARED), out=tmp_path / "run", config=changed({}))
    assert "exists already" in next(one.said for one in findings if one.name == "run folder")
