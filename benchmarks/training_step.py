"""Compare the time of a training step with MONAI's VQVAE of the same shape, in turns in one run.

    python benchmarks/training_step.py [--batch 32] [--size 128] [--rounds 7]

Prints the median seconds of each and their ratio. Only the ratio carries to another machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from monai_vqvae import monai_step, monai_vqvae

from voxlex.assembly import build_autoencoder
from voxlex.config import Config
from voxlex.losses import reconstruction_losses
from voxlex.training.devices import automatic_precision, launch, lay_out_channels_last
from voxlex.training.optimizer import adamw


def our_step(x: torch.Tensor, precision: str) -> Callable[[], None]:
    """Return a function that takes one training step with the default recipe."""
    model = build_autoencoder(Config().model)
    lay_out_channels_last(model)
    optimizer = adamw(model, learning_rate=1e-4, weight_decay=0.0, betas=(0.9, 0.99))
    fabric = launch(accelerator="cpu", precision=precision)
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)

    def step() -> None:
        outputs = wrapped(x)
        losses = reconstruction_losses(outputs.x_hat, x, {"l1": 1.0}) | dict(outputs.losses)
        wrapped_optimizer.zero_grad()
        fabric.backward(torch.stack(list(losses.values())).sum())
        fabric.clip_gradients(wrapped, wrapped_optimizer, max_norm=1.0)
        wrapped_optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    x = torch.rand(options.batch, 1, options.size, options.size)
    theirs = monai_vqvae()
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-4)
    steps = {
        "MONAI VQVAE, float32": lambda: monai_step(theirs, optimizer, x),
        "voxlex default, float32": our_step(x, "32-true"),
        f"voxlex default, {automatic_precision('cpu')} (automatic)": our_step(x, automatic_precision("cpu")),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if turn:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    first = statistics.median(next(iter(seconds.values())))
    shape = f"batch {options.batch}, {options.size}×{options.size}"
    print(f"{shape}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:45s} {median:8.3f} s   {first / median:5.2f} times as fast as MONAI")


if __name__ == "__main__":
    main()
