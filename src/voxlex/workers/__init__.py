"""Where work over many items is done: in this process, or by the workers of a Ray cluster.

Both give the same results. An item is the same batch of images wherever it is done, and results come back in the order
of the items, so that this process alone writes what comes of them. Ray is imported only if it is asked for.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, Protocol, TypeVar, runtime_checkable

from voxlex.errors import ConfigError
from voxlex.progress import Progress
from voxlex.rows import in_order

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Workers(Protocol):
    """Does work over many items, of which only a few are in memory at a time."""

    def map(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        *,
        threads: int = 0,
        ahead: int = 0,
        stopped: Event | None = None,
    ) -> Generator[R]:
        """Yield the result of a function for each item, in the order of the items.

        Args:
            function: The function. It must depend on its item alone, and must be picklable, for it may run elsewhere.
            items: What it is called with. They are asked for in this process, shortly before they are needed.
            threads: Number of threads, if the work is done in this process; 0 for none.
            ahead: Most results that the threads compute in advance.
            stopped: See `rows.in_order`.
        """


class Here:
    """Does the work in this process."""

    def map(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        *,
        threads: int = 0,
        ahead: int = 0,
        stopped: Event | None = None,
    ) -> Generator[R]:
        """Yield the result for each item; see `Workers.map`."""
        if threads:
            return in_order(function, items, threads=threads, ahead=ahead, stopped=stopped)
        return (function(item) for item in items)


HERE = Here()
"""The default of every function that takes workers."""


class NearProgress:
    """A progress within an item. It is heard in this process alone: a copy on a worker does nothing."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def __call__(self, done: int, total: int) -> None:
        """Report the work done and the total work."""
        if self.progress is not None:
            self.progress(done, total)

    def __reduce__(self) -> tuple[Any, ...]:
        return NearProgress, (None,)


@contextmanager
def workers_at(address: str | None, *, count: int | None = None) -> Iterator[Workers]:
    """Give the workers at an address, and let go of them at the end.

    Args:
        address: None for this process, "local" for new workers on this machine, "auto" for the cluster that this
            machine belongs to, or HOST:PORT of its head. In a program that is connected to a cluster by `ray.init`
            already, any address stands for that cluster.
        count: Number of workers; by default as many as the cluster has processors for. Each of them computes with as
            many threads as this process.

    Raises:
        ConfigError: If workers are asked for without an address, their number is below 1, the extra is not installed,
            or the cluster does not fit.
        ClusterError: If the cluster cannot be reached.
    """
    if count is not None and address is None:
        raise ConfigError("--workers: expected --ray beside it, which tells where they are")
    if count is not None and count < 1:
        raise ConfigError(f"--workers: expected at least 1, got {count}")
    if address is None:
        yield HERE
        return
    from voxlex.workers.on_ray import on_ray

    with on_ray(address, count=count) as workers:
        yield workers
