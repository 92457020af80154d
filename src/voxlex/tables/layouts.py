"""Facts about scans from the layout of a folder: BIDS, OASIS, ADNI, IXI, folders of persons, classes and splits."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from voxlex.tables.folders import Folders, persons_in_names, read_folders
from voxlex.tables.naming import (
    date_of,
    day_in,
    replace_days,
    sequence_of,
    session_of,
    slice_of,
    split_named,
    subject_of,
    without_days,
)
from voxlex.tables.persons import names_of_persons, pseudonyms

_PUBLISHED_SPLIT = re.compile(r"(?:^|/)keras_png_(?:slices|seg)_(train|validate|test)(?=/|$)")
_EXAMPLES = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """What paths say of scans.

    Attributes:
        table: One row per path, with the columns `path`, `subject`, `session`, `sequence` and `label` ("" where
            unknown) and `slice` (`Int64`, missing where unknown).
        guessed: Whether the subject of each row is a guess.
        notes: Sentences about what was guessed, for people.
    """

    table: pd.DataFrame
    guessed: list[bool]
    notes: list[str]


def describe_paths(paths: Sequence[str]) -> pd.DataFrame:
    """Read facts about scans from their relative paths, without opening files; see `read_layout`."""
    return read_layout(paths).table


def read_layout(paths: Sequence[str]) -> Layout:
    """Read facts about scans from their relative paths, without opening files.

    Subjects come from names that follow a known pattern (`voxlex.tables.naming`), else from folders that seem to be of
    one person each (`voxlex.tables.folders`), else from the beginnings of file names. A session that is named by a date
    becomes a number of the visit for each subject ("ses-01" and so on), because dates of visits can identify a person.
    Folders that are named after persons or days become numbers, too.

    Args:
        paths: Paths of scans, with forward slashes.
    """
    known = [subject_of(path) for path in paths]
    folders = read_folders(paths, known)
    hidden = _hidden(folders)
    subjects = [
        sure or hidden.get(folder) or without_days(folder) for sure, folder in zip(known, folders.subjects, strict=True)
    ]
    notes = _notes(folders, hidden)
    rest = [row for row, subject in enumerate(subjects) if not subject]
    begun = persons_in_names([paths[row] for row in rest])
    numbers = pseudonyms(name for part in begun for name in names_of_persons(part))
    for row, part in zip(rest, begun, strict=True):
        subjects[row] = numbers.get(part, part)
    if any(begun):
        count = len(set(begun) - {""})
        notes.append(
            f"subjects: guessed from the beginnings of file names, {count:,} persons in {len(rest):,} files; a column "
            "'subject' in a table says it for sure"
        )
    sessions = [
        "" if folder and folders.kind == "days" else _session(path, folder)
        for path, folder in zip(paths, folders.subjects, strict=True)
    ]
    table = pd.DataFrame(
        {
            "path": list(paths),
            "subject": subjects,
            "session": number_visits(subjects, sessions),
            "sequence": [sequence_of(path) for path in paths],
            "slice": pd.array([slice_of(path) for path in paths], dtype="Int64"),
            "label": folders.labels,
        }
    )
    guessed = [bool(subject) and not sure for subject, sure in zip(subjects, known, strict=True)]
    return Layout(table=table, guessed=guessed, notes=notes)


def _hidden(folders: Folders) -> dict[str, str]:
    """Return a number for each folder that bears the name of a person or a date alone."""
    names = {name for name in folders.subjects if name and not re.search(r"\d", without_days(name))}
    return pseudonyms(names, what="day" if folders.kind == "days" else "person")


def _notes(folders: Folders, hidden: dict[str, str]) -> list[str]:
    names = sorted(set(folders.subjects) - {""})
    shown = ", ".join([hidden.get(name) or without_days(name) for name in names[:_EXAMPLES]])
    listed = shown + (f" and {len(names) - _EXAMPLES:,} more" if len(names) > _EXAMPLES else "")
    table = "write a table with 'voxlex data index', with a column 'subject' or 'label'"
    if folders.kind == "days" and names:
        return [
            f"subjects: {len(names):,} folders are named by dates; the scans of a day count as one person, and no "
            f"label is made of dates. If that is not so, {table}"
        ]
    if names:
        return [
            f"subjects: {len(names):,} folders ({listed}) count as one person each, and not as labels. If that is not "
            f"so, {table}"
        ]
    if folders.doubtful:
        listed = ", ".join(folders.classes[:_EXAMPLES])
        return [f"labels: the {len(folders.classes)} folders {listed} … count as classes. If they are persons, {table}"]
    return []


def _session(path: str, folder: str) -> str:
    """Return the session of a path, which may be a date: in a name of a known pattern, or from a person's folder on."""
    session = session_of(path)
    if session:
        return session
    start = path.find(folder) if folder else path.find(subject_of(path)) if subject_of(path) else -1
    day = day_in(path[start:].rpartition("/")[0]) if start >= 0 else ""
    return day


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
    """Return names of scans without dates and names of persons. Results of scans get these names rather than the paths.

    Args:
        table: A table with the columns `path` and `session`, where dates have become numbers of visits.

    Returns:
        The path of each row. The number of the visit replaces a date, or, where the session is unknown, a number of the
        day. "person-001" replaces a name such as "MUELLER^HANS", and a folder that is named after a person.
    """
    paths = list(table["path"])
    folders = read_folders(paths, [subject_of(path) for path in paths])
    hidden = {name: number for name, number in _hidden(folders).items() if folders.kind == "persons"}
    people = pseudonyms(name for path in paths for name in names_of_persons(path) if name not in hidden)
    days = sorted(_days_in(paths))
    ranks = {day: f"day-{rank:02d}" for rank, day in enumerate(days, start=1)}
    taken: Counter[str] = Counter()
    names = []
    for path, session in zip(paths, table["session"], strict=True):
        parts = [hidden.get(part, part) for part in path.split("/")]
        for name in names_of_persons(path):
            parts = [part.replace(name, people.get(name, name)) for part in parts]
        name = replace_days("/".join(parts), _by("" if folders.kind == "days" else session, ranks))
        taken[name] += 1
        if taken[name] > 1:  # two series of one day, which differ only in the time
            last, dot, suffixes = name.rpartition("/")[2].partition(".")
            name = f"{name[: len(name) - len(last + dot + suffixes)]}{last}-{taken[name]}{dot}{suffixes}"
        names.append(name)
    return names


def anonymous(text: str) -> str:
    """Return a text without full dates and without names such as "MUELLER^HANS"."""
    for name in names_of_persons(text):
        text = text.replace(name, "person")
    return replace_days(text, lambda _: "day")


def _by(session: str, ranks: dict[str, str]) -> Callable[[str], str]:
    return lambda day: session or ranks[day]


def _days_in(paths: Sequence[str]) -> set[str]:
    found: set[str] = set()

    def note(day: str) -> str:
        found.add(day)
        return ""

    for path in paths:
        replace_days(path, note)
    return found


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
