"""Every command and every line of Python of docs/first-hour.md, run as it stands there, on fewer images and steps."""

from pathlib import Path

import pytest

from documented import blocks, commands, shortened
from voxlex.cli import main

pytestmark = pytest.mark.slow

PAGE = "docs/first-hour.md"


def test_the_first_hour_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = set()
    for command in commands(PAGE):
        if command[0] == "explore":  # until Ctrl-C
            continue
        if "brain-mri-128" in command and "--count" in command:
            command[command.index("--count") + 1] = "2"
        assert main(shortened(command)) == 0, command
        done.add(command[0])
    assert {"phantom", "check", "train", "evaluate", "reconstruct", "encode", "decode", "pack", "sample"} <= done
    for place in ("new/samples.png", "runs/first/report.html", "reconstructed/reconstructions.png"):  # that it names
        assert (tmp_path / place).exists(), place
    (python,) = blocks(PAGE, "python")
    exec(python, {})
