"""Bring the batches of a training to its device."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from lightning_fabric import Fabric
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from voxlex.training.batches import Batches


class Loader:
    """Loads the batch of a step, and on a GPU also that of the next step, while the GPU computes.

    A batch depends on its rows and the step alone, so it does not matter when it is loaded.

    Args:
        load: Loads some rows for a step.
        batches: The rows of each step.
        fabric: The devices.
        ahead: Whether to load ahead for a GPU. Rows that are on the GPU already need not be.
    """

    def __init__(self, load: Callable[..., Any], batches: Batches, *, fabric: Fabric, ahead: bool) -> None:
        self._load_rows = load
        self._batches = batches
        self._fabric = fabric
        self._pool = ThreadPoolExecutor(1) if ahead and fabric.device.type == "cuda" else None
        self._next: tuple[int, Future[Any]] | None = None

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __call__(self, step: int) -> Any:
        """Return the batch of a step on the device."""
        if self._pool is None:
            return self._fabric.to_device(self._load(step))
        loaded = self._next[1].result() if self._next is not None and self._next[0] == step else self._pinned(step)
        self._next = (step + 1, self._pool.submit(self._pinned, step + 1))
        return self._fabric.to_device(loaded)

    def _load(self, step: int) -> Any:
        return self._load_rows(self._batches[step], step=step)

    def _pinned(self, step: int) -> Any:
        """Load into memory from which a GPU can copy while it computes."""
        return apply_to_collection(self._load(step), Tensor, Tensor.pin_memory)
