"""Compare the time of a training step with MONAI's VQVAE of the same shape, in turns in one run.

    python benchmarks/training_step.py [--batch 32] [--size 128] [--rounds 7]
    python benchmarks/training_step.py --compile [--batch 4]
    python benchmarks/training_step.py --beside 2 [--batch 4] [--seconds 30]

Prints the median seconds of each and their ratio. Only the ratio carries to another machine.

With --compile, it compares steps of the default recipe with those whose encoder and decoder `torch.compile` has
compiled, and prints how long the first of these takes.

With --beside N, it prints instead how many steps of the default recipe are taken a second alone, and beside N processes
that keep a core busy each: with one thread, with two, and with the number that training chooses.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
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


def our_step(x: torch.Tensor, precision: Precision, *, compiles: bool = False) -> Callable[[], None]:
    """Return a function that takes one training step with the default recipe."""
    config = Config()
    fabric = launch(choose_devices(accelerator="cpu", precision=precision)).fabric
    autoencoder = build_autoencoder(config.model)
    if compiles:
        for network in (autoencoder.encoder, autoencoder.decoder):
            network.compile()
    player = Player.scheduled(autoencoder, config.training.autoencoder)
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


def in_turns(steps: Mapping[str, Callable[[], None]], *, rounds: int) -> dict[str, float]:
    """Return the median seconds of each step; a first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def compare_compiled(x: torch.Tensor, *, rounds: int) -> None:
    """Print the seconds of a step, compiled and not, and of the first compiled one."""
    precision = automatic_precision("cpu")
    steps = {"as it is": our_step(x, precision), "compiled": our_step(x, precision, compiles=True)}
    started = time.perf_counter()
    steps["compiled"]()
    print(f"the first compiled step {time.perf_counter() - started:.0f} s")
    for name, median in in_turns(steps, rounds=rounds).items():
        print(f"{name:10s} {median:8.3f} s")


def compare_beside(x: torch.Tensor, count: int, *, seconds: float) -> None:
    """Print the rates of the default recipe alone and beside other work."""
    step = our_step(x, automatic_precision("cpu"))
    for _ in range(5):
        step()
    choices: dict[str, int | None] = {"1 thread": 1, "2 threads": 2, "auto": None}
    alone = {name: steps_a_second(step, threads=number, seconds=seconds) for name, number in choices.items()}
    with busy_processes(count):
        beside = {name: steps_a_second(step, threads=number, seconds=seconds) for name, number in choices.items()}
    print(f"load before {os.getloadavg()[0]:.1f}; steps a second")
    best = max(alone.values())
    for name in choices:
        shares = f"{alone[name] / best:5.2f}, {beside[name] / best:5.2f} of the best alone"
        print(f"{name:10s} alone {alone[name]:6.2f}   beside {count} busy processes {beside[name]:6.2f}   {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--beside", type=int, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    torch.manual_seed(0)
    x = torch.rand(options.batch, 1, options.size, options.size)
    shape = f"batch {options.batch}, {options.size}×{options.size}"
    print(f"{shape}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if options.compile:
        compare_compiled(x, rounds=options.rounds)
        return
    if options.beside is not None:
        compare_beside(x, options.beside, seconds=options.seconds)
        return
    theirs = monai_vqvae(num_embeddings=Config().model.quantizer.num_embeddings)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-4)
    steps = {
        "MONAI VQVAE, float32": lambda: monai_step(theirs, optimizer, x),
        "voxlex default, float32": our_step(x, "32-true"),
        f"voxlex default, {automatic_precision('cpu')} (automatic)": our_step(x, automatic_precision("cpu")),
    }
    medians = in_turns(steps, rounds=options.rounds)
    for name, median in medians.items():
        faster = medians["MONAI VQVAE, float32"] / median
        print(f"{name:45s} {median:8.3f} s   {faster:5.2f} times as fast as MONAI")


if __name__ == "__main__":
    main()
