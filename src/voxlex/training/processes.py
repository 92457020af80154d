"""Processes that train together on one machine. The first process starts the others and watches them."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_fabric.plugins.environments import ClusterEnvironment

_STARTED_BY = "VOXLEX_STARTED_BY"  # tells started processes the id of the first process
_LOOK_EVERY_S = 0.5
_GRACE_S = 10.0  # time for training to end by itself after a process is lost


@dataclass(frozen=True)
class Launched:
    """The processes that a launcher has started: torchrun, or Slurm's srun.

    Attributes:
        on_each: Number of processes on each machine.
        machines: Number of machines.
    """

    on_each: int
    machines: int


def launched() -> Launched | None:
    """Return what a launcher has started, by its environment variables; None without a launcher.

    A job of Slurm with a single task starts its own processes, as a laptop does.
    """
    known = os.environ
    if _STARTED_BY in known:
        return None
    if "LOCAL_RANK" in known and "WORLD_SIZE" in known:
        on_each = int(known.get("LOCAL_WORLD_SIZE", known["WORLD_SIZE"]))
        return Launched(on_each, int(known["WORLD_SIZE"]) // on_each)
    tasks = int(known.get("SLURM_NTASKS", "1"))
    if tasks > 1 and "SLURM_PROCID" in known and known.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        machines = int(known.get("SLURM_NNODES", "1"))
        return Launched(tasks // machines, machines)
    return None


def is_first_process() -> bool:
    """Return whether this is the first process. This also works before training starts."""
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0")))
    return rank == "0"


class Watch:
    """Watches in its own thread whether the processes of a training are alive, until they have met; see `Pulse`.

    The first process watches the processes that it started, and these watch the first process.

    Args:
        others: The processes that this one has started, in the order of their ranks; empty for a started process.
        first: The id of the process that started this one.
    """

    def __init__(self, others: Sequence[subprocess.Popen[bytes]] = (), *, first: int | None = None) -> None:
        self.others = others
        self._first = first
        self._over = False
        threading.Thread(target=self._look, daemon=True, name="watch").start()

    def missing(self) -> str | None:
        """Return a description of a lost process; None if all processes seem to be alive."""
        ended = {rank: status for rank, process in enumerate(self.others, start=1) if (status := process.poll())}
        if ended:
            # A process that was killed is reported before those that ended because of it.
            rank = min(ended, key=lambda rank: (ended[rank] > 0, rank))
            how = signal.Signals(-ended[rank]).name if ended[rank] < 0 else f"exit status {ended[rank]}"
            return f"process {rank} of {len(self.others) + 1} ended by {how}"
        if self._first is not None and os.getppid() != self._first:
            return "the first process ended"
        return None

    def release(self) -> None:
        """Stop watching, because the processes have met, or are about to end one after the other."""
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
        if self.others or is_next_in_line():
            told = f"{missing}, and the others cannot continue without it; --resume continues from the last saved state"
            print(f"voxlex: {told}", file=sys.stderr, flush=True)
        for process in self.others:
            process.kill()
        os._exit(1)

    def wait_for_others(self) -> None:
        """Wait until the started processes end, and kill those that do not end."""
        self.release()
        deadline = time.monotonic() + _GRACE_S
        for process in self.others:
            try:
                process.wait(timeout=max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()


def is_next_in_line() -> bool:
    """Return whether this process reports errors if the first one is lost."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK")) == "1"


def start_others(count: int, environment: ClusterEnvironment) -> Watch | None:
    """Start the command of this process again for each further device, and return the watch over these processes.

    A process that was started by this function, or by a launcher such as torchrun, does not start others.

    Args:
        count: Total number of processes.
        environment: Address at which the processes find each other.
    """
    if "LOCAL_RANK" in os.environ or launched() is not None:
        return Watch(first=int(os.environ[_STARTED_BY])) if _STARTED_BY in os.environ else None
    # Fabric can start processes, too, but it kills the first one without a message if another one is lost.
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
