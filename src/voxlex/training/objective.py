"""The base classes of objectives, which say what a stage of training optimizes and how it is validated."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from lightning_fabric import Fabric
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from voxlex.training.pictures import Shown
from voxlex.training.player import Player
from voxlex.training.team import Team

Batch = TypeVar("Batch")
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Step:
    """The result of a training step: its loss terms, and a function that computes figures to show."""

    losses: Mapping[str, Float[Tensor, ""]]
    measure: Callable[[], dict[str, float]]


class Objective(ABC, Generic[Batch]):
    """Base class of objectives: modules that learn, the rows that they learn from, and the update in one step.

    Attributes:
        name: Name of the stage, which also names its files in the run folder.
        players: The modules that learn, with their optimizers, by name.
        result: The module whose weights the run keeps.
        rows: Number of training rows.
        yardstick: Validation figure by which the best weights are chosen; smaller is better. With None, the last
            weights are kept.
        begins_well: Whether the weights before the first step may be the best.
        shown: Pictures of held-out rows at the last validation; None if there is nothing to see.
        accumulate: Number of equal parts of a batch that are computed one after the other, with gradients that add up.
        team: The processes that train; None if there is only this one. They share the held-out rows.
    """

    name: str
    players: Mapping[str, Player]
    result: nn.Module
    rows: int
    yardstick: str | None = None
    begins_well: bool = False
    shown: Shown | None = None
    accumulate: int = 1
    team: Team | None = None

    def keep_on(self, device: torch.device) -> bool:
        """Keep the training rows on a GPU, if they fit there, and return whether batches come from there now."""
        return False

    @abstractmethod
    def load(self, rows: Int64[Tensor, " b"], *, step: int) -> Batch:
        """Load a batch. All randomness in it is determined by the rows and the step."""

    @abstractmethod
    def update(self, fabric: Fabric, batch: Batch, *, progress: float) -> Step:
        """Take one step of each player.

        Args:
            fabric: The devices.
            batch: What `load` returned, on the device: the rows of the whole step in this process.
            progress: Share of the budget that is spent, from 0 up to 1.
        """

    @abstractmethod
    def validate(self, *, progress: float) -> dict[str, float]:
        """Return the figures of held-out rows, which are the same in all processes. The players are in eval mode.

        Args:
            progress: Share of the budget that was spent when the last step began.
        """

    def alarm(self, *, progress: float) -> str | None:
        """Return a warning, if the last validation calls for one."""
        return None

    def state(self) -> dict[str, float]:
        """Return what the objective must remember to resume, beside its players."""
        return {}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore what `state` returned."""

    def gives_up(self) -> bool:
        """Return whether further training would only do harm, by the last validations."""
        return False

    def shown_of_all(self, parts: Sequence[Shown], *, rows: int) -> Shown:
        """Return a few pictures of those that all processes have made of `own_rows`."""
        own = [torch.from_numpy(np.concatenate(some)) for some in zip(*parts, strict=True)]
        return Shown.joined([Shown(*(self.of_all(pictures, rows=rows).numpy() for pictures in own))])

    def own_rows(self, rows: Int64[Tensor, " n"]) -> Int64[Tensor, " m"]:
        """Return the held-out rows that this process computes, as many as every other process.

        If they cannot be divided evenly, the last row is repeated at the end; `of_all` leaves these rows out again.
        """
        if self.team is None or self.team.alone:
            return rows
        each = -(-len(rows) // self.team.size)
        return rows[(torch.arange(each) + each * self.team.rank).clamp(max=len(rows) - 1)]

    def in_pieces(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yield pieces of work, such as of a validation, and tell the other processes after each that it gets on."""
        for piece in pieces:
            yield piece
            if self.team is not None:
                self.team.gets_on()

    def of_all(self, own: Shaped[Tensor, "m *shape"], *, rows: int) -> Shaped[Tensor, "n *shape"]:
        """Return, in all processes and on the CPU, what they have computed of `own_rows`, in the order of the rows."""
        return own.cpu() if self.team is None else self.team.joined(own.cpu())[:rows]


class OnePlayer(Objective[Batch]):
    """Base class of objectives with one player, whose step is a forward pass and a gradient step.

    Attributes:
        player: The module that learns.
    """

    player: Player

    def begin(self, *, progress: float) -> None:
        """Set what depends on the progress, before a forward pass."""

    @abstractmethod
    def forward(self, batch: Batch, *, progress: float) -> Step:
        """Compute the losses of a batch."""

    def work(self, *, progress: float) -> Hashable | None:
        """Return what tells apart steps that do different work; None if the work depends on numbers on the device.

        Steps of equal work can be recorded once and replayed; see `recording`.
        """
        return None

    def expect_more(self, more: bool) -> None:
        """Set whether further parts of the same batch follow."""

    def update(self, fabric: Fabric, batch: Batch, *, progress: float) -> Step:
        """Take a gradient step."""
        self.begin(progress=progress)
        if self.accumulate > 1:
            return self._update_by_parts(fabric, batch, progress=progress)
        step = self.forward(batch, progress=progress)
        self.player.descend(fabric, step.losses.values())
        return step

    def _update_by_parts(self, fabric: Fabric, batch: Batch, *, progress: float) -> Step:
        steps: list[Step] = []
        self.player.optimizer.zero_grad()
        for place, part in enumerate(parts_of(batch, self.accumulate)):
            more = place + 1 < self.accumulate
            self.expect_more(more)
            with self.player.adding_up(fabric, more=more):
                steps.append(self.forward(part, progress=progress))
                fabric.backward(torch.stack(list(steps[-1].losses.values())).sum() / self.accumulate)
        if self.player.accepts(self.player.clipped(fabric)):
            self.player.optimizer.step()
        return mean_step(steps)


def parts_of(batch: Batch, count: int) -> Iterator[Batch]:
    """Yield equal parts of the rows of a batch."""
    for place in range(count):

        def part(rows: Tensor, place: int = place) -> Tensor:
            return rows.chunk(count)[place]

        yield apply_to_collection(batch, Tensor, part)


def mean_step(steps: Sequence[Step]) -> Step:
    """Return the step whose losses are the means of those of its parts, and whose measures are those of the last."""
    losses = {name: torch.stack([step.losses[name].detach() for step in steps]).mean() for name in steps[0].losses}
    return Step(losses=losses, measure=steps[-1].measure)
