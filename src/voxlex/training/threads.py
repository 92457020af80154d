"""Choose how many CPU threads torch uses.

More threads are faster on an idle machine, but much slower on a busy one: threads that share an operation wait for each
other, so all of them wait for a thread whose core has other work. The last bits of a result depend on the number of
threads. To get the same bits again, fix this number.
"""

import statistics
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType

import torch

_WARM_UP = 2  # steps that are slow for other reasons
_TRIES = 3  # steps that are timed with each number of threads, after an untimed one
_HOPELESS = 2.5  # a number of threads is dropped if it is this many times as slow as the best one
_CHANGED = 1.5  # the load of the machine has changed if steps are slower or faster by this factor
_WINDOW = 8  # number of steps to detect such a change
_CALM_S, _CALM_SHARE = 30.0, 0.01  # time between trials, and largest share of time for them, while nothing changes
_HURRY_S, _HURRY_SHARE = 5.0, 0.05  # the same after a change


class ThreadChooser:
    """Times training steps from time to time, and uses the number of threads that was fastest.

    Use it as a context manager. The first step has one thread, and the previous number is restored at the end.

    A trial starts with one thread, which suffers least from other work, and adds threads as long as steps get faster.
    While nothing changes, trials cost at most about one step in a hundred: slow choices are dropped after one step, and
    the next trial starts later if a trial took long.

    Args:
        most: The largest number of threads. Half of it, a quarter and so on, down to one, are tried as well.
        use: Function that sets the number of threads of the next step; by default that of torch.
    """

    def __init__(self, most: int, *, use: Callable[[int], None] | None = None) -> None:
        self._use = use or torch.set_num_threads
        self._choices = [most >> halvings for halvings in reversed(range(most.bit_length()))]
        self.threads = 1
        self._steps = self._steps_of_trying(self._choices, warm_up=_WARM_UP)
        self._seconds = 0.0
        self._before = most

    def __enter__(self) -> "ThreadChooser":
        self._before = torch.get_num_threads()
        self._use(next(self._steps))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._use(self._before)

    def took(self, seconds: float) -> None:
        """Record how long a step took, and set the number of threads for the next step."""
        self._seconds = seconds
        self._use(next(self._steps))

    def _steps_of_trying(self, choices: list[int], *, warm_up: int = 0) -> Iterator[int]:
        """Yield the number of threads for each step, for ever. The caller sets `_seconds` to the time of the step."""
        for _ in range(warm_up):
            yield self.threads
        while True:
            expected, lost = yield from self._try(choices)
            choices = yield from self._stay(expected, lost)

    def _try(self, choices: list[int]) -> Generator[int, None, tuple[float, float]]:
        """Time the choices and use the fastest. Return its seconds, and the seconds lost on slower ones."""
        medians: dict[int, float] = {}
        spent, steps = 0.0, 0
        for threads in choices:
            taken: list[float] = []
            for _ in range(1 + _TRIES):
                yield threads
                taken.append(self._seconds)
                if medians and self._seconds > _HOPELESS * min(medians.values()):
                    break
            spent, steps = spent + sum(taken), steps + len(taken)
            medians[threads] = statistics.median(taken[1:] or taken)
            if medians[threads] > _CHANGED * min(medians.values()):
                break  # more would only be slower
        self.threads = min(medians, key=lambda threads: medians[threads])
        return medians[self.threads], spent - steps * medians[self.threads]

    def _stay(self, expected: float, lost: float) -> Generator[int, None, list[int]]:
        """Use the chosen number until it is time for a trial. Return the choices to try."""
        elapsed, recent = 0.0, deque[float](maxlen=_WINDOW)
        while True:
            yield self.threads
            elapsed += self._seconds
            recent.append(self._seconds)
            now = statistics.median(recent) if len(recent) == _WINDOW else expected
            changed = not expected / _CHANGED < now < expected * _CHANGED
            if changed and elapsed > max(_HURRY_S, lost / _HURRY_SHARE):
                return self._choices
            if elapsed > max(_CALM_S, lost / _CALM_SHARE):
                return self._neighbours()

    def _neighbours(self) -> list[int]:
        place = self._choices.index(self.threads)
        return self._choices[max(place - 1, 0) : place + 2]


@contextmanager
def fixed_threads(number: int | None) -> Iterator[None]:
    """Use a number of threads in a context, and restore the previous number at the end. None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
