"""Compare the time of a training step with MONAI's VQVAE of the same shape, in turns in one run.

    python benchmarks/training_step.py [--batch 32] [--size 128] [--rounds 7]
    python benchmarks/training_step.py --beside 2 [--seconds 30]

Prints the median seconds of each and their ratio. Only the ratio carries to another machine.

With --beside N, it prints instead how many steps of the default recipe, batch and all, are taken a second alone, and
beside N processes that keep a core busy each: with one thread, with two, and with the number that training chooses.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import torch
from monai_vqvae import monai_step, monai_vqvae

from voxlex.assembly import build_autoencoder
from voxlex.config import Config
from voxlex.losses import reconstruction_losses
from voxlex.training.devices import Precision, automatic_precision, choose_devices, launch
from voxlex.training.player import Player
from voxlex.training.threads import ThreadChooser, fixed_threads


def our_step(x: torch.Tensor, precision: Precision) -> Callable[[], None]:
    """Return a function that takes one training step with the default recipe."""
    config = Config()
    fabric = launch(choose_devices(accelerator="cpu", precision=precision)).fabric
    player = Player.scheduled(build_autoencoder(config.model), config.training.autoencoder)
    player.set_up(fabric)

    def step() -> None:
        outputs = player.on_devices(x)
        losses = reconstruction_losses(outputs.x_hat, x, asdict(config.losses)) | dict(outputs.losses)
        player.descend(fabric, losses.values())

    return step


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many cores busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def steps_a_second(step: Callable[[], None], *, threads: int | None, seconds: float) -> float:
    """Take steps for some time with a number of threads, or with the one that is chosen on the way."""
    chooser = None if threads else ThreadChooser(torch.get_num_threads())
    started, count = time.perf_counter(), 0
    with chooser or fixed_threads(threads):
        while (now := time.perf_counter()) - started < seconds:
            step()
            count += 1
            if chooser is not None:
                chooser.took(time.perf_counter() - now)
    return count / (time.perf_counter() - started)


def compare_beside(count: int, *, size: int, seconds: float) -> None:
    """Print the rates of the default recipe alone and beside other work."""
    x = torch.rand(Config().training.autoencoder.batch_size, 1, size, size)
    step = our_step(x, automatic_precision("cpu"))
    for _ in range(5):
        step()
    choices: dict[str, int | None] = {"1 thread": 1, "2 threads": 2, "auto": None}
    alone = {name: steps_a_second(step, threads=number, seconds=seconds) for name, number in choices.items()}
    with busy_processes(count):
        beside = {name: steps_a_second(step, threads=number, seconds=seconds) for name, number in choices.items()}
    print(f"batch {len(x)}, {size}×{size}, load before {os.getloadavg()[0]:.1f}; steps a second")
    best = max(alone.values())
    for name in choices:
        shares = f"{alone[name] / best:5.2f}, {beside[name] / best:5.2f} of the best alone"
        print(f"{name:10s} alone {alone[name]:6.2f}   beside {count} busy processes {beside[name]:6.2f}   {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--beside", type=int, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    if options.beside is not None:
        compare_beside(options.beside, size=options.size, seconds=options.seconds)
        return
    torch.manual_seed(0)
    x = torch.rand(options.batch, 1, options.size, options.size)
    theirs = monai_vqvae(num_embeddings=Config().model.quantizer.num_embeddings)
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
