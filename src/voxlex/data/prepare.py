"""Turn a folder of images into a prepared data set: decode in parallel, fit to the canvas, divide, write."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from voxlex.data.atomic import atomic_folder
from voxlex.data.fitting import CanvasImage, load_on_canvas
from voxlex.data.intensity import ConstantImageError
from voxlex.data.manifest import index_folder
from voxlex.data.pictures import MIN_SIDE
from voxlex.data.prepared import COLUMNS, IMAGES_FILE, PreparedDataset, fingerprint_of, split_order, write_tables
from voxlex.data.splits import split_or_test
from voxlex.data.spool import Spool
from voxlex.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of images in all."""

_TOLERATED = 0.1  # share of unreadable images above which something other than a few bad files is wrong


def prepare_folder(
    source: str | Path, *, folder: str | Path, size: int = 128, seed: int = 0, progress: Progress | None = None
) -> PreparedDataset:
    """Prepare the images of a folder for training.

    The images are divided 80/10/10 by group (subject, or file where no subject is known). Fewer than three groups
    cannot be divided; then every image is a test image, which is enough to reconstruct and to evaluate.

    Args:
        source: Folder of images, searched recursively.
        folder: Where the prepared form is written; must not exist.
        size: Side of the square canvas in pixels, at least 8.
        seed: Seed of the division into splits.
        progress: Called after each image.

    Returns:
        The data set, opened from `folder`. Constant and unreadable images are left out and listed in `skipped`.

    Raises:
        DataError: `source` cannot be used, more than a tenth of its images is unreadable, none is left, or `folder`
            exists or cannot be written.
        ValueError: `size` is below 8.
    """
    if size < MIN_SIDE:
        raise ValueError(f"size must be at least {MIN_SIDE} pixels, found {size}")
    source = Path(source)
    table = index_folder(source)
    with atomic_folder(folder) as building:
        scratch = building / "scratch"
        with scratch.open("w+b") as file:
            spool = Spool(file, size=size)
            manifest, skips = _decode_all(source, table, spool=spool, size=size, progress=progress)
            manifest["split"] = split_or_test(list(manifest["group"]), seed=seed)
            order = split_order(list(manifest["split"]))
            spool.write_array(building / IMAGES_FILE, order=order)
        scratch.unlink()
        manifest = manifest.iloc[order].reset_index(drop=True)[list(COLUMNS)]
        images = np.load(building / IMAGES_FILE, mmap_mode="r")
        options = {"size": size, "seed": seed}
        dataset = PreparedDataset(
            images=images,
            manifest=manifest,
            name=source.resolve().name,
            fingerprint=fingerprint_of(images, manifest, options),
            options=options,
            skipped=skips,
        )
        write_tables(dataset, building)
    return PreparedDataset.open(folder)


def _decode_all(
    source: Path, table: pd.DataFrame, *, spool: Spool, size: int, progress: Progress | None
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Decode the images of `table` into `spool`; return the rows that went there, and path and reason of the others."""
    columns: dict[str, list[float]] = {
        "height": [],
        "width": [],
        "bit_depth": [],
        "intensity_low": [],
        "intensity_high": [],
    }
    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    unreadable: list[str] = []
    for row, outcome in enumerate(_decode_in_parallel([source / path for path in table["path"]], size=size)):
        if isinstance(outcome, CanvasImage):
            spool.append(outcome.pixels)
            kept.append(row)
            intensity = outcome.intensity
            facts = (outcome.height, outcome.width, intensity.bit_depth, intensity.low, intensity.high)
            for column, fact in zip(columns.values(), facts, strict=True):
                column.append(fact)
        else:
            skipped.append(
                (str(table["path"].iloc[row]), str(outcome).removeprefix(f"{source / table['path'].iloc[row]}: "))
            )
            if not isinstance(outcome, ConstantImageError):
                unreadable.append(str(outcome))
        if progress is not None:
            progress(row + 1, len(table))
    if len(unreadable) > _TOLERATED * len(table):
        raise DataError(f"{source}: {len(unreadable)} of {len(table)} images are unreadable: {_first(unreadable)}")
    if not kept:
        raise DataError(
            f"{source}: none of {len(table)} images can be used: {_first([': '.join(skip) for skip in skipped])}"
        )
    return table.iloc[kept].assign(**columns).reset_index(drop=True), skipped


def _decode_in_parallel(paths: list[Path], *, size: int) -> Iterator[CanvasImage | DataError]:
    """Decode images, in order; Pillow lets go of the interpreter lock, so threads are enough."""

    def attempt(path: Path) -> CanvasImage | DataError:
        try:
            return load_on_canvas(path, size=size)
        except DataError as cause:
            return cause

    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        yield from pool.map(attempt, paths)
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for the rest


def _first(messages: list[str], *, limit: int = 3) -> str:
    more = f"; and {len(messages) - limit} more" if len(messages) > limit else ""
    return "; ".join(messages[:limit]) + more
