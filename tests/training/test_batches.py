import pytest
import torch

from voxlex.errors import DataError
from voxlex.training.batches import Batches


def test_an_epoch_takes_every_row_once() -> None:
    batches = Batches(rows=12, batch_size=3, seed=0)
    assert torch.cat([batches[step] for step in range(4)]).sort().values.tolist() == list(range(12))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    batches = Batches(rows=100, batch_size=100, seed=0)
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], Batches(rows=100, batch_size=100, seed=1)[0])
    assert torch.equal(batches[1], Batches(rows=100, batch_size=100, seed=0)[1])


def test_processes_share_the_rows_of_a_step() -> None:
    one = Batches(rows=12, batch_size=6, seed=0)
    two = [Batches(rows=12, batch_size=3, seed=0, rank=rank, processes=2) for rank in range(2)]
    assert torch.equal(torch.cat([part[1] for part in two]), one[1])


def test_refuses_fewer_rows_than_a_batch() -> None:
    with pytest.raises(DataError, match=r"training images: expected at least one batch of 6, got 5"):
        Batches(rows=5, batch_size=3, seed=0, processes=2)
