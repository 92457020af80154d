"""Put decoded or generated images together to a prepared data set: divide, order, store, describe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from voxlex.data.dataset import (
    IMAGES_FILE,
    PreparedDataset,
    fingerprint_of,
    split_order,
    with_all_columns,
    write_tables,
)
from voxlex.data.grouping import divide
from voxlex.data.spool import Spool
from voxlex.files import atomic_folder
from voxlex.scans.formats.pictures import MIN_SIDE

Skipped = list[tuple[str, str]]
"""Path and reason of each image that was left out."""


def assemble(
    folder: str | Path,
    *,
    fill: Callable[[Spool], tuple[pd.DataFrame, Skipped]],
    size: int,
    spatial_dims: int = 2,
    seed: int,
    name: str,
    options: dict[str, Any],
    compare: bool = True,
    allow_leak: bool = False,
) -> PreparedDataset:
    """Make a prepared data set from images that come one by one; it appears whole or not at all.

    Rows that must stay together get one `group`, see `grouping.divide`.

    Args:
        folder: Where the data set is written; must not exist.
        fill: Appends the images to the spool it is given, and returns a table with a row for each and what it left
            out. The table has all `COLUMNS`, where those that only volumes need may be missing, and others that are
            kept. Without a column `split` it is divided here.
        size: Side of the canvases in pixels, or of the cubes in voxels, at least 8.
        spatial_dims: 2 for canvases, 3 for cubes.
        seed: Seed of the division into splits.
        name: Short name of the source.
        options: What else the images depend on.
        compare: Look for near-duplicates, and keep them together.
        allow_leak: Take a split that the table brings as it is, even if subjects or near-duplicates cross it.

    Raises:
        DataError: `folder` exists or cannot be written, or the table's split leaks.
        ValueError: `size` is below 8.
    """
    if size < MIN_SIDE:
        raise ValueError(f"size must be at least {MIN_SIDE} pixels, found {size}")
    with atomic_folder(folder) as building:
        scratch = building / "scratch"
        with scratch.open("w+b") as file:
            spool = Spool(file, shape=(size,) * spatial_dims)
            manifest, skipped = fill(spool)
            thumbnails = spool.thumbnails() if compare else None
            manifest, facts = divide(manifest, thumbnails, seed=seed, name=name, allow_leak=allow_leak)
            order = split_order(list(manifest["split"]))
            spool.write_array(building / IMAGES_FILE, order=order)
        scratch.unlink()
        manifest = with_all_columns(manifest.iloc[order].reset_index(drop=True))
        images = np.load(building / IMAGES_FILE, mmap_mode="r")
        options = {"size": size, "seed": seed, **options, **facts}
        fingerprint = fingerprint_of(images, manifest, options)
        dataset = PreparedDataset(
            images=images, manifest=manifest, name=name, fingerprint=fingerprint, options=options, skipped=skipped
        )
        write_tables(dataset, building)
    return PreparedDataset.open(folder)
