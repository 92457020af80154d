"""Turn scans into a prepared data set: decode in parallel, list what cannot be used."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from math import ceil
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, NamedTuple

import pandas as pd

from voxlex.config.options import SliceOptions
from voxlex.data.building import Skipped, assemble
from voxlex.data.dataset import PreparedDataset
from voxlex.data.spool import Spool
from voxlex.errors import DataError
from voxlex.images.fit import Fitted, fit_scan
from voxlex.images.frame import Frame
from voxlex.images.intensity import ConstantImageError
from voxlex.progress import Progress
from voxlex.scans.read_write import read_scan
from voxlex.scans.suffixes import is_volume
from voxlex.tables.layouts import undated_paths
from voxlex.tables.manifest import Index, index_source, name_of

_TOLERATED = 0.1  # share of unreadable scans above which something other than a few bad files is wrong
_VOLUMES_AT_ONCE = 8  # a volume may have a gigabyte, and pictures beside it should not wait


def prepare_folder(
    source: str | Path,
    *,
    folder: str | Path,
    size: int = 128,
    seed: int = 0,
    spatial_dims: int = 2,
    slices: SliceOptions | None = None,
    spacing_mm: float | None = None,
    whole: bool = False,
    allow_leak: bool = False,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Prepare scans for training: a row for each picture, and for each slice of a volume or each volume.

    The images are divided as the source says (a table's column `split`), else 80/10/10 by group: the images of a
    subject, and near-duplicates, stay together. Fewer than three groups cannot be divided; then every image is a test
    image, which is enough to reconstruct and to evaluate.

    Args:
        source: Folder of scans, searched recursively, a single scan, or a table of scans; see `index_source`.
        folder: Where the prepared form is written; must not exist.
        size: Side of the square canvas in pixels, or of the cube in voxels, at least 8.
        seed: Seed of the division into splits.
        spatial_dims: 2 for pictures and slices, 3 for volumes as cubes.
        slices: Which slices of volumes to take; only in 2D.
        spacing_mm: Distance between the voxels of a cube; only in 3D.
        whole: Take every slice of each volume, so that it can be put together again; slices then are not compared.
        allow_leak: Take a split that the source brings as it is, even if subjects or near-duplicates cross it.
        progress: Called after each scan.

    Returns:
        The data set, opened from `folder`. Constant and unreadable scans are left out and listed in `skipped`.

    Raises:
        DataError: `source` cannot be used, more than a tenth of its scans is unreadable, none is left, the
            source's split leaks, or `folder` exists or cannot be written.
        ValueError: `size` is below 8.
    """
    frame = Frame(
        size=size, spatial_dims=spatial_dims, slices=slices or SliceOptions(), spacing_mm=spacing_mm, whole=whole
    )
    index = index_source(source)

    def fill(spool: Spool) -> tuple[pd.DataFrame, Skipped]:
        return _fit_all(index.root, index.table, frame, spool=spool, progress=progress)

    options = frame.of_scans(index)
    restoring = options.get("whole", False)  # pictures and cubes are the same for restoring and for learning
    return assemble(
        folder,
        fill=fill,
        size=size,
        spatial_dims=spatial_dims,
        seed=seed,
        name=name_of(source),
        options=options,
        compare=not restoring,
        allow_leak=allow_leak or restoring,
    )


def covering_size(index: Index, *, spacing_mm: float, at_least: int, multiple_of: int) -> int:
    """Return the side in voxels of a cube, around its middle, that holds all of each volume.

    Args:
        index: The scans; what cannot be read is left to preparing to tell.
        spacing_mm: Distance between the voxels of the cube.
        at_least: The least side.
        multiple_of: What the side is a multiple of.
    """
    side = at_least
    for path in index.table["path"]:
        with suppress(DataError):
            scan = read_scan(index.root / path)
            if scan.is_volume and scan.spacing_mm is not None:
                lengths_mm = (count * step for count, step in zip(scan.voxels.shape, scan.spacing_mm, strict=True))
                side = max(side, ceil(max(lengths_mm) / spacing_mm) + 1)
    return ceil(side / multiple_of) * multiple_of


class _Skip(NamedTuple):
    path: str
    reason: str
    unreadable: bool


def _fit_all(
    root: Path, table: pd.DataFrame, frame: Frame, *, spool: Spool, progress: Progress | None
) -> tuple[pd.DataFrame, Skipped]:
    """Put the images of all scans of `table` into `spool`; return a row for each, and what was left out."""
    rows: list[int] = []
    facts: list[dict[str, Any]] = []
    skips: list[_Skip] = []
    for row, outcome in enumerate(_fit_in_parallel(root, list(table["path"]), frame)):
        if isinstance(outcome, Fitted):
            of_scan = outcome.origin.facts()
            for number, image in enumerate(outcome.images):
                spool.append(image)
                rows.append(row)
                facts.append(of_scan | ({"slice": outcome.slices[number]} if outcome.slices else {}))
        else:
            skips.append(outcome)
        if progress is not None:
            progress(row + 1, len(table))
    _judge(root, skips, total=len(table))
    names = dict(zip(table["path"], undated_paths(table), strict=True))
    manifest, found = table.assign(path=list(names.values())).iloc[rows].reset_index(drop=True), pd.DataFrame(facts)
    if "slice" in found:  # a picture's number is in its name, a slice's is its place in the volume
        manifest["slice"] = found.pop("slice").astype("Int64").fillna(manifest["slice"])
    return pd.concat([manifest, found], axis=1), [(names[skip.path], skip.reason) for skip in skips]


def _fit_in_parallel(root: Path, paths: list[str], frame: Frame) -> Iterator[Fitted | _Skip]:
    """Read scans, in order; decoders let go of the interpreter lock, so threads are enough."""
    volumes = BoundedSemaphore(_VOLUMES_AT_ONCE)

    def attempt(path: str) -> Fitted | _Skip:
        try:
            if not is_volume(root / path):
                return fit_scan(root / path, frame)
            with volumes:
                return fit_scan(root / path, frame)
        except DataError as cause:
            reason = str(cause).removeprefix(f"{root / path}: ")
            return _Skip(path, reason, unreadable=not isinstance(cause, ConstantImageError))

    return _in_order(attempt, paths, threads=min(16, os.cpu_count() or 1))


def _in_order(work: Callable[[str], Fitted | _Skip], paths: Sequence[str], *, threads: int) -> Iterator[Fitted | _Skip]:
    """Yield what `work` makes of each path, never further ahead than a few per thread: results take memory."""
    pool = ThreadPoolExecutor(max_workers=threads)
    pending: deque[Future[Fitted | _Skip]] = deque()
    try:
        for path in paths:
            pending.append(pool.submit(work, path))
            if len(pending) > 4 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for the rest


def _judge(root: Path, skips: list[_Skip], *, total: int) -> None:
    # Constant images are no sign of damage: the outermost slices of a scan are often empty.
    if skips and total == 1:
        raise DataError(f"{root / skips[0].path}: {skips[0].reason}")
    unreadable = [skip for skip in skips if skip.unreadable]
    if len(unreadable) > _TOLERATED * total:
        raise DataError(f"{root}: {len(unreadable)} of {total} images are unreadable: {_first(unreadable)}")
    if len(skips) == total:
        raise DataError(f"{root}: none of {total} images can be used: {_first(skips)}")


def _first(skips: list[_Skip], *, limit: int = 3) -> str:
    more = [f"and {len(skips) - limit} more"] if len(skips) > limit else []
    return "; ".join([f"{skip.path}: {skip.reason}" for skip in skips[:limit]] + more)
