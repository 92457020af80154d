"""Processes that train together on one machine: the first starts the others, and watches that they are there."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from lightning_fabric.plugins.environments import ClusterEnvironment

_STARTED_BY = "VOXLEX_STARTED_BY"  # names the first process to those that it starts
_LOOK_EVERY_S = 0.5
_GRACE_S = 10.0  # for the training to end by itself, once a process is missing


def is_first_process() -> bool:
    """Return whether this is the process that speaks for all; it may be asked before training starts, too."""
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0")))
    return rank == "0"


class Watch:
    """Looks from a thread of its own whether the processes of a training are alive.

    The first process looks at those that it started; these look at the first. A training that waits for a process
    that is gone most often fails at once. Where it goes on waiting, as on a GPU, the watch ends the process.

    Args:
        others: The processes that this one has started, the one of rank 1 first; none, if it was started itself.
        first: The number of the process that started this one.
    """

    def __init__(self, others: Sequence[subprocess.Popen[bytes]] = (), *, first: int | None = None) -> None:
        self._others = others
        self._first = first
        self._over = False
        threading.Thread(target=self._look, daemon=True, name="watch").start()

    def missing(self) -> str | None:
        """Return which process is gone, in words; None if all are there as far as can be seen from here."""
        ended = {rank: status for rank, process in enumerate(self._others, start=1) if (status := process.poll())}
        if ended:
            # One that was killed goes before those that ended because of it.
            rank = min(ended, key=lambda rank: (ended[rank] > 0, rank))
            how = signal.Signals(-ended[rank]).name if ended[rank] < 0 else f"exit status {ended[rank]}"
            return f"process {rank} of {len(self._others) + 1} ended by {how}"
        if self._first is not None and os.getppid() != self._first:
            return "the first process ended"
        return None

    def wait_for_missing(self, *, seconds: float) -> str | None:
        """Return which process is gone; one whose connection is closed may take a moment to end."""
        deadline = time.monotonic() + seconds
        while (missing := self.missing()) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return missing

    def release(self) -> None:
        """Stop looking: from now on the processes end one after the other, each in its own time."""
        self._over = True

    def _look(self) -> None:
        while not self._over:
            time.sleep(_LOOK_EVERY_S)
            missing = self.missing()
            if missing is not None:
                time.sleep(_GRACE_S)
                if not self._over:
                    self._end(missing)

    def _end(self, missing: str) -> None:
        if self._others or is_next_in_line():
            told = f"{missing}, and the others cannot go on without it; --resume goes on from the last saved state"
            print(f"voxlex: {told}", file=sys.stderr, flush=True)
        for process in self._others:
            process.kill()
        os._exit(1)

    def wait_for_others(self) -> None:
        """Let the processes that this one has started come to their end, and end those that do not."""
        self.release()
        deadline = time.monotonic() + _GRACE_S
        for process in self._others:
            try:
                process.wait(timeout=max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()


def is_next_in_line() -> bool:
    """Return whether this process speaks if the first one is gone."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK")) == "1"


def start_others(count: int, environment: ClusterEnvironment) -> Watch | None:
    """Start the command that runs in this process once more for each further device; return what watches over them.

    Nothing is started by a process that was started itself, here or by a launcher such as torchrun; only what was
    started here is watched.

    Args:
        count: Number of processes in all.
        environment: Where they find each other.
    """
    if "LOCAL_RANK" in os.environ:
        return Watch(first=int(os.environ[_STARTED_BY])) if _STARTED_BY in os.environ else None
    # Fabric starts processes, too, but kills the first without a word as soon as it finds one of the others gone.
    os.environ |= {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "WORLD_SIZE": str(count),
        "NODE_RANK": "0",
        "LOCAL_RANK": "0",
    }
    command = [sys.executable, *sys.orig_argv[1:]]
    ranks = [os.environ | {"LOCAL_RANK": str(rank), _STARTED_BY: str(os.getpid())} for rank in range(1, count)]
    watch = Watch([subprocess.Popen(command, env=variables) for variables in ranks])
    atexit.register(watch.wait_for_others)
    return watch
