"""Work of the model for several clients at once: two bounded queues, one for quick answers and one for long jobs."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, TypeVar

from voxlex.errors import VoxlexError
from voxlex.names import printable

T = TypeVar("T")

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class BusyError(VoxlexError):
    """There is more work in a queue than it takes; the client should ask again later."""


class ClosedError(BusyError):
    """A queue takes no more work, because the explorer ends."""


class CancelledError(Exception):
    """A job was asked to stop."""


class Lane:
    """A thread that does one thing after another, and takes turns between clients.

    A client that asks for much waits for itself: of each client one thing is done, then the next client has its turn.

    Args:
        name: Name of the thread.
        at_most: How many things may wait.
    """

    def __init__(self, name: str, *, at_most: int) -> None:
        self._waiting: OrderedDict[str, deque[tuple[Callable[[], Any], Future[Any]]]] = OrderedDict()
        self._at_most = at_most
        self._changed = threading.Condition()
        self._closed = False
        self._last_used = 0.0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], *, client: str) -> "Future[T]":
        """Put work into the queue.

        Raises:
            BusyError: If the queue is full.
            ClosedError: If the queue is closed.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise ClosedError("the explorer ends, and takes no more work; start it again")
            if sum(map(len, self._waiting.values())) >= self._at_most:
                raise BusyError("the model is busy with other requests; try again in a moment")
            self._waiting.setdefault(client, deque()).append((work, future))
            self._last_used = time.monotonic()
            self._changed.notify()
        return future

    @property
    def idle_s(self) -> float:
        """Seconds since the lane was used last; 0 while something waits."""
        with self._changed:
            return 0.0 if self._waiting else time.monotonic() - self._last_used

    def close(self) -> None:
        """Let the thread end after what it does now. What waits is given up."""
        with self._changed:
            self._closed = True
            for waiting in self._waiting.values():
                for _, future in waiting:
                    future.cancel()
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout=30)

    def _next(self) -> "tuple[Callable[[], Any], Future[Any]] | None":
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            client, waiting = self._waiting.popitem(last=False)
            work = waiting.popleft()
            if waiting:
                self._waiting[client] = waiting
            return work

    def _work(self) -> None:
        while (item := self._next()) is not None:
            work, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # it belongs to whoever waits for the result
                future.set_exception(error)
            with self._changed:
                self._last_used = time.monotonic()


@dataclass(eq=False)
class Job:
    """Long work that shows how far it is and can be cancelled.

    Attributes:
        number: Number of the job.
        kind: What is done: "sample" or "region".
        request: What was asked for, in types that JSON can store.
        state: How the job stands.
        done: Work done.
        total: Total work; 0 if it is not known yet.
        error: Why it failed.
        result: The results so far; what they are depends on the kind.
        sketch: The result that is being made, as far as it is; None if there is nothing to see.
    """

    number: int
    kind: str
    request: dict[str, Any]
    state: State = "waiting"
    done: int = 0
    total: int = 0
    error: str = ""
    result: list[Any] = field(default_factory=list)
    sketch: Any = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def progress(self, done: int, total: int) -> None:
        """Note the progress, and raise CancelledError if the job is to stop."""
        self.done, self.total = done, total
        if self.stopping.is_set():
            raise CancelledError


class Jobs:
    """The long jobs of all clients. The last ones are kept with their results, so that a page can be reloaded.

    Args:
        lane: Where they are done.
        kept: How many finished jobs are kept.
    """

    def __init__(self, lane: Lane, *, kept: int = 12) -> None:
        self._lane = lane
        self._kept = kept
        self._numbers = count(1)
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, kind: str, request: dict[str, Any], work: Callable[[Job], None], *, client: str) -> Job:
        """Start a job.

        Args:
            kind: See `Job`.
            request: See `Job`.
            work: Function that does the work. It calls `job.progress`, and appends to `job.result`.
            client: Whose job it is.

        Raises:
            BusyError: If too many jobs wait.
        """
        job = Job(number=next(self._numbers), kind=kind, request=request)
        self._lane.submit(lambda: _run(job, work), client=client)
        with self._lock:
            self._jobs[job.number] = job
            finished = [number for number, one in self._jobs.items() if one.state in ("done", "failed", "cancelled")]
            for number in finished[: max(0, len(self._jobs) - self._kept)]:
                del self._jobs[number]
        return job

    def get(self, number: int) -> Job | None:
        """Return a job; None if there is no such job, or it is no longer kept."""
        with self._lock:
            return self._jobs.get(number)

    def all(self) -> list[Job]:
        """Return all jobs that are kept, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def cancel(self, number: int) -> None:
        """Ask a job to stop. What it has made so far is kept."""
        job = self.get(number)
        if job is not None and job.state in ("waiting", "running"):
            job.stopping.set()
            if job.state == "waiting":
                job.state = "cancelled"

    def discard(self, number: int) -> None:
        """Stop a job and forget it."""
        self.cancel(number)
        with self._lock, suppress(KeyError):
            del self._jobs[number]


def _run(job: Job, work: Callable[[Job], None]) -> None:
    if job.stopping.is_set():
        return
    job.state = "running"
    try:
        work(job)
    except CancelledError:
        job.state = "cancelled"
    except Exception as error:
        job.error = printable(" ".join(str(error).split())) or type(error).__name__
        job.state = "failed"
    else:
        job.state = "done"
    finally:
        job.sketch = None
