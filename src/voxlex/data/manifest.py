"""One table per data set: a row for each image file of a folder."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from voxlex.data.naming import is_class_folder, slice_of, subject_of
from voxlex.data.scans import IMAGE_SUFFIXES, VOLUME_SUFFIXES, find_scans
from voxlex.errors import DataError

INDEX_COLUMNS = ("path", "subject", "slice", "label", "group")
"""Columns of the table that `index_folder` returns."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Index:
    """The scans of a source: the folder that paths are relative to, and a table with a row for each scan."""

    root: Path
    table: pd.DataFrame


def index_source(source: str | Path) -> Index:
    """List the scans of a folder and of all folders below it, or the one that `source` is itself.

    Raises:
        DataError: `source` is missing, cannot be read or holds no scan.
    """
    source = Path(source)
    if source.is_file():
        return Index(root=source.parent, table=_describe([source.name]))
    return Index(root=source, table=index_folder(source))


def name_of(source: str | Path) -> str:
    """Short name of a folder or a file."""
    return Path(source).resolve().name


def index_folder(source: str | Path) -> pd.DataFrame:
    """List the images of a folder and of all folders below it.

    No image is opened; see `find_scans`.

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
    paths = find_scans(source)
    if not paths:
        known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
        raise DataError(f"{source}: no images found; looked for {known} in it and below")
    return _describe(paths)


def _describe(paths: list[str]) -> pd.DataFrame:
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


def _labels(paths: list[str]) -> list[str]:
    parents = [path.rpartition("/")[0].rpartition("/")[2] for path in paths]
    usable = {name for name in set(parents) if is_class_folder(name)}
    if len(usable) < 2:
        return [""] * len(paths)
    return [name if name in usable else "" for name in parents]
