"""Train a quantizer of every kind in two processes, and on both their batches in one, and save what it became.

    python two_processes.py FOLDER

Every module is built before the processes find each other, and each process has random numbers of its own.
"""

import multiprocessing
import sys
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel

sys.path.append(str(Path(__file__).parents[1]))
from kinds import KINDS

STEPS = 30


class Model(nn.Module):
    """An encoder, so that gradients have somewhere to go, and a quantizer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(4, 4, 1)
        self.quantizer = KINDS[kind]()

    def forward(self, x: Tensor) -> Tensor:
        quantized = self.quantizer(self.encoder(x))
        return mse_loss(quantized.z_q, x) + quantized.loss


def batches(rank: int, world_size: int) -> list[Tensor]:
    """Batches that drift, so that codewords die and are revived; a lone process gets those of both ranks as one."""
    generator = torch.Generator().manual_seed(7)
    both = [torch.randn(4, 4, 5, 6, generator=generator) + 0.1 * step for step in range(STEPS)]
    return both if world_size == 1 else [batch[2 * rank : 2 * rank + 2] for batch in both]


def train(rank: int, world_size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = {kind: Model(kind) for kind in KINDS}
    if world_size > 1:
        store = distributed.FileStore(str(folder / "store"), world_size)
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    states = {}
    for kind, model in models.items():
        torch.manual_seed(rank)
        # Without broadcasts of buffers: codebooks are to be equal because they learn alike.
        step = DistributedDataParallel(model, broadcast_buffers=False) if world_size > 1 else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for batch in batches(rank, world_size):
            optimizer.zero_grad()
            step(batch).backward()
            optimizer.step()
        states[kind] = model.state_dict()
    torch.save(states, folder / f"{rank}-of-{world_size}.pt")
    if world_size > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    # A fork has imported everything already.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    runs = [(0, 2), (1, 2), (0, 1)]
    processes = [context.Process(target=train, args=(*run, Path(sys.argv[1]))) for run in runs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in processes))
