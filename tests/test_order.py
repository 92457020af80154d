"""Each process of the tests begins with slow folders and files, which are not cut in two."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from order import TESTS, slow_first


@dataclass(frozen=True)
class Item:
    """As much of a test of pytest as its order depends on."""

    path: Path
    number: int
    slow: bool

    def get_closest_marker(self, name: str) -> bool:
        return self.slow and name == "slow"


FILES = {"a/test_1.py": 3, "a/test_2.py": 2, "b/c/test_3.py": 5, "d/test_4.py": 9, "test_5.py": 2, "test_6.py": 8}
SLOW = ("a/test_2.py", "test_5.py")
ITEMS = [Item(TESTS / name, number, name in SLOW) for name, count in FILES.items() for number in range(count)]


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_each_process_begins_with_what_is_slow(processes: int) -> None:
    ordered = slow_first(ITEMS, processes=processes)
    assert sorted(map(str, ordered)) == sorted(map(str, ITEMS))
    parts, start = [], 0
    for place in range(processes):  # as pytest-xdist divides them
        end = start + (len(ordered) - start) // (processes - place)
        parts.append([item.path.relative_to(TESTS).as_posix() for item in ordered[start:end]])
        start = end
    slow = {"a/test_1.py", "a/test_2.py", "test_5.py"}  # the folder of a slow file is slow
    for part in parts:
        marks = [name in slow for name in part]
        assert marks == sorted(marks, reverse=True)
    holders = [[place for place, part in enumerate(parts) if name in part] for name in sorted(slow)]
    assert all(len(places) == 1 for places in holders)
    assert holders[0] == holders[1]
    assert processes == 1 or holders[2] != holders[0]
