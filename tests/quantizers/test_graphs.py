import subprocess
import sys
from pathlib import Path

import pytest

from kinds import KINDS

pytestmark = pytest.mark.slow


def test_every_kind_compiles_as_one_graph_and_exports_to_plain_operators() -> None:
    script = Path(__file__).parent / "graphs.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(KINDS)
