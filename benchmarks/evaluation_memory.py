"""Measure how the memory of an evaluation grows with the number of images, on Linux.

    python benchmarks/evaluation_memory.py 512 2048 8192

Images are slices of the phantom of 32×32 pixels with noise, half of them held out and half of them training images, and
the vocabulary is a small one of the tests. Each number is measured in a process of its own.
"""

import argparse
import gc
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.config.options import PhantomOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.data.sources import open_source
from voxlex.images.frame import Frame
from voxlex.vocabulary import Vocabulary, load
from voxlex.workflows.evaluate import evaluate

RUN = Path(__file__).parent.parent / "tests" / "golden" / "transformer"
SAMPLES = 16


def many(few: PreparedDataset, count: int) -> PreparedDataset:
    """Return so many images, of which the second half are held out, as noisy copies of a few."""
    rng, copies = np.random.default_rng(0), count // len(few)
    pixels = np.tile(few.images, (copies, 1, 1, 1)).astype(np.int16)
    pixels += rng.integers(-8, 9, pixels.shape, dtype=np.int16)
    tables = [few.manifest.assign(group=[f"{copy}/{name}" for name in few.manifest["group"]]) for copy in range(copies)]
    manifest = pd.concat(tables, ignore_index=True)
    splits = np.where(np.arange(len(manifest)) < len(manifest) // 2, "train", "test")
    return replace(few, images=pixels.clip(0, 255).astype(np.uint8), manifest=manifest.assign(split=splits))


def judged(vocabulary: Vocabulary, dataset: PreparedDataset) -> None:
    evaluate(vocabulary, dataset, samples=SAMPLES, features="default")


def measure(folder: Path) -> None:
    """Print the memory of an evaluation beyond what is there before it, in MB."""
    few = open_source(PhantomSource(PhantomOptions(subjects=8, slices=8)), Frame(size=32))
    vocabulary = load(RUN)
    judged(vocabulary, many(few, 64))  # what is compiled and imported at first use
    dataset = PreparedDataset.open(folder)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the highest use counts from here on
    before = _status("VmRSS")
    judged(vocabulary, dataset)
    print(f"| {len(dataset):,} | {_status('VmHWM') - before:.0f} MB |", flush=True)


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[512, 2048, 8192], metavar="COUNT")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        measure(options.folder)
        return
    few = open_source(PhantomSource(PhantomOptions(subjects=32, slices=16)), Frame(size=32))
    with tempfile.TemporaryDirectory() as place:
        for count in options.counts:
            folder = Path(place) / str(count)
            many(few, count).write(folder)
            subprocess.run([sys.executable, __file__, "--folder", str(folder)], check=True)


if __name__ == "__main__":
    main()
