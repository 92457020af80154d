"""One table per data set: a row for each image file of a folder."""

import os
from pathlib import Path

import pandas as pd

from voxlex.data.naming import is_class_folder, slice_of, subject_of
from voxlex.data.scans import IMAGE_SUFFIXES
from voxlex.errors import DataError

INDEX_COLUMNS = ("path", "subject", "slice", "label", "group")
"""Columns of the table that `index_folder` returns."""


def index_folder(source: str | Path) -> pd.DataFrame:
    """List the images of a folder and of all folders below it.

    Hidden files and folders are left out, and so is everything without one of the suffixes in `IMAGE_SUFFIXES`. Linked
    folders are followed once. No image is opened.

    Args:
        source: The folder.

    Returns:
        One row per image, sorted by path, with the columns

        - `path`: relative to `source`, with forward slashes;
        - `subject`: the person, where the name follows a known pattern (see `subject_of`), else "";
        - `slice`: its number in the name (`Int64`), missing where the name has none;
        - `label`: name of the folder the image lies in, if the images lie in two or more class folders, else "";
        - `group`: what must not be torn apart by a split: the subject where it is known, else the file.

    Raises:
        DataError: `source` is missing, is not a folder, cannot be read or holds no image.
    """
    folder = Path(source)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: a folder of images is expected here, not a file")
    paths = sorted(_image_paths(folder))
    if not paths:
        raise DataError(f"{folder}: no images found; looked for {', '.join(IMAGE_SUFFIXES)} in it and below")
    subjects = [subject_of(path) for path in paths]
    return pd.DataFrame(
        {
            "path": paths,
            "subject": subjects,
            "slice": pd.array([slice_of(path) for path in paths], dtype="Int64"),
            "label": _labels(paths),
            "group": [subject or path for subject, path in zip(subjects, paths, strict=True)],
        }
    )


def _image_paths(source: Path) -> list[str]:
    paths: list[str] = []
    pending = [(str(source), "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, prefix = pending.pop()
        try:
            # A link may lead back to a folder above it; device and inode tell that the folder is known.
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as found:
                entries = sorted(
                    (entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name
                )
        except OSError as cause:
            raise DataError(f"{folder}: cannot be listed: {cause.strerror or cause}") from cause
        for entry in entries:
            if entry.is_dir():
                pending.append((entry.path, f"{prefix}{entry.name}/"))
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                paths.append(prefix + entry.name)
    return paths


def _labels(paths: list[str]) -> list[str]:
    parents = [path.rpartition("/")[0].rpartition("/")[2] for path in paths]
    usable = {name for name in set(parents) if is_class_folder(name)}
    if len(usable) < 2:
        return [""] * len(paths)
    return [name if name in usable else "" for name in parents]
