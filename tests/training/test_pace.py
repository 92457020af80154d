"""What a piece of work may take follows from the pieces before."""

import pytest

from voxlex.training import pace
from voxlex.training.pace import Pace


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def test_pieces_are_held_to_the_longest_of_their_kind(clock: Clock) -> None:
    told: list[float | None] = []
    own = Pace(told.append)

    def piece(seconds: float) -> float | None:
        clock.now += seconds
        own.gets_on()
        return told[-1]

    own.gets_on()
    assert told == []  # nothing has begun
    with own.of("steps"):
        assert told[-1] == 600
        assert piece(100) == 300
        assert piece(1) == 300
        with own.of("a validation"):
            assert told[-1] == 300  # as much as a step
            assert piece(2) == 15
            assert piece(6) == 18
        assert told[-1] == 300
        with own.of("a validation"):
            assert told[-1] == 18
    assert told[-1] is None
    with own.of("steps"):  # of another stage
        with own.of("a validation"):
            assert told[-1] == 600
            assert piece(1) == 15
        assert told[-1] == 600
