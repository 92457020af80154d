"""Turn a folder or a table of images into a prepared data set: decode in parallel, list what cannot be used."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from voxlex.data.assemble import Progress, Skipped, assemble
from voxlex.data.fitting import CanvasImage, load_on_canvas
from voxlex.data.intensity import ConstantImageError
from voxlex.data.manifest import index_source, name_of
from voxlex.data.prepared import PreparedDataset
from voxlex.data.spool import Spool
from voxlex.errors import DataError

_TOLERATED = 0.1  # share of unreadable images above which something other than a few bad files is wrong


def prepare_folder(
    source: str | Path,
    *,
    folder: str | Path,
    size: int = 128,
    seed: int = 0,
    allow_leak: bool = False,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Prepare the images of a folder, or of a table of them, for training.

    The images are divided as the source says (a table's column `split`), else 80/10/10 by group: the images of a
    subject, and near-duplicates, stay together. Fewer than three groups cannot be divided; then every image is a test
    image, which is enough to reconstruct and to evaluate.

    Args:
        source: Folder of images, searched recursively, or a table of them; see `index_source`.
        folder: Where the prepared form is written; must not exist.
        size: Side of the square canvas in pixels, at least 8.
        seed: Seed of the division into splits.
        allow_leak: Take a split that the source brings as it is, even if subjects or near-duplicates cross it.
        progress: Called after each image.

    Returns:
        The data set, opened from `folder`. Constant and unreadable images are left out and listed in `skipped`.

    Raises:
        DataError: `source` cannot be used, more than a tenth of its images is unreadable, none is left, the
            source's split leaks, or `folder` exists or cannot be written.
        ValueError: `size` is below 8.
    """
    index = index_source(source)

    def fill(spool: Spool) -> tuple[pd.DataFrame, Skipped]:
        return _decode_all(index.root, index.table, spool=spool, size=size, progress=progress)

    return assemble(folder, fill=fill, size=size, seed=seed, name=name_of(source), options={}, allow_leak=allow_leak)


class _Skip(NamedTuple):
    path: str
    reason: str
    unreadable: bool


def _decode_all(
    source: Path, table: pd.DataFrame, *, spool: Spool, size: int, progress: Progress | None
) -> tuple[pd.DataFrame, Skipped]:
    """Decode the images of `table` into `spool`; return the rows that went there, and what was left out."""
    kept: list[int] = []
    facts: list[dict[str, int | float]] = []
    skips: list[_Skip] = []
    for row, outcome in enumerate(_decode_in_parallel(source, list(table["path"]), size=size)):
        if isinstance(outcome, CanvasImage):
            spool.append(outcome.pixels)
            kept.append(row)
            facts.append(outcome.facts())
        else:
            skips.append(outcome)
        if progress is not None:
            progress(row + 1, len(table))
    _judge(source, skips, total=len(table))
    manifest = pd.concat([table.iloc[kept].reset_index(drop=True), pd.DataFrame(facts)], axis=1)
    return manifest, [(skip.path, skip.reason) for skip in skips]


def _decode_in_parallel(source: Path, paths: list[str], *, size: int) -> Iterator[CanvasImage | _Skip]:
    """Decode images, in order; Pillow lets go of the interpreter lock, so threads are enough."""

    def attempt(path: str) -> CanvasImage | _Skip:
        try:
            return load_on_canvas(source / path, size=size)
        except DataError as cause:
            reason = str(cause).removeprefix(f"{source / path}: ")
            return _Skip(path, reason, unreadable=not isinstance(cause, ConstantImageError))

    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        yield from pool.map(attempt, paths)
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for the rest


def _judge(source: Path, skips: list[_Skip], *, total: int) -> None:
    # Constant images are no sign of damage: the outermost slices of a scan are often empty.
    unreadable = [skip for skip in skips if skip.unreadable]
    if len(unreadable) > _TOLERATED * total:
        raise DataError(f"{source}: {len(unreadable)} of {total} images are unreadable: {_first(unreadable)}")
    if len(skips) == total:
        raise DataError(f"{source}: none of {total} images can be used: {_first(skips)}")


def _first(skips: list[_Skip], *, limit: int = 3) -> str:
    more = [f"and {len(skips) - limit} more"] if len(skips) > limit else []
    return "; ".join([f"{skip.path}: {skip.reason}" for skip in skips[:limit]] + more)
