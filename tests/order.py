"""The order of tests in several processes: each begins with slow ones, so what they divide in the end is quick.

pytest-xdist gives each process as many tests in a row, and one that has done its own takes the last half of another's.
Where that cut a slow file in two, both processes would make what its tests share.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def slow_first(items: Sequence[pytest.Item], *, processes: int) -> list[pytest.Item]:
    """Return the tests in an order whose part for each process begins with whole slow folders and files."""
    slow, quick = [], []
    for _, group in groupby(items, key=_together):
        tests = list(group)
        if any(test.get_closest_marker("slow") for test in tests):
            slow.append(tests)
        else:
            quick += tests
    ordered: list[pytest.Item] = []
    for place in range(processes):
        own = [test for tests in slow[place::processes] for test in tests]
        size = (len(items) - len(ordered)) // (processes - place)
        filling = max(size - len(own), 0)
        ordered += own + quick[:filling]
        quick = quick[filling:]
    return ordered


def _together(item: pytest.Item) -> Path:
    """Return the folder of a test, or its file if that lies in no folder of its own."""
    return item.path if item.path.parent == TESTS else TESTS / item.path.relative_to(TESTS).parts[0]
