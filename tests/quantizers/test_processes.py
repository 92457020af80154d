import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kinds import KINDS

States = dict[str, dict[str, Tensor]]

RANDOM_IN_EACH_PROCESS = {"vector, DiVeQ", "residual", "residual finite scalar", "Gumbel", "Gumbel, hard"}
"""These draw noise for each example while they train, so two processes cannot repeat what one does."""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[States, States, States]:
    """What the quantizers became in the first process, in the second, and in a lone one with both their batches."""
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).parent / "two_processes.py"
    runs = [(0, 2), (1, 2), (0, 1)]
    subprocess.run([sys.executable, str(script), str(folder)], check=True, timeout=900)
    first, second, lone = (torch.load(folder / f"{r}-of-{w}.pt", weights_only=True) for r, w in runs)
    return first, second, lone


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_end_with_the_same_codebook(kind: str, states: tuple[States, States, States]) -> None:
    first, second, _ = states
    assert all(torch.equal(value, second[kind][name]) for name, value in first[kind].items())


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - RANDOM_IN_EACH_PROCESS))
def test_two_processes_learn_what_one_does_on_all_their_data(kind: str, states: tuple[States, States, States]) -> None:
    first, _, lone = states
    for name, value in first[kind].items():
        torch.testing.assert_close(
            value, lone[kind][name], rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n} {text}"
        )


def test_codewords_were_revived_on_the_way(states: tuple[States, States, States]) -> None:
    age = states[0]["vector"]["quantizer.codebook.age"]
    assert (age < age.max()).any()
