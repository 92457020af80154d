"""Communication between the processes of a training, so that they act together and end together."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from lightning_fabric import Fabric
from lightning_fabric.strategies import ParallelStrategy
from torch import Tensor, distributed

from voxlex.errors import Interrupted, Terminated, ToldElsewhere, TrainingError, VoxlexError
from voxlex.training.pace import Pace
from voxlex.training.processes import Watch
from voxlex.training.pulse import Pulse, Trouble, end_process, store_at

T = TypeVar("T")

_SIGNS_OF_A_LOST_PROCESS = ("gloo", "nccl", "connection closed", "connection reset")
_HEARD_S = 2.0  # after which all processes have heard of an error of one


class Team:
    """Exchanges values other than gradients between the processes of a training.

    They communicate on the CPU through a separate group, so that they do not wait for a GPU. A single process does not
    communicate at all.

    Args:
        fabric: The devices.
        watch: The watch over the processes, if they were started here.
    """

    def __init__(self, fabric: Fabric, watch: Watch | None = None) -> None:
        self.fabric = fabric
        self.alone = fabric.world_size == 1
        self.first = fabric.is_global_zero
        self.rank = fabric.global_rank
        self.size = fabric.world_size
        self.watch = watch
        self._pace = Pace(self._expect)
        self._all_know = False
        self._group: distributed.ProcessGroup | None = None
        self._pulse: Pulse | None = None
        if not self.alone:
            self._group = distributed.new_group(backend="gloo")
            self._pulse = self._new_pulse()

    def _new_pulse(self) -> Pulse:
        assert isinstance(self.fabric.strategy, ParallelStrategy)
        meeting = self.fabric.strategy.cluster_environment
        assert meeting is not None
        store = store_at(meeting.main_address, meeting.main_port)
        if self.watch is not None:
            self.watch.release()
        return Pulse(store, rank=self.rank, size=self.size, end=self._end_now)

    def most(self, *values: float) -> tuple[float, ...]:
        """Return the maximum of each value over all processes."""
        if self.alone:
            return values
        together = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(together, op=distributed.ReduceOp.MAX, group=self._group)
        return tuple(together.tolist())

    def of_first(self, value: float) -> float:
        """Return the value of the first process."""
        return self.most(value if self.first else -torch.inf)[0]

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all processes. The list is complete only in the first process."""
        if self.alone:
            return [value]
        values = [None] * self.size if self.first else None
        distributed.gather_object(value, values, dst=0, group=self._group)
        return values or [value]

    def own(self, count: int) -> slice:
        """Return which of so many things this process does: the next ones after those of the process before.

        Each does as many, but the last ones may have fewer, or none.
        """
        each = -(-count // self.size)
        return slice(min(each * self.rank, count), min(each * (self.rank + 1), count))

    def joined(self, rows: Shaped[Tensor, "m *shape"]) -> Shaped[Tensor, "n *shape"]:
        """Return the rows of all processes in their order, in all of them. Each has as many, on the CPU."""
        if self.alone:
            return rows
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(self.size)]
        distributed.all_gather(parts, rows.contiguous(), group=self._group)
        return torch.cat(parts)

    def in_turn(self, work: Callable[[], T], *, note: str) -> T:
        """Let the first process work, then the first one of each further machine, and then all others.

        So what the first one leaves in files is there for all that see them, and is made once on each machine that
        does not. The others wait for as long as it takes.

        Args:
            work: The work.
            note: Name of the work, a different one for each call.

        Raises:
            ToldElsewhere: If the work fails in a process for which this one waits.
        """
        if self._pulse is None:
            return work()
        machine = f"{note} on machine {self.fabric.node_rank}"
        if not self.first:
            self._pulse.wait_for(note)
            if self.fabric.local_rank:
                self._pulse.wait_for(machine)
            if self._pulse.trouble is not None:
                raise self._told(self._pulse.trouble)
        done = work()
        if self.fabric.local_rank == 0:
            self._pulse.post(machine)
        if self.first:
            self._pulse.post(note)
        return done

    def working(self, kind: str) -> AbstractContextManager[None]:
        """Expect that work of a kind, such as "steps", gets on until the block ends; see `Pace`."""
        return self._pace.of(kind)

    def gets_on(self) -> None:
        """Tell that a piece of the work is done."""
        self._pace.gets_on()

    def ending(self, error: VoxlexError) -> VoxlexError:
        """Return the error to raise in this process when all processes end. Only the first process reports it."""
        self._stop()
        return error if self.first else ToldElsewhere(str(error), status=_status(error))

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """End all processes if one fails, with one report. After the block, each goes its own way.

        The block must end at the same place in all processes, such as a barrier.

        Raises:
            ToldElsewhere: If another process reports why all end.
        """
        try:
            yield
        except BaseException as error:
            if self._pulse is None or self._all_know:
                raise
            self._announce(self._pulse, error)
            if isinstance(error, VoxlexError) and not self.first:
                raise TrainingError(f"process {self.rank} of {self.size}: {error}") from error
            raise
        finally:
            self._stop()

    def _announce(self, pulse: Pulse, error: BaseException) -> None:
        if isinstance(error, VoxlexError) and not self.first:
            time.sleep(_HEARD_S)  # usually the first process meets the same error, and reports it
        speaks = pulse.has_the_word()
        pulse.announce(_status(error))
        self._let_others_ask()
        if not speaks:
            raise ToldElsewhere(str(error), status=_status(error)) from error

    @contextmanager
    def naming_the_lost(self, name: str) -> Iterator[None]:
        """Convert errors about lost processes to an error that says what to do.

        Raises:
            TrainingError: If a process is lost, in one of the others.
            ToldElsewhere: If a process is lost, in all other processes.
        """
        try:
            yield
        except RuntimeError as cause:
            if self._pulse is None or not any(sign in str(cause).lower() for sign in _SIGNS_OF_A_LOST_PROCESS):
                raise
            trouble = self._trouble(self._pulse)
            if trouble.status is not None:
                raise self._told(trouble) from cause
            told = f"{name}: {trouble.what}, and the others cannot continue without it"
            error = f"{told}; --resume continues from the last saved state"
            speaks = self._pulse.has_the_word()
            self._stop()
            raise (TrainingError(error) if speaks else ToldElsewhere(error)) from cause

    def _trouble(self, pulse: Pulse) -> Trouble:
        """Return why a process is lost, and wait for it if necessary, since it may take a moment to be known."""
        deadline = time.monotonic() + _HEARD_S
        while (trouble := pulse.trouble or self._missing()) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return trouble or Trouble("a process was lost")

    def _missing(self) -> Trouble | None:
        missing = None if self.watch is None else self.watch.missing()
        return None if missing is None else Trouble(missing)

    def _told(self, trouble: Trouble) -> ToldElsewhere:
        self._stop()
        return ToldElsewhere(trouble.what, status=trouble.status or 1)

    def _end_now(self, trouble: Trouble) -> None:
        """End this process, which does not end by itself."""
        assert self._pulse is not None
        speaks = trouble.status is None and self._pulse.has_the_word()
        self._let_others_ask()
        end_process(trouble, speaks=speaks, others=() if self.watch is None else self.watch.others)

    def _let_others_ask(self) -> None:
        """Wait until the others have heard of an end if the place where they meet may be in this process."""
        if self.first and self.watch is None:
            time.sleep(_HEARD_S)

    def _expect(self, seconds: float | None) -> None:
        if self._pulse is not None:
            self._pulse.expect(seconds)

    def _stop(self) -> None:
        self._all_know = True
        if self._pulse is not None:
            self._pulse.stop()
        if self.watch is not None:
            self.watch.release()


def _status(error: BaseException) -> int:
    """Return the exit status of an error."""
    if isinstance(error, Interrupted | Terminated):
        return 128 + error.number
    return 130 if isinstance(error, KeyboardInterrupt) else error.status if isinstance(error, ToldElsewhere) else 1
