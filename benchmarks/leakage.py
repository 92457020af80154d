"""How much a split that leaks flatters: the same recipe on the same images, divided file by file and divided by cluster.

    python benchmarks/leakage.py SOURCE [--minutes 10] [--recipe default] [--out runs/leakage]

Two runs of equal minutes. "by file" puts every file into a split by itself, as tutorials do, so that test images have
near-duplicates among the training images; "by cluster" keeps near-duplicates (and subjects) together, as voxlex does.
Each is measured on its own test part. Those test parts hold different images, so the fair comparison is within one
model: the run by file is also measured on the test images that have a near-duplicate in its training part ("leaking")
and on those that have none ("clean"), and for the latter's difficulty, the run by cluster on the same two sets where
they are test images of both.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.config import load_recipe, with_budget
from voxlex.data.manifest import index_source
from voxlex.data.prepare import prepare_folder
from voxlex.data.prepared import PreparedDataset
from voxlex.data.splits import assign_splits
from voxlex.evaluation.likelihood import evaluate_prior
from voxlex.evaluation.reconstruction import evaluate_reconstruction
from voxlex.vocabulary import Vocabulary, load
from voxlex.workflows.train import train

SHOWN = ("reconstruction.ssim", "reconstruction.psnr_db", "reconstruction.l1", "prior.bits_per_code")


def divide_by_file(source: str, table: Path, *, usable: set[str], seed: int) -> None:
    """Write a table of the source that puts each file into a split by itself."""
    index = index_source(source)
    rows = index.table[index.table["path"].isin(usable)].drop(columns="split", errors="ignore")
    paths = [str((index.root / path).resolve()) for path in rows["path"]]
    splits = assign_splits(paths, seed=seed)
    table.parent.mkdir(parents=True, exist_ok=True)
    rows.drop(columns="group").assign(path=paths, subject="", split=splits).to_csv(table, index=False)


def rows_of(dataset: PreparedDataset, rows: np.ndarray) -> PreparedDataset:
    """View some rows of a data set."""
    manifest = dataset.manifest.iloc[rows].reset_index(drop=True)
    return replace(dataset, images=np.asarray(dataset.images[rows]), manifest=manifest)


def figures_of(vocabulary: Vocabulary, images: PreparedDataset) -> dict[str, float]:
    """Measure reconstructions and bits per code."""
    found = evaluate_reconstruction(vocabulary.autoencoder, images)
    figures = dict(found.figures)
    if vocabulary.prior is not None:
        conditions = vocabulary.prior.conditions.look_up(images.manifest)
        pixels = images.images[0, 0].size
        figures |= evaluate_prior(vocabulary.prior, found.codes, conditions, pixels_per_image=pixels)
    return figures


def common_rows(dataset: PreparedDataset, other: PreparedDataset) -> np.ndarray:
    """Tell for each image whether the other data set holds it; the folders that paths are relative to may differ."""
    names = set(other.manifest["path"])
    longest = max(len(path.split("/")) for path in names)
    tails = ({"/".join(path.split("/")[-n:]) for n in range(1, longest + 1)} for path in dataset.manifest["path"])
    return np.array([bool(tail & names) for tail in tails])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/leakage"))
    options = parser.parse_args()
    config = with_budget(load_recipe(options.recipe), minutes=options.minutes, steps=None)
    size, out = config.data.size, options.out
    shutil.rmtree(out, ignore_errors=True)

    cluster = prepare_folder(options.source, folder=out / "data-by-cluster", size=size, seed=options.seed)
    divide_by_file(options.source, out / "by-file.csv", usable=set(cluster.manifest["path"]), seed=options.seed)
    by_file = prepare_folder(
        out / "by-file.csv", folder=out / "data-by-file", size=size, seed=options.seed, allow_leak=True
    )
    print(f"by file: {by_file.options['leaking_pairs']} pairs of near-duplicates cross the splits")
    for name in ("file", "cluster"):
        train(str(out / f"data-by-{name}"), out=out / f"run-by-{name}", config=config, overwrite=True)
    leaky, honest = load(out / "run-by-file"), load(out / "run-by-cluster")

    test = by_file.subset("test")
    learnt = set(by_file.subset("train").manifest["group"])  # groups are the clusters, whatever the split
    has_twin = test.manifest["group"].isin(learnt).to_numpy()
    own = cluster.subset("test")
    in_both = common_rows(test, own)
    sets = {
        "run by file on its test part": (leaky, test),
        "run by cluster on its test part": (honest, own),
        "run by file on leaking test images": (leaky, rows_of(test, np.flatnonzero(has_twin))),
        "run by file on clean test images": (leaky, rows_of(test, np.flatnonzero(~has_twin))),
        "run by cluster on the leaking ones unseen by both": (
            honest,
            rows_of(test, np.flatnonzero(has_twin & in_both)),
        ),
        "run by file on the same": (leaky, rows_of(test, np.flatnonzero(has_twin & in_both))),
        "run by cluster on the clean ones unseen by both": (honest, rows_of(test, np.flatnonzero(~has_twin & in_both))),
        "run by file on the same clean ones": (leaky, rows_of(test, np.flatnonzero(~has_twin & in_both))),
    }
    rows = {}
    for name, (vocabulary, images) in sets.items():
        figures = figures_of(vocabulary, images) if len(images) else {}
        rows[name] = {"images": len(images)} | {key: figures[key] for key in SHOWN if key in figures}
    print(pd.DataFrame(rows).T.to_string(float_format=lambda value: f"{value:.4f}"))


if __name__ == "__main__":
    main()
