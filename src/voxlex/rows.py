"""Go through rows: a few that are evenly spaced, batches of limited size, or one after the other in threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def evenly_spaced(rows: int, at_most: int) -> list[int]:
    """Return up to `at_most` evenly spaced row numbers, so that neighbouring slices are not chosen together."""
    count = min(rows, at_most)
    return [i * rows // count for i in range(count)]


def batches(rows: int, *, pixels_per_image: int, at_most: int) -> Iterator[slice]:
    """Yield the rows of each batch: `at_most` images, or fewer if the images are volumes."""
    at_once = max(1, min(at_most, 2**21 // pixels_per_image))
    for start in range(0, rows, at_once):
        yield slice(start, min(start + at_once, rows))


def in_order(
    function: Callable[[T], R], items: Iterable[T], *, threads: int, ahead: int, stopped: Event | None = None
) -> Generator[R]:
    """Yield the result for each item, computed in threads.

    Args:
        function: The function.
        items: What it is called with.
        threads: Number of threads.
        ahead: Most results that are computed in advance, because they take memory.
        stopped: Is set when no more results are wanted, as after Ctrl-C. A function that takes long may look at it.
    """
    pool = ThreadPoolExecutor(max_workers=threads)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        if stopped is not None:
            stopped.set()
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for the remaining ones


def go_on(stopped: Event | None) -> None:
    """Return, unless no more results are wanted, which None never says; see `in_order`.

    Raises:
        CancelledError: If they are not.
    """
    if stopped is not None and stopped.is_set():
        raise CancelledError
