"""Facts about scans from the layout of a folder: BIDS, OASIS, ADNI, IXI, class folders and split folders."""

import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from voxlex.tables.naming import (
    date_of,
    is_class_folder,
    sequence_of,
    session_of,
    slice_of,
    split_named,
    subject_of,
    without_dates,
)

_STRUCTURE = re.compile(r"disc\d+|derivatives|sourcedata|rawdata|bids", re.IGNORECASE)
_PUBLISHED_SPLIT = re.compile(r"(?:^|/)keras_png_(?:slices|seg)_(train|validate|test)(?=/|$)")


def describe_paths(paths: Sequence[str]) -> pd.DataFrame:
    """Read facts about scans from their relative paths, without opening files.

    A session that is named by a date becomes a number of the visit for each subject ("ses-01" and so on), because dates
    of visits can identify a person.

    Args:
        paths: Paths of scans, with forward slashes.

    Returns:
        One row per path, with the columns `path`, `subject`, `session`, `sequence` and `label` ("" where unknown) and
        `slice` (`Int64`, missing where unknown); see `voxlex.tables.naming`.
    """
    subjects = [subject_of(path) for path in paths]
    return pd.DataFrame(
        {
            "path": list(paths),
            "subject": subjects,
            "session": number_visits(subjects, [session_of(path) for path in paths]),
            "sequence": [sequence_of(path) for path in paths],
            "slice": pd.array([slice_of(path) for path in paths], dtype="Int64"),
            "label": _labels(paths, subjects),
        }
    )


def number_visits(subjects: Sequence[str], sessions: Sequence[str]) -> list[str]:
    """Replace sessions that are dates by their rank among the subject's dates: "ses-01", "ses-02", ..."""
    days = [date_of(session) for session in sessions]
    visits: dict[str, set[str]] = {}
    for subject, day in zip(subjects, days, strict=True):
        if day:
            visits.setdefault(subject, set()).add(day)
    ranks = {
        subject: {day: f"ses-{rank:02d}" for rank, day in enumerate(sorted(found), start=1)}
        for subject, found in visits.items()
    }
    return [
        ranks[subject][day] if day else session for subject, session, day in zip(subjects, sessions, days, strict=True)
    ]


def undated_paths(table: pd.DataFrame) -> list[str]:
    """Return names of scans without the dates of visits. Results of scans get these names rather than the paths.

    Args:
        table: A table with the columns `path` and `session`, where dates have become numbers of visits.

    Returns:
        The path of each row. If the session is named by a date, the number of the visit replaces the date.
    """
    taken: Counter[str] = Counter()
    names = []
    for path, session in zip(table["path"], table["session"], strict=True):
        name = without_dates(path, session) if date_of(session_of(path)) else path
        taken[name] += 1
        if taken[name] > 1:  # two series of one day, which differ only in the time
            head, dot, suffixes = name.rpartition("/")[2].partition(".")
            name = f"{name[: len(name) - len(head + dot + suffixes)]}{head}-{taken[name]}{dot}{suffixes}"
        names.append(name)
    return names


def published_splits(paths: Sequence[str]) -> list[str] | None:
    """Find the split that comes with a data set, if its layout is known to be divided by subject.

    This applies to OASIS as PNG slices (`keras_png_slices_train` and so on). Other folders named "train" or "test" are
    often divided image by image, and only `folder_splits` uses them as splits.

    Returns:
        "train", "validation" or "test" for each path; None if a path has no such folder.
    """
    found = [_PUBLISHED_SPLIT.search(path) for path in paths]
    return [split_named(match.group(1)) for match in found if match] if all(found) else None


def folder_splits(paths: Sequence[str]) -> list[str]:
    """Return the split that is named by the innermost such folder ("train", "x_val", "Testing"), else ""."""
    return [
        next((split for name in reversed(path.split("/")[:-1]) if (split := split_named(name))), "") for path in paths
    ]


def _labels(paths: Sequence[str], subjects: Sequence[str]) -> list[str]:
    folders = [_class_folder(path, subject) for path, subject in zip(paths, subjects, strict=True)]
    return folders if len(set(folders) - {""}) > 1 else [""] * len(folders)


def _class_folder(path: str, subject: str) -> str:
    """Return the folder that may be a class: the one a scan lies in, or, in a subject's folder, the one above it."""
    folders = path.split("/")[:-1]
    own = next((level for level, name in enumerate(folders) if subject and subject_of(name) == subject), len(folders))
    name = folders[own - 1] if own > 0 else ""
    inside_pipeline = "derivatives" in folders[:own]
    return name if is_class_folder(name) and not inside_pipeline and not _STRUCTURE.fullmatch(name) else ""
