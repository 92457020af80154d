"""Record a training step once as CUDA graphs, and replay it.

A step of a small network consists of some thousand kernels of a few microseconds. Python needs longer to launch them
one by one than a GPU needs to compute them. A CUDA graph launches them all at once.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from voxlex.training.objective import Objective, OnePlayer, Step
from voxlex.training.team import Team

_PLAIN_STEPS = 5
"""Steps that are taken one kernel at a time before they are recorded: libraries choose their kernels in these."""


def recorded(objective: Objective[Any], team: Team) -> "RecordedSteps | None":
    """Return a function that records and replays the steps of an objective; None where that cannot be done."""
    alone_on_gpu = team.alone and team.fabric.device.type == "cuda" and objective.accumulate == 1
    return RecordedSteps(objective, team) if alone_on_gpu and isinstance(objective, OnePlayer) else None


class RecordedSteps:
    """Takes the steps of an objective, from CUDA graphs as soon as the work of a step is the same as before.

    There are two graphs, one up to the gradient and one for the optimizer. Between them, the norm of the gradient is
    read, so that a step whose gradient is not finite is left out.

    Args:
        objective: The objective, whose players are on a GPU.
        team: The devices.
    """

    def __init__(self, objective: OnePlayer[Any], team: Team) -> None:
        self.objective = objective
        self.fabric = team.fabric
        # Not the default stream, on which nothing can be recorded. Gradients remember the stream of their first step.
        self.stream = torch.cuda.Stream(self.fabric.device)
        self.work: Hashable | None = None
        self.plain = 0
        self.replay: Callable[[Any], Step] | None = None

    def __call__(self, batch: Any, *, progress: float) -> Step:
        """Take a step, by a replay if there is a record of its work."""
        work = self.objective.work(progress=progress)
        if work is None or work != self.work:
            self.work, self.plain, self.replay = work, 0, None
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            if work is None or self.plain < _PLAIN_STEPS:
                self.plain += 1
                step = self.objective.update(self.fabric, batch, progress=progress)
            else:
                self.objective.begin(progress=progress)
                self.replay = self.replay or self._record(batch, progress)
                step = self.replay(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return step

    def _record(self, batch: Any, progress: float) -> Callable[[Any], Step]:
        player = self.objective.player
        given = apply_to_collection(batch, Tensor, torch.clone)
        to_gradient, to_update = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        player.optimizer.zero_grad()  # so that gradients get their memory in the graph, and are not added up
        with torch.cuda.graph(to_gradient, stream=self.stream, capture_error_mode="thread_local"):
            step = self.objective.forward(given, progress=progress)
            norm = player.gradient(self.fabric, step.losses.values())
        with torch.cuda.graph(
            to_update, pool=to_gradient.pool(), stream=self.stream, capture_error_mode="thread_local"
        ):
            player.optimizer.step()

        def replay(batch: Any) -> Step:
            for own, new in zip(_tensors(given), _tensors(batch), strict=True):
                own.copy_(new, non_blocking=True)
            to_gradient.replay()
            if player.accepts(norm):
                to_update.replay()
            return step

        return replay


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    else:
        for part in batch:
            yield from _tensors(part)
