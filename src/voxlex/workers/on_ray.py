"""Workers on Ray: tasks that are retried when a worker dies, a few of them at a time."""

import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import threading
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from voxlex.errors import ClusterError, ConfigError
from voxlex.files import workplace

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3
"""How often an item is tried again after the worker that had it has died."""

_IN_FLIGHT = 3  # items for each worker: one that it works on, and two that wait, so that it never does
_STORE = 2**29  # bytes that items and results may take on this machine; more of them go to the disk
_SECONDS = 5.0

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else workers get only what other work on the machine leaves
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what it would print to the output of commands when a worker dies
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of what it will do in later versions
}

_OF_THE_PROCESSOR = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE")
"""Variables that decide how numbers are rounded. Workers on other machines get them, too."""

_KEPT = 4
"""Functions that a worker keeps. A command has up to three at a time."""

_functions: dict[str, Callable[[Any], Any]] = {}


class _Function(NamedTuple):
    """What workers must know of a function: its key, where it is stored, how they compute, and by which versions."""

    key: str
    stored: Any
    threads: int
    versions: dict[str, str]


class RayWorkers:
    """Does work on a Ray cluster that this process is connected to.

    Args:
        ray: The module.
        count: Number of workers.
        threads: Threads that each of them computes with.
    """

    def __init__(self, ray: Any, *, count: int, threads: int) -> None:
        self.ray = ray
        self.count = count
        self.threads = threads
        self._task = ray.remote(num_cpus=threads, max_retries=RETRIES)(_work)

    def map(self, function: Callable[[T], R], items: Iterable[T], **here: Any) -> Generator[R]:
        """Yield the result for each item; see `Workers.map`.

        If the caller wants no more, the few items that are under way end by themselves. Ray would cancel them by a
        KeyboardInterrupt wherever they are, and a worker that was importing PyTorch then cannot import it again.

        Raises:
            ClusterError: If workers have died at the same item again and again.
            Exception: What the function raises.
        """
        # The function holds the model. It is stored once, and each worker keeps it for all of its items.
        own = _Function(uuid.uuid4().hex, self.ray.put(function), self.threads, _versions())
        pending: deque[Any] = deque()
        for item in items:
            pending.append(self._task.remote(own, item))
            if len(pending) >= _IN_FLIGHT * self.count:
                yield self._result(pending.popleft())
        while pending:
            yield self._result(pending.popleft())

    def _result(self, task: Any) -> Any:
        try:
            error, result = self.ray.get(task)
        except self.ray.exceptions.RayTaskError as cause:
            reason = " ".join(str(cause.cause).split())
            raise ClusterError(
                f"--ray: a worker cannot begin: {reason}; voxlex must be installed on every machine of the cluster"
            ) from cause
        except self.ray.exceptions.RayError as cause:
            raise ClusterError(
                f"--ray: expected a result from a worker, but {RETRIES + 1} tries of one item failed, the last by "
                f"{type(cause).__name__}; its memory may not suffice, so try fewer workers on each machine"
            ) from cause
        if error is not None:
            raise error
        return result


def _work(function: _Function, item: Any) -> tuple[Exception | None, Any]:
    """Do an item in a worker, and return an error as it is, not as Ray would wrap it."""
    try:
        if function.key not in _functions:
            _keep(function)
        return None, _functions[function.key](item)
    except Exception as error:
        return _sendable(error), None


def _keep(function: _Function) -> None:
    import ray
    import torch

    if _versions() != function.versions:
        raise ClusterError(
            f"--ray: expected {_listed(function.versions)} on every machine of the cluster, got {_listed(_versions())}"
        )
    torch.set_num_threads(function.threads)
    if len(_functions) >= _KEPT:
        _functions.pop(next(iter(_functions)))  # the oldest, with its model
    _functions[function.key] = ray.get(function.stored)


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("voxlex", "torch", "numpy")}


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _sendable(error: Exception) -> Exception:
    """Return an error that can be pickled, with the traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def on_ray(address: str, *, count: int | None) -> Iterator[RayWorkers]:
    """Connect to a cluster, and disconnect at the end; see `workers.workers_at`."""
    _check_address(address)
    ray = _imported(address)
    import torch

    threads = torch.get_num_threads()
    with ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_connected(ray, address, cpus=threads * (count or _local_count(threads))))
        room = _room(ray, threads)
        yield RayWorkers(ray, count=count or room, threads=threads)


def _check_address(address: str) -> None:
    """Refuse what is not an address, and an address that nothing listens at, which Ray would try for minutes."""
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or "/" in host:
        raise ConfigError(
            f"--ray: expected local, auto, or HOST:PORT of the head of a cluster that this machine belongs to, got "
            f"{address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as cause:
        reason = getattr(cause, "strerror", None) or str(cause)
        raise ClusterError(f"--ray {address}: no cluster can be reached there: {reason}") from cause


def _imported(address: str) -> Any:
    """Import Ray with the settings above, which it reads when it is imported or starts something."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if address == "local" and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        # Ray's ports run what they are sent. So who can reach those of this cluster must know a word.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
    except ImportError as cause:
        raise ConfigError(
            f"--ray: expected the packages of the extra 'cluster', got an installation without {cause.name}; "
            "pip install 'voxlex[cluster]'"
        ) from cause
    return ray


@contextmanager
def _connected(ray: Any, address: str, *, cpus: int) -> Iterator[None]:
    """Start a cluster on this machine, or connect to one that runs."""
    with ExitStack() as stack:
        if address == "local":
            short = Path("/tmp")  # for logs and sockets, whose paths must be short
            place = stack.enter_context(workplace(short if short.is_dir() else None))
            where: dict[str, Any] = {"num_cpus": cpus, "num_gpus": 0, "object_store_memory": _STORE}
            where |= {"address": "local", "include_dashboard": False, "_temp_dir": str(place)}
        else:
            given = {name: os.environ[name] for name in _OF_THE_PROCESSOR if name in os.environ}
            where = {"address": address, **({"runtime_env": {"env_vars": given}} if given else {})}
        stack.callback(ray.shutdown)
        with _signals_kept():
            try:
                ray.init(**where, log_to_driver=False, logging_level=logging.CRITICAL)
            except Exception as cause:  # Ray has no class for them
                reason = " ".join(str(cause).split()) or type(cause).__name__
                raise ClusterError(f"--ray {address}: cannot be used: {reason}") from cause
        yield


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep what happens at SIGTERM; Ray would end the process on the spot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def _local_count(threads: int) -> int:
    """Return how many workers this machine has processors for."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, own // threads)


def _room(ray: Any, threads: int) -> int:
    """Return how many workers a cluster has processors for."""
    cpus = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    room = sum(own // threads for own in cpus)
    if not room:
        raise ConfigError(
            f"--ray: expected machines with {threads} processors, as many as this process has threads, got at most "
            f"{max(cpus, default=0)}; set OMP_NUM_THREADS to this number"
        )
    return room
