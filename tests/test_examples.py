"""The examples run as they stand there, for a few steps, and their models learn."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow

LIGHTNING = (
    "ignore:`isinstance(treespec, LeafSpec)`:FutureWarning",  # of Lightning's own use of PyTorch
    "ignore:The '",  # data loaders without workers
)
"""Warnings that Lightning gives on a small machine, whatever it trains."""


def said(name: str, *options: str, ignored: tuple[str, ...] = ()) -> str:
    """Run an example with warnings as errors, and return what it prints."""
    filters = [word for one in ("error", *ignored) for word in ("-W", one)]
    words = [sys.executable, *filters, str(EXAMPLES / name), *options]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_quantizer_in_a_network_of_monai_learns() -> None:
    out = said("monai_network.py", "--steps", "12", "--quantizer", "finite-scalar")
    first, *_, last = (float(loss) for loss in re.findall(r"loss ([\d.]+)", out))
    assert last < first
    assert re.search(r"held out: PSNR [\d.]+ dB, \d+ codes used", out)


def test_a_quantizer_in_a_lightning_module_learns() -> None:
    out = said("lightning_module.py", "--steps", "8", ignored=LIGHTNING)
    found = re.search(r"held out: L1 ([\d.]+) before, ([\d.]+) after; (\d+) codes used", out)
    assert found is not None, out
    before, after, codes = map(float, found.groups())
    assert after < before
    assert codes > 1
