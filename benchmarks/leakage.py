"""Measure how much a leaking split inflates the figures of the same test images.

    python benchmarks/leakage.py SOURCE [--minutes 10 | --steps 5000] [--recipe default] [--out runs/leakage]

Files are split one by one, as in many tutorials. The run "leaking" trains on near-duplicates ("twins") of test images.
The run "clean" trains on the same number of images, with other images in place of the twins. Both are evaluated on the
same test images: on all of them, on those with twins, and on those without. The last group shows how far two runs
differ by chance. Bits per code refer to the vocabulary of each run, so compare them between the rows of one run first.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.config import load_recipe, with_budget
from voxlex.data.dataset import PreparedDataset
from voxlex.data.division import assign_splits
from voxlex.data.scan_source import ScanSource
from voxlex.images.frame import Frame
from voxlex.tables.manifest import index_source
from voxlex.vocabulary import Vocabulary, load
from voxlex.workflows.evaluate import evaluate
from voxlex.workflows.train import train

SHOWN = ("reconstruction.ssim", "reconstruction.psnr_db", "reconstruction.l1", "prior.bits_per_code")


def two_divisions(groups: pd.Series, *, seed: int) -> dict[str, pd.Series]:
    """Split images by file, once with the twins of test images in training and once without.

    Args:
        groups: The group of each image by path. Images of the same slice or the same subject are in one group.
        seed: Seed of the split.

    Returns:
        The two splits by name. An image with the split "" is left out.
    """
    splits = pd.Series(assign_splits(list(groups.index), seed=seed), index=groups.index)
    of_test = groups.isin(set(groups[splits == "test"]))
    others = splits.where((splits == "test") | ~of_test, "")
    twins = splits.index[(splits == "train") & of_test]
    # The same number of other images makes room for the twins, so that both training parts have the same size.
    candidates = others.index[others == "train"].to_numpy()
    dropped = np.random.default_rng(seed).permutation(candidates)[: len(twins)]
    leaking = others.copy()
    leaking[twins] = "train"
    leaking[dropped] = ""
    return {"leaking": leaking, "clean": others}


def write_table(source: str, splits: pd.Series, path: Path) -> None:
    """Write a table of the images that have a split."""
    index = index_source(source)
    table = index.table.drop(columns=["group", "split"], errors="ignore").set_index("path", drop=False)
    table = table.loc[splits.index[splits != ""]]
    table["split"] = splits[table.index]
    table["twin_of"] = table["path"]  # identifies the file, whatever folder the paths are relative to
    table.assign(path=[str((index.root / name).absolute()) for name in table["path"]]).to_csv(path, index=False)


def rows_of(dataset: PreparedDataset, chosen: np.ndarray) -> PreparedDataset:
    """Return a data set with the chosen images."""
    rows = np.flatnonzero(chosen)
    manifest = dataset.manifest.iloc[rows].reset_index(drop=True)
    return replace(dataset, images=np.asarray(dataset.images[rows]), manifest=manifest)


def figures_of(vocabulary: Vocabulary, images: PreparedDataset) -> dict[str, float]:
    """Measure reconstructions and bits per code."""
    figures = evaluate(vocabulary, images, split="all").figures
    return {name: figures[name] for name in SHOWN if name in figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/leakage"))
    options = parser.parse_args()
    minutes = None if options.steps else options.minutes
    config = with_budget(load_recipe(options.recipe), minutes=minutes, steps=options.steps)
    out, frame = options.out, Frame(size=config.data.size)
    shutil.rmtree(out, ignore_errors=True)

    whole = ScanSource.at(options.source).prepare(out / "whole", frame, seed=options.seed).manifest.set_index("path")
    divisions = two_divisions(whole["group"], seed=options.seed)
    rows = {}
    for name, splits in divisions.items():
        write_table(options.source, splits, out / f"{name}.csv")
        divided = ScanSource.at(out / f"{name}.csv", allow_leak=True)
        data = divided.prepare(out / f"{name}-data", frame, seed=options.seed)
        train(str(out / f"{name}-data"), out=out / name, config=config, overwrite=True)
        vocabulary, test = load(out / name), data.subset("test")
        taught = set(whole["group"][divisions["leaking"] == "train"])
        twins = test.manifest["twin_of"].map(whole["group"]).isin(taught).to_numpy()
        parts = {"all": twins | True, "with twins": twins, "without": ~twins}
        for part, chosen in parts.items():
            if chosen.any():
                images = rows_of(test, chosen)
                rows[name, part] = {"images": len(images), **figures_of(vocabulary, images)}
        print(f"{name}: {len(data.subset('train'))} training images", flush=True)
    print(pd.DataFrame(rows).T.rename_axis(["training", "test images"]).to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
