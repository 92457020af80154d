"""Measure how long preparing takes beside its lower bound, and how long training waits for prepared images.

    python benchmarks/preparing.py FOLDER           # a folder of pictures, such as JPEGs, prepared at 128×128
    python benchmarks/preparing.py --volumes 100    # heads made from the MNI152 template, as .nii.gz, beside gzip alone
    python benchmarks/preparing.py --volumes 100 --alike   # copies of one head, whose slices are all near-duplicates
    python benchmarks/preparing.py --steps 60       # the share of a training step that loads its batch

This prints wall-clock seconds, and processor time, which does not depend on other work on the machine.
"""

import argparse
import gzip
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from voxlex.assembly import build_autoencoder
from voxlex.config import Config
from voxlex.config.options import PhantomOptions, SliceOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.scan_source import ScanSource
from voxlex.duplicates.pairs import find_duplicates
from voxlex.duplicates.thumbnails import thumbnail
from voxlex.images.frame import Frame
from voxlex.training.batch_size import number_of
from voxlex.training.batches import Batches
from voxlex.training.devices import automatic_precision, choose_devices, launch
from voxlex.training.objectives import AutoencoderObjective

Made = TypeVar("Made")


def timed(work: Callable[[], Made]) -> tuple[float, float, Made]:
    """Return wall-clock seconds, processor seconds, and the result of the work."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - processor, result


def time_pictures(folder: Path, *, size: int) -> None:
    """Prepare a folder of pictures, and compare all pairs of them once more."""
    with tempfile.TemporaryDirectory() as scratch:
        wall, processor, dataset = timed(lambda: ScanSource.at(folder).prepare(Path(scratch) / "out", Frame(size=size)))
        print(f"{len(dataset)} pictures at {size}×{size}: {wall:.1f} s, {processor:.1f} s of processor time")
        thumbnails = np.stack([thumbnail(image[0]).astype(np.float16) for image in dataset.images])
        wall, processor, pairs = timed(lambda: sum(map(len, find_duplicates(thumbnails))))
        print(f"all pairs compared, {pairs} found: {wall:.2f} s, {processor:.2f} s of processor time")


def make_volumes(folder: Path, *, count: int, alike: bool) -> list[Path]:
    """Write heads at 1 mm in `int16`, each with its own rotation and size, so that few slices are near-duplicates.

    If `alike`, all heads have the same shape. They contain scanner noise, because smooth volumes are decompressed
    faster.
    """
    import nibabel
    from nilearn.datasets import load_mni152_template
    from scipy.ndimage import affine_transform

    template = load_mni152_template(resolution=1)
    template_voxels = template.get_fdata(dtype=np.float32) * 1000
    rng = np.random.default_rng(0)
    paths = [folder / "in" / f"sub-{number:03d}.nii.gz" for number in range(count)]
    paths[0].parent.mkdir()
    middle = np.array(template.shape) / 2
    for path in paths:
        turn = np.eye(3) if alike else np.linalg.qr(np.eye(3) + 0.08 * rng.standard_normal((3, 3)))[0]
        linear = turn * np.sign(np.diag(turn)) * (1 if alike else rng.uniform(0.9, 1.15, 3))
        head = affine_transform(template_voxels, linear, middle - linear @ middle, order=1)
        noise = rng.standard_normal((2, *head.shape), np.float32) * 15
        image = nibabel.Nifti1Image(np.hypot(head + noise[0], noise[1]).astype(np.int16), template.affine)
        path.write_bytes(gzip.compress(image.to_bytes(), 1))
    return paths


def decompress(paths: list[Path]) -> int:
    """Decompress the volumes with one thread per core, which is the least work that reading them takes."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(lambda path: len(gzip.decompress(path.read_bytes())), paths))


def time_volumes(count: int, *, size: int, alike: bool, rounds: int) -> None:
    """Prepare the slices of volumes, some and all of them, and decompress the same files, taking turns."""
    frames = {
        "12 slices": Frame(size=size, slices=SliceOptions(count=12)),
        "the range": Frame(size=size),
        "all, not compared": Frame(size=size, whole=True),
    }
    seconds: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        paths = make_volumes(Path(scratch), count=count, alike=alike)
        decompress(paths)  # so that both then read from memory
        for _ in range(rounds):
            wall, alone, content = timed(lambda: decompress(paths))
            seconds.setdefault(f"gzip alone, {content / 1e9:.2f} GB", []).append((wall, alone))
            for name, frame in frames.items():
                folder = Path(scratch) / "out"
                prepare = partial(ScanSource.at(paths[0].parent).prepare, folder, frame)
                wall, busy, dataset = timed(prepare)
                said = f"{name}: {len(dataset)} in {dataset.manifest['group'].nunique()} groups"
                seconds.setdefault(said, []).append((wall, busy))
                shutil.rmtree(folder)
    alone_seconds = next(iter(seconds.values()))
    print(f"{count} volumes, medians of {rounds} rounds")
    for name, measured in seconds.items():
        ratio = statistics.median(busy / of[1] for (_, busy), of in zip(measured, alone_seconds, strict=True))
        wall, busy = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{name}: {wall:.1f} s, {busy:.1f} s of processor time: {ratio:.2f} of gzip alone")


def time_waiting(steps: int, *, size: int) -> None:
    """Train on a prepared phantom, and see which share of a step its batch takes to load."""
    with tempfile.TemporaryDirectory() as scratch:
        options = PhantomOptions(subjects=24)
        dataset = PhantomSource(options).prepare(Path(scratch) / "phantom", Frame(size=size)).subset("train")
        shares = list(waiting_shares(dataset, Config(), steps=steps))
    print(f"loading takes {100 * statistics.median(shares):.2f} % of a training step")


def waiting_shares(dataset: PreparedDataset, config: Config, *, steps: int) -> Iterator[float]:
    """Yield the share of loading in each of some training steps with the default recipe."""
    objective = AutoencoderObjective(
        autoencoder=build_autoencoder(config.model),
        training=dataset,
        validation=dataset,
        schedule=config.training.autoencoder,
        loss_weights={"l1": 1.0},
    )
    fabric = launch(choose_devices(accelerator="cpu", precision=automatic_precision("cpu"))).fabric
    objective.player.set_up(fabric)
    batches = Batches(rows=len(dataset), batch_size=number_of(config.training.autoencoder), seed=0)
    for number in range(steps):
        started = time.perf_counter()
        batch = objective.load(batches[number], step=number)
        loaded = time.perf_counter()
        objective.update(fabric, batch, progress=0.5)
        yield (loaded - started) / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="?")
    parser.add_argument("--volumes", type=int, default=0)
    parser.add_argument("--alike", action="store_true", help="volumes of one head, with different noise")
    parser.add_argument("--rounds", type=int, default=3, help="how often volumes are prepared")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    if arguments.pictures:
        time_pictures(arguments.pictures, size=arguments.size)
    if arguments.volumes:
        time_volumes(arguments.volumes, size=arguments.size, alike=arguments.alike, rounds=arguments.rounds)
    if arguments.steps:
        time_waiting(arguments.steps, size=arguments.size)
