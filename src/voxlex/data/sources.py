"""One door to all data: the phantom, a prepared folder, or scans that are prepared into the cache."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path

import platformdirs

from voxlex.config.options import PhantomOptions, SliceOptions
from voxlex.data.dataset import FORMAT_VERSION, PreparedDataset, is_prepared
from voxlex.data.phantoms.slices import PHANTOM_VERSION, prepare_phantom
from voxlex.data.phantoms.volumes import VOLUMES_VERSION, prepare_phantom_volumes
from voxlex.data.prepare import prepare_folder
from voxlex.errors import DataError
from voxlex.images.frame import Frame
from voxlex.progress import Progress
from voxlex.scans.listing import dicom_files
from voxlex.tables.manifest import Index, index_source, name_of

PHANTOM = "phantom"
"""The source that names the embedded data set; a folder of that name is reached as "./phantom"."""


def open_source(
    source: str | Path,
    *,
    size: int = 128,
    seed: int = 0,
    spatial_dims: int = 2,
    slices: SliceOptions | None = None,
    spacing_mm: float | None = None,
    whole: bool = False,
    cache: str | Path | None = None,
    phantom: PhantomOptions | None = None,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Open whatever a person calls a data set, and prepare it first where that is needed.

    What was prepared is kept in the cache and used again as long as the files (names, sizes, times) and options are the
    same.

    Args:
        source: "phantom", a prepared folder, a folder of scans, a single scan, or a table of scans (.csv, .tsv,
            .parquet).
        size: Side of the square canvas in pixels, or of the cube in voxels.
        seed: Seed of the division into splits, and of the phantom's subjects. A prepared folder is divided already.
        spatial_dims: 2 for pictures and slices, 3 for volumes as cubes.
        slices: Which slices of volumes to take; only in 2D.
        spacing_mm: Distance between the voxels of a cube; only in 3D.
        whole: Take every slice of each volume, so that it can be put together again. A prepared folder holds what it
            holds.
        cache: Folder of the cache; by default the environment variable VOXLEX_CACHE, else the user's cache folder.
        phantom: What the phantom should be like; only for the source "phantom".
        progress: Called after each scan that is prepared.

    Raises:
        DataError: The source cannot be used, was prepared at another size or spacing, or the cache cannot be written.
    """
    if str(source) == PHANTOM:
        options = phantom or PhantomOptions()
        if spatial_dims == 3:
            return _open_phantom_volumes(
                options, size=size, spacing_mm=spacing_mm or 3.0, seed=seed, cache=cache, progress=progress
            )
        key = _key(["phantom", PHANTOM_VERSION, asdict(options), size, seed])
        return _cached(
            cache_folder(cache) / f"{PHANTOM}-{size}-{key}",
            lambda folder: prepare_phantom(options, folder=folder, size=size, seed=seed, progress=progress),
        )
    check_source(source)
    frame = Frame(
        size=size, spatial_dims=spatial_dims, slices=slices or SliceOptions(), spacing_mm=spacing_mm, whole=whole
    )
    if is_prepared(Path(source)):
        return _open_prepared(Path(source), frame)
    index = index_source(source)
    key = _key(["scans", _state(index), frame.of_scans(index), size, seed])
    return _cached(
        cache_folder(cache) / f"{name_of(source)}-{size}-{key}",
        lambda folder: prepare_folder(
            source,
            folder=folder,
            size=size,
            seed=seed,
            spatial_dims=spatial_dims,
            slices=slices,
            spacing_mm=spacing_mm,
            whole=whole,
            progress=progress,
        ),
    )


def check_source(source: str | Path) -> None:
    """Refuse a source that is not there, and say so where "phantom" may have been meant.

    Raises:
        DataError: It is neither "phantom" nor a file or folder.
    """
    if str(source) == PHANTOM or Path(source).exists():
        return
    meant = f"; did you mean {PHANTOM!r}?" if get_close_matches(str(source).lower(), [PHANTOM]) else ""
    raise DataError(f"{source}: no such file or folder{meant}")


def _open_phantom_volumes(
    options: PhantomOptions,
    *,
    size: int,
    spacing_mm: float,
    seed: int,
    cache: str | Path | None,
    progress: Progress | None,
) -> PreparedDataset:
    key = _key(["phantom volumes", VOLUMES_VERSION, asdict(options), size, spacing_mm, seed])
    return _cached(
        cache_folder(cache) / f"{PHANTOM}-volumes-{size}-{key}",
        lambda folder: prepare_phantom_volumes(
            options, folder=folder, size=size, spacing_mm=spacing_mm, seed=seed, progress=progress
        ),
    )


def cache_folder(cache: str | Path | None = None) -> Path:
    """Folder in which prepared data sets are kept: `cache`, else VOXLEX_CACHE, else the user's cache folder."""
    return Path(cache or os.environ.get("VOXLEX_CACHE") or platformdirs.user_cache_path("voxlex"))


def _open_prepared(folder: Path, frame: Frame) -> PreparedDataset:
    dataset = PreparedDataset.open(folder)
    found, expected = "×".join(map(str, dataset.images.shape[2:])), "×".join(map(str, frame.shape))
    if found != expected:
        raise DataError(f"{folder}: prepared at {found} pixels, but {expected} are asked for")
    spacing_mm = dataset.options.get("spacing_mm")
    if frame.spatial_dims == 3 and spacing_mm != frame.spacing_mm:
        raise DataError(f"{folder}: prepared with voxels of {spacing_mm} mm, but {frame.spacing_mm} mm are asked for")
    return dataset


def _state(index: Index) -> list[object]:
    """What a source says of its scans, and names, sizes and times of all files that they are read from."""
    places = [index.root / path for path in index.table["path"]]
    # A series is a folder, and the folder's own time says nothing of the files in it.
    files = [file for place in places for file in (dicom_files(place) if place.is_dir() else [place])]
    state: list[object] = [index.table.to_csv(index=False)]
    for file in files:
        try:
            status = file.stat()
        except OSError:  # a dangling link, say: preparing will list it as unreadable
            status = None
        name = file.relative_to(index.root).as_posix()
        state.append((name, status.st_size, status.st_mtime_ns) if status else (name, -1, -1))
    return state


def _key(content: list[object]) -> str:
    text = json.dumps([FORMAT_VERSION, *content], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _cached(folder: Path, prepare: Callable[[Path], PreparedDataset]) -> PreparedDataset:
    if folder.exists():
        try:
            return PreparedDataset.open(folder)
        except DataError:  # damaged since: the source is there, so make it anew
            shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(dir=folder.parent, prefix="."))
    except OSError as cause:
        message = f"{folder.parent}: the cache cannot be written: {cause.strerror}; set VOXLEX_CACHE to another folder"
        raise DataError(message) from cause
    try:
        prepare(workplace / folder.name)
        try:
            (workplace / folder.name).replace(folder)
        except OSError as cause:
            # Mostly another process has put the same data set there in the meantime: then use that one.
            if not is_prepared(folder):
                raise DataError(f"{folder}: cannot be written: {cause.strerror}") from cause
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return PreparedDataset.open(folder)
