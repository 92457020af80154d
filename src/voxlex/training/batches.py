"""Shuffled batches that depend only on the seed and the step, so that training can resume."""

import functools

import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex.errors import DataError


class Batches:
    """Shuffled batches of row numbers. Rows that are left over at the end of an epoch are dropped.

    Args:
        rows: Number of rows.
        batch_size: Number of rows in a batch, for each process.
        seed: Seed of the shuffling.
        rank: Rank of this process.
        processes: Number of processes. Each process takes different rows.
        setting: What an error calls the setting of the batch size.

    Raises:
        DataError: If there are fewer rows than all processes need for one batch.
    """

    def __init__(
        self,
        *,
        rows: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        setting: str = "batch_size",
    ) -> None:
        if rows < batch_size * processes:
            most = rows // processes
            advice = f"{setting} of {most} or less" if most else "fewer --training.devices"
            raise DataError(
                f"training images: expected at least one batch of {batch_size * processes}, got {rows}; "
                f"take more images or {advice}"
            )
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.processes = processes

    def __getitem__(self, step: int) -> Int64[Tensor, " b"]:
        """Return the rows of the batch of a step. Steps are counted from 0."""
        together = self.batch_size * self.processes
        epoch, batch = divmod(step, self.rows // together)
        start = batch * together + self.rank * self.batch_size
        return _permutation(self.rows, self.seed, epoch)[start : start + self.batch_size]


@functools.lru_cache(maxsize=4)
def _permutation(rows: int, seed: int, epoch: int) -> Int64[Tensor, " rows"]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(rows, generator=generator)
