"""What a file's name says about the person and the slice, where it follows a known pattern, and only there."""

import re

_SUBJECTS = (
    re.compile(r"(?:^|[/_])(sub-[A-Za-z0-9]+)(?=[/_.]|$)"),  # BIDS: sub-01/anat/sub-01_T1w.png
    re.compile(r"(?:^|[/_])(OAS[12]_\d{4})_MR\d", re.IGNORECASE),  # OASIS-1 and -2: OAS1_0001_MR1
    re.compile(r"(?:^|[/_])(OAS3\d{4})(?=[/_.]|$)", re.IGNORECASE),  # OASIS-3: OAS30001_MR_d0129
    re.compile(r"(?:^|[/_])(\d{3}_S_\d{4})(?=[/_.]|$)"),  # ADNI: 002_S_0413
    re.compile(
        r"(?:^|/)(case_\d+)_slice_\d+(?=[_.]|$)", re.IGNORECASE
    ),  # OASIS as PNG slices: case_001_slice_0.nii.png
)
_SLICE = re.compile(r"(?:^|[/_-])slice[-_]?(\d+)(?=[-_.][^/]*$|$)", re.IGNORECASE)
_SPLIT_FOLDER = re.compile(
    r"(?:^|[ _.-])(?:train|training|test|testing|val|valid|validation|validate|dev)$", re.IGNORECASE
)


def subject_of(path: str) -> str:
    """Find the subject in a relative path, such as "sub-01", "OAS1_0001", "002_S_0413" or "case_001"; "" without one.

    Sessions and runs of a subject share its name, so that they never end on two sides of a split.
    """
    for pattern in _SUBJECTS:
        found = pattern.search(path)
        if found:
            return found.group(1)
    return ""


def slice_of(path: str) -> int | None:
    """Find the slice's number in a name like "case_001_slice_12.png" or "sub-01/slice-07.png"; None without one."""
    found = _SLICE.search(path)
    return int(found.group(1)) if found else None


def is_class_folder(name: str) -> bool:
    """Tell whether a folder's name can be a label: it is not empty, a subject's or a split's ("train", "x_val")."""
    return bool(name) and not subject_of(name) and not _SPLIT_FOLDER.search(name)
