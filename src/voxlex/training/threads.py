"""How many threads torch uses on a CPU: more are faster on a quiet machine, and far slower beside other work.

Threads that work on one operation wait for each other. Where other work holds a core, all of them wait for the one that
shares it, so that one thread can take many times as many steps as two. The last bits of a result depend on the number
of threads; whoever must get the same bits again has to fix it.
"""

import statistics
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType

import torch

_WARM_UP = 2  # steps that are slow for other reasons
_TRIES = 3  # steps that are timed with a number of threads, after one that is not
_HOPELESS = 2.5  # times as slow as the best: not tried any longer
_CHANGED = 1.5  # times as slow, or as fast, as expected: the machine is busier, or calmer
_WINDOW = 8  # steps that tell so
_CALM_S, _CALM_SHARE = 30.0, 0.01  # how often to try others while nothing changes, and at most which share of time
_HURRY_S, _HURRY_SHARE = 5.0, 0.05  # the same after a change


class ThreadChooser:
    """Times training steps, at the start and now and then, and keeps the number of threads that was fastest.

    It is a context: the first step in it has one thread, and in the end the number is what it was before.

    It begins with one thread, which other work slows least, and goes on to more as long as they are faster. Trying
    costs about one step in a hundred at most while nothing changes: what is slow is dropped after a step, and the
    longer trying has taken, the later it is done again.

    Args:
        most: The largest number of threads; smaller ones are its halves, down to one.
        use: Called with the number that the next step is to use; by default it is set in torch.
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
        """Note how long a step took, and set the number of threads for the next."""
        self._seconds = seconds
        self._use(next(self._steps))

    def _steps_of_trying(self, choices: list[int], *, warm_up: int = 0) -> Iterator[int]:
        """Yield, for ever, the number of threads for each step; between two of them `_seconds` is that of the first."""
        for _ in range(warm_up):
            yield self.threads
        while True:
            expected, lost = yield from self._try(choices)
            choices = yield from self._stay(expected, lost)

    def _try(self, choices: list[int]) -> Generator[int, None, tuple[float, float]]:
        """Time choices, and take the fastest; return its seconds, and those lost on slower ones."""
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
        """Use the chosen number until it is time to try others; return those to be tried."""
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
    """Use a number of threads, and the one from before in the end; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
