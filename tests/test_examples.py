"""The examples run as they stand there, for a few steps, and their models learn."""

import re
import runpy
from pathlib import Path

import pytest
from lightning_utilities.core import rank_zero

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(monkeypatch: pytest.MonkeyPatch, name: str, *options: str) -> None:
    monkeypatch.setattr("sys.argv", [name, *options])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_a_quantizer_in_a_network_of_monai_learns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "monai_network.py", "--steps", "12", "--quantizer", "finite-scalar")
    out = capsys.readouterr().out
    first, *_, last = (float(loss) for loss in re.findall(r"loss ([\d.]+)", out))
    assert last < first
    assert re.search(r"held out: PSNR [\d.]+ dB, \d+ codes used", out)


# Warnings that Lightning gives on a small machine, whatever it trains: of its own use of PyTorch, and of data loaders.
@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)`:FutureWarning", "ignore:The '")
def test_a_quantizer_in_a_lightning_module_learns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # which Lightning sets
    monkeypatch.setattr(rank_zero, "log", rank_zero.log)  # in which it puts its own, for all that logs by this module
    run(monkeypatch, "lightning_module.py", "--steps", "8")
    found = re.search(r"held out: L1 ([\d.]+) before, ([\d.]+) after; (\d+) codes used", capsys.readouterr().out)
    assert found is not None
    before, after, codes = map(float, found.groups())
    assert after < before
    assert codes > 1
