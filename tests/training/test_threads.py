"""The choice of threads on a machine that is made up: seconds a step by number of threads, quiet or busy."""

from collections.abc import Callable

import pytest
import torch

from voxlex.training.threads import ThreadChooser, fixed_threads

QUIET = {1: 0.08, 2: 0.045, 4: 0.03, 8: 0.04}.__getitem__
BUSY = {1: 0.1, 2: 1.0, 4: 2.0, 8: 4.0}.__getitem__


class Machine:
    """Takes steps, and knows how many threads each had."""

    def __init__(self, most: int) -> None:
        self.used: list[int] = []
        self.chooser = ThreadChooser(most, use=self.used.append)
        self.chooser.__enter__()

    def run(self, seconds_of: Callable[[int], float], *, seconds: float) -> float:
        """Take steps for so many seconds; return how many a second."""
        taken, steps = 0.0, 0
        while taken < seconds:
            took = seconds_of(self.used[-1])
            self.chooser.took(took)
            taken, steps = taken + took, steps + 1
        return steps / taken


@pytest.mark.parametrize(("most", "best"), [(1, 1), (2, 2), (4, 4), (8, 4), (6, 3)])
def test_the_fastest_number_is_found(most: int, best: int) -> None:
    machine = Machine(most)
    machine.run(lambda threads: {3: 0.035, 6: 0.05}.get(threads) or QUIET(threads), seconds=5)
    assert machine.used[-1] == best


@pytest.mark.parametrize(("seconds_of", "best"), [(QUIET, 2), (BUSY, 1)])
def test_trying_costs_little(seconds_of: Callable[[int], float], best: int) -> None:
    machine = Machine(2)
    machine.run(seconds_of, seconds=5)
    assert machine.run(seconds_of, seconds=600) > 0.98 / seconds_of(best)


def test_it_follows_the_machine() -> None:
    machine = Machine(2)
    machine.run(QUIET, seconds=60)
    assert machine.used[-1] == 2
    machine.run(BUSY, seconds=60)
    assert machine.used[-1] == 1
    machine.run(QUIET, seconds=200)
    assert machine.used[-1] == 2


def test_what_is_far_slower_is_dropped_after_a_step() -> None:
    machine = Machine(8)
    machine.run(BUSY, seconds=5)
    assert machine.used.count(2) == 1
    assert not {4, 8} & set(machine.used)


def test_the_number_is_put_back() -> None:
    before = torch.get_num_threads()
    with fixed_threads(before + 2):
        assert torch.get_num_threads() == before + 2
        with ThreadChooser(before + 2) as chooser:
            assert torch.get_num_threads() == 1
            chooser.took(1.0)
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
