"""A module that learns, together with its optimizer."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from voxlex.config import StageConfig
from voxlex.training.checkpoint import check_optimizer
from voxlex.training.devices import lay_out_channels_last
from voxlex.training.optimizers import optimizer_of
from voxlex.training.sharding import Sharded, divided, load_whole, norm_of_clipped, whole


class Player:
    """A module and its optimizer. They are moved to the devices by `set_up`.

    Args:
        module: The module that learns.
        optimizer: The optimizer of its parameters. Its learning rates are the peaks of the schedule.
        gradient_clip: Norm to which larger gradients are clipped.
        forward_methods: Methods of the module, other than `forward`, that compute losses.

    Attributes:
        sharded: Whether to divide the parameters among the processes; set it before `set_up`.
        skipped: Number of steps that were left out because the gradient was not finite.
        skipped_in_a_row: How many of these were the last steps.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        *,
        gradient_clip: float,
        forward_methods: Iterable[str] = (),
    ) -> None:
        self.module = module
        self.optimizer = optimizer
        self.gradient_clip = gradient_clip
        self.forward_methods = tuple(forward_methods)
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.on_devices: Any = module
        self.precision: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.sharded = False
        self.skipped = 0
        self.skipped_in_a_row = 0

    @classmethod
    def scheduled(cls, module: nn.Module, schedule: StageConfig, *, forward_methods: Iterable[str] = ()) -> "Player":
        """Return a player with the optimizer of a schedule."""
        optimizer = optimizer_of(module, schedule)
        return cls(module, optimizer, gradient_clip=schedule.gradient_clip, forward_methods=forward_methods)

    def set_up(self, fabric: Fabric) -> None:
        """Move the module and the optimizer to the devices."""
        self.precision = fabric.autocast
        divides = self.sharded and fabric.world_size > 1
        if not divides:  # only contiguous tensors can be divided
            lay_out_channels_last(self.module)
        if fabric.device.type == "cuda":
            _make_recordable(self.optimizer, fabric.device)
        if divides:
            self._shard(fabric)
            return
        self.on_devices, optimizer = fabric.setup(self.module, self.optimizer)
        self.optimizer = optimizer
        for method in self.forward_methods:
            self.on_devices.mark_forward_method(method)

    def _shard(self, fabric: Fabric) -> None:
        names = {parameter: name for name, parameter in self.module.named_parameters()}
        self.on_devices = Sharded(self.module, fabric, methods=self.forward_methods)
        parts = dict(self.module.named_parameters())
        for group in self.optimizer.param_groups:
            group["params"] = [parts[names[parameter]] for parameter in group["params"]]

    def compute(self, method: str, *arguments: Any) -> Any:
        """Call one of the forward methods on the devices, in their precision.

        Fabric calls it in float32 if a single process holds the module.
        """
        with self.precision():
            return getattr(self.on_devices, method)(*arguments)

    def set_rate(self, factor: float) -> None:
        """Multiply the peak learning rates by a factor, and set them."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(peak * factor)
            else:
                group["lr"] = peak * factor

    def descend(self, fabric: Fabric, losses: Iterable[Float[Tensor, ""]]) -> None:
        """Take a gradient step that decreases the sum of some losses, unless the gradient is not finite.

        All processes have the same gradient, so they leave out the same steps.
        """
        if self.accepts(self.gradient(fabric, losses)):
            self.optimizer.step()

    def gradient(self, fabric: Fabric, losses: Iterable[Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Compute the clipped gradient of the sum of some losses, and return its norm before it was clipped."""
        self.optimizer.zero_grad()
        fabric.backward(torch.stack(list(losses)).sum())
        return self.clipped(fabric)

    @contextmanager
    def adding_up(self, fabric: Fabric, *, more: bool) -> Iterator[None]:
        """Add the gradient of the block to what is there.

        Args:
            fabric: The devices.
            more: Whether gradients follow before a step; the processes then do not wait for each other.
        """
        if isinstance(self.on_devices, Sharded):
            self.on_devices.add_up(more)
            yield
        else:
            with fabric.no_backward_sync(self.on_devices, enabled=more and fabric.world_size > 1):
                yield

    def clipped(self, fabric: Fabric) -> Float[Tensor, ""]:
        """Clip the gradient, and return its norm before it was clipped."""
        if isinstance(self.on_devices, Sharded):
            return norm_of_clipped(self.module.parameters(), most=self.gradient_clip)
        norm = fabric.clip_gradients(
            self.on_devices, self.optimizer, max_norm=self.gradient_clip, error_if_nonfinite=False
        )
        assert norm is not None
        return norm

    def accepts(self, norm: Float[Tensor, ""]) -> bool:
        """Return whether the optimizer should take a step with a gradient of this norm, and count if not."""
        finite = bool(norm.isfinite())
        self.skipped += not finite
        self.skipped_in_a_row = 0 if finite else self.skipped_in_a_row + 1
        return finite

    def state(self, *, keep: bool = True) -> dict[str, Any]:
        """Return the state from which the player resumes, on any number of processes. All processes must call it.

        Args:
            keep: Whether this process needs the result.
        """
        state = {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}
        return whole(state, keep=keep) if isinstance(self.on_devices, Sharded) else state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state` returned. The settings of the optimizer stay those of its making.

        Raises:
            Exception: Of many kinds, if the state belongs to another module or optimizer; see `checkpoint.resuming`.
        """
        settings = [{key: group[key] for key in group if key != "params"} for group in self.optimizer.param_groups]
        load_whole(self.module, state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)  # Fabric wraps it
        check_optimizer(optimizer)
        for parameter, kept in optimizer.state.items():
            kept.update({name: divided(value, like=parameter) for name, value in kept.items() if name != "step"})
            if "step" in kept:  # torch leaves it on the CPU, where a fused step on a GPU does not accept it
                kept["step"] = kept["step"].to(parameter.device)


def _make_recordable(optimizer: Optimizer, device: torch.device) -> None:
    """Keep the learning rate on the device, where recorded work reads it anew in every step."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], device=device)
        if "capturable" in group:
            group["capturable"] = True
