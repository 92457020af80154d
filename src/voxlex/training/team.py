"""Communication between the processes of a training, so that they act together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import distributed

from voxlex.errors import ToldElsewhere, TrainingError, VoxlexError
from voxlex.training.processes import Watch, is_next_in_line

_SIGNS_OF_A_LOST_PROCESS = ("gloo", "nccl", "connection closed", "connection reset")


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
        self._size = fabric.world_size
        self._watch = watch
        self._group = None if self.alone else distributed.new_group(backend="gloo")

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
        values = [None] * self._size if self.first else None
        distributed.gather_object(value, values, dst=0, group=self._group)
        return values or [value]

    def ending(self, error: VoxlexError) -> VoxlexError:
        """Return the error to raise in this process when all processes end. Only the first process reports it."""
        if self._watch is not None:
            self._watch.release()
        return error if self.first else ToldElsewhere(str(error))

    @contextmanager
    def naming_the_lost(self, name: str) -> Iterator[None]:
        """Convert errors about lost processes to an error that says what to do.

        Raises:
            TrainingError: If a process is lost, in the first process, or in the next one if the first is lost.
            ToldElsewhere: If a process is lost, in all other processes.
        """
        try:
            yield
        except RuntimeError as cause:
            if self.alone or not any(sign in str(cause).lower() for sign in _SIGNS_OF_A_LOST_PROCESS):
                raise
            missing = self._watch.wait_for_missing(seconds=2.0) if self._watch is not None else None
            if self._watch is not None:
                self._watch.release()
            told = f"{name}: {missing or 'a process was lost'}, and the others cannot continue without it"
            speaks = self.first or (missing is not None and is_next_in_line())
            error = f"{told}; --resume continues from the last saved state"
            raise (TrainingError(error) if speaks else ToldElsewhere(error)) from cause
