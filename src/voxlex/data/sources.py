"""One door to all data: the phantom, a prepared folder, or a folder of images prepared into the cache."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import platformdirs

from voxlex.data.assemble import Progress
from voxlex.data.manifest import index_folder
from voxlex.data.options import PhantomOptions
from voxlex.data.phantom import PHANTOM_VERSION, prepare_phantom
from voxlex.data.phantom_volumes import VOLUMES_VERSION, prepare_phantom_volumes
from voxlex.data.prepare import prepare_folder
from voxlex.data.prepared import FORMAT_VERSION, PreparedDataset, is_prepared
from voxlex.errors import DataError

PHANTOM = "phantom"
"""The source that names the embedded data set; a folder of that name is reached as "./phantom"."""


def open_source(
    source: str | Path,
    *,
    size: int = 128,
    seed: int = 0,
    cache: str | Path | None = None,
    phantom: PhantomOptions | None = None,
    spatial_dims: int = 2,
    spacing_mm: float | None = None,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Open whatever a person calls a data set, and prepare it first where that is needed.

    What was prepared is kept in the cache and used again as long as the files (names, sizes, times) and options are the
    same.

    Args:
        source: "phantom", a prepared folder, or a folder of images.
        size: Side of the square canvas in pixels, or of the cube in voxels.
        seed: Seed of the division into splits, and of the phantom's subjects. A prepared folder is divided already.
        cache: Folder of the cache; by default the environment variable VOXLEX_CACHE, else the user's cache folder.
        phantom: What the phantom should be like; only for the source "phantom".
        spatial_dims: 2 for images, 3 for whole volumes.
        spacing_mm: Distance between the voxels of a cube; only for volumes.
        progress: Called after each image that is prepared.

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
    source = Path(source)
    if is_prepared(source):
        dataset = PreparedDataset.open(source)
        found, expected = "×".join(map(str, dataset.images.shape[2:])), "×".join([str(size)] * spatial_dims)
        if found != expected:
            raise DataError(f"{source}: prepared at {found} pixels, but {expected} are asked for")
        if spatial_dims == 3 and dataset.options.get("spacing_mm") != spacing_mm:
            found = f"{dataset.options.get('spacing_mm')} mm"
            raise DataError(f"{source}: prepared with voxels of {found}, but {spacing_mm} mm are asked for")
        return dataset
    if spatial_dims == 3:
        raise DataError(f"{source}: volumes are learned from prepared data sets or the phantom, not from folders yet")
    key = _key(["folder", _state(source), size, seed])
    return _cached(
        cache_folder(cache) / f"{source.resolve().name}-{size}-{key}",
        lambda folder: prepare_folder(source, folder=folder, size=size, seed=seed, progress=progress),
    )


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


def _state(source: Path) -> list[tuple[str, int, int]]:
    table = index_folder(source)
    state = []
    for path in table["path"]:
        try:
            status = (source / path).stat()
        except OSError:  # a dangling link, say: preparing will list it as unreadable
            state.append((path, -1, -1))
        else:
            state.append((path, status.st_size, status.st_mtime_ns))
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
