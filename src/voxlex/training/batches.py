"""The rows of each batch follow from the seed and the step alone, so that training resumes where it stopped."""

import functools

import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex.errors import DataError


class Batches:
    """Shuffled batches of row numbers, epoch after epoch; the rows left over in an epoch are dropped.

    Args:
        rows: How many rows there are.
        batch_size: Rows in a batch, on each process.
        seed: Of the shuffling.
        rank: Which of the processes this is.
        processes: How many there are; each takes its own rows.

    Raises:
        DataError: If there are fewer rows than all processes need for one batch.
    """

    def __init__(self, *, rows: int, batch_size: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        if rows < batch_size * processes:
            raise DataError(f"{rows} training images are fewer than one batch of {batch_size * processes}")
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.processes = processes

    def __getitem__(self, step: int) -> Int64[Tensor, " b"]:
        """Return the rows of one step's batch, steps counted from 0."""
        together = self.batch_size * self.processes
        epoch, batch = divmod(step, self.rows // together)
        start = batch * together + self.rank * self.batch_size
        return _permutation(self.rows, self.seed, epoch)[start : start + self.batch_size]


@functools.lru_cache(maxsize=4)
def _permutation(rows: int, seed: int, epoch: int) -> Int64[Tensor, " rows"]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(rows, generator=generator)
