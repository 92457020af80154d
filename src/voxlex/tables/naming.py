"""Find subject, session, sequence and slice in file names that follow a known pattern."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
"""Files that are tables."""

_SUBJECTS = (
    re.compile(r"(?:^|[/_])(sub-[A-Z0-9]+)(?=[/_.]|$)", re.IGNORECASE),  # BIDS: sub-01/anat/sub-01_T1w.png
    re.compile(r"(?:^|[/_])(OAS[12]_\d{4})_MR\d", re.IGNORECASE),  # OASIS-1 and -2: OAS1_0001_MR1
    re.compile(r"(?:^|[/_])(OAS3\d{4})(?=[/_.]|$)", re.IGNORECASE),  # OASIS-3: OAS30001_MR_d0129
    re.compile(r"(?:^|[/_])(\d{3}_S_\d{4,5})(?=[/_.]|$)"),  # ADNI: 002_S_0413
    re.compile(r"(?:^|/)(IXI\d{3})-[A-Za-z]+-\d+"),  # IXI: IXI002-Guys-0828-T1.nii.gz
    re.compile(
        r"(?:^|/)(case_\d+)_slice_\d+(?=[_.]|$)", re.IGNORECASE
    ),  # OASIS as PNG slices: case_001_slice_0.nii.png
    # BraTS20_Training_001, BraTS2021_00000, BraTS-GLI-00000-000 (the last number is a visit), Brats18_CBICA_AAB_1
    re.compile(r"(?:^|[/_])(BraTS\d{2,4}_(?:Training|Validation|Testing|Test)_\d+)(?=[/_.]|$)", re.IGNORECASE),
    re.compile(r"(?:^|[/_])(BraTS20\d\d_\d{3,5})(?=[/_.]|$)", re.IGNORECASE),
    re.compile(r"(?:^|[/_])(BraTS-[A-Z]+-\d{3,5})(?:-\d{3})?(?=[/_.-]|$)", re.IGNORECASE),
    re.compile(r"(?:^|[/_])(BraTS1\d_[A-Z0-9]+_[A-Z0-9]+_\d+)(?=[/_.]|$)", re.IGNORECASE),
    re.compile(r"(?:^|[/_])(TCGA[-_][A-Z0-9]{2}[-_][A-Z0-9]{4})(?=[/_.-]|$)", re.IGNORECASE),
    re.compile(r"(?:^|[/_])(NDAR_?INV[A-Z0-9]{4,})(?=[/_.]|$)", re.IGNORECASE),  # ABCD and others of the NDA
    re.compile(r"(?:^|[/_])((?:UPENN-GBM|UCSF-PDGM)-\d{3,5})(?=[/_.]|$)", re.IGNORECASE),
)
_KERAS_LABELS = re.compile(r"(?:^|/)seg(_\d+)_slice_\d+(?=[_.]|$)", re.IGNORECASE)  # their label maps
_SLICE = re.compile(r"(?:^|[/_-])slice[-_]?(\d+)(?=[-_.][^/]*$|$)", re.IGNORECASE)
_SPLIT_FOLDER = re.compile(
    r"(?:^|[ _.-])(?:(train|training)|(val|valid|validation|validate|dev)|(test|testing))$", re.IGNORECASE
)
_SPLITS = ("train", "validation", "test")

_SESSIONS = (
    re.compile(r"(?:^|[/_])(ses-[A-Za-z0-9-]+)(?=[/_.]|$)"),  # BIDS
    re.compile(r"(?:^|[/_])OAS[12]_\d{4}_(MR\d+)", re.IGNORECASE),
    re.compile(r"(?:^|[/_])OAS3\d{4}_(?:[A-Za-z0-9]+_)*?(d\d{4})(?=[/_.]|$)", re.IGNORECASE),
)
_DATE = r"((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
_DATED_SESSION = re.compile(rf"^(?:ses-)?{_DATE}(?:T?\d{{4,6}})?$")
_DATED_FOLDER = re.compile(rf"(?:^|/){_DATE}(?:[T _.-]\d\d[^/]*)?(?=/|$)")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_STAMP = re.compile(
    rf"(?<!\d)(?:{_DATE}(?:[T _.-]?\d\d[_:.-]?\d\d(?:[_:.-]?\d\d(?:\.\d+)?)?)?"
    r"|(?:0?[1-9]|[12]\d|3[01])([-_. ])(?:0?[1-9]|[12]\d|3[01])\4(?:19|20)\d\d"
    r"|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19[2-9]|20[0-4])\d"
    rf"|\d{{1,2}}[-_. ]?{_MONTH}[-_. ]?(?:19|20)\d\d|(?:19|20)\d\d[-_. ]?{_MONTH}[-_. ]?\d{{1,2}})(?!\d)",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")  # every date has one, and a name without one is known at once
_WORDS_OF_A_DAY = re.compile(r"(?:visit|scan|exam|study|mri?|session|ses|day|date)?", re.IGNORECASE)

_ADNI_SEQUENCE = re.compile(r"(?:^|/)\d{3}_S_\d{4,5}/([^/]+)/[^/]+")
_OASIS_SEQUENCE = re.compile(r"(?:^|[/_])OAS[12]_\d{4}_MR\d+(?:/(?:[^/]+/)*)?(?:OAS[12]_\d{4}_MR\d+_)?([^/]+)$", re.I)
_IXI_SEQUENCE = re.compile(r"(?:^|/)IXI\d{3}-[A-Za-z]+-\d+-([A-Za-z0-9]+)")
_SUFFIXES = re.compile(r"(?:\.(?:nii|nifti|gz|img|hdr|mgz|mgh|dcm|ima|nrrd|mha|mhd|np[yz]|png|jpe?g|tiff?))+$", re.I)


@lru_cache(maxsize=2**18)  # the same paths are asked for by several rules
def subject_of(path: str) -> str:
    """Find the subject in a relative path, such as "sub-01", "OAS1_0001", "002_S_0413" or "case_001"; "" without one.

    All sessions and runs of a subject have the same name, so that they lie in one split.
    """
    for pattern in _SUBJECTS:
        found = pattern.search(path)
        if found:
            return found.group(1)
    labels = _KERAS_LABELS.search(path)
    return f"case{labels.group(1)}" if labels else ""


def slice_of(path: str) -> int | None:
    """Find the slice's number in a name like "case_001_slice_12.png" or "sub-01/slice-07.png"; None without one."""
    found = _SLICE.search(path)
    return int(found.group(1)) if found else None


def session_of(path: str) -> str:
    """Find the session in a relative path, such as "ses-02", "MR1" or "d0129"; "" without one.

    If a session is named by a date, the date is returned. `date_of` recognises it, and the manifest replaces it by a
    number.
    """
    for pattern in _SESSIONS:
        found = pattern.search(path)
        if found:
            return found.group(1)
    if subject_of(path):
        dated = _DATED_FOLDER.search(path, pos=path.find(subject_of(path)))
        if dated:
            return dated.group(0).strip("/")
    return ""


def date_of(session: str) -> str:
    """Return the day, "20060519", of a session that a date names ("2006-05-19_16_17_47.0", "ses-20060519"), else ""."""
    found = _DATED_SESSION.match(session) or _DATED_FOLDER.match(session)
    if found:
        return "".join(found.groups())
    return day_in(session) if is_day(session) else ""


def day_in(text: str) -> str:
    """Return the first full date in a text as "20060519"; "" without one. 5-6-2006 is taken for the fifth of June."""
    found = _STAMP.search(text) if _YEAR.search(text) else None
    if not found:
        return ""
    if found[1]:
        return "".join(found.groups()[:3])
    month = re.search(_MONTH, found[0], re.IGNORECASE)
    numbers = re.findall(r"\d+", found[0])
    if month:
        year, day = sorted(numbers, key=len, reverse=True)
        return f"{year}{_MONTHS.index(month[0][:3].lower()) + 1:02d}{int(day):02d}"
    first, second, year = numbers if len(numbers) == 3 else (found[0][:2], found[0][2:4], found[0][4:])
    day, month_number = (second, first) if int(second) > 12 else (first, second)
    return f"{year}{int(month_number):02d}{int(day):02d}"


def is_day(name: str) -> bool:
    """Tell whether a name is a date and nothing else, such as "2019-03-04", "04.03.2019" or "scan_20190304"."""
    if re.fullmatch(r"(?:19|20)\d\d[-_.](?:0[1-9]|1[0-2])", name):
        return True
    rest, count = _STAMP.subn("", name)
    return count > 0 and bool(_WORDS_OF_A_DAY.fullmatch(rest.strip(" _-.")))


def without_days(name: str) -> str:
    """Return the rest of a name with a date in it: "TCGA_CS_4941" for "TCGA_CS_4941_19960909"."""
    return _STAMP.sub("", name).strip(" _-.") if _YEAR.search(name) and _STAMP.search(name) else name


def replace_days(text: str, by: Callable[[str], str]) -> str:
    """Replace each full date in a text, with its time, by what a function returns for the day "20060519"."""
    return _STAMP.sub(lambda found: by(day_in(found[0])), text) if _YEAR.search(text) else text


def sequence_of(path: str) -> str:
    """Find the sequence or the processed version in a path, such as "T1w", "MPRAGE", "aligned_norm"; "" if unknown.

    It is the suffix of a BIDS name, the folder below an ADNI subject, the end of an IXI name, or what follows the
    session in OASIS-1 and -2.
    """
    name = stem_of(path)
    if name.lower().startswith("sub-"):
        return next((part for part in reversed(name.split("_")) if "-" not in part and not slice_of(part)), "")
    if _KERAS_LABELS.search(path):
        return "seg"
    for pattern in (_ADNI_SEQUENCE, _IXI_SEQUENCE, _OASIS_SEQUENCE):
        found = pattern.search(path)
        if found:
            return stem_of(found.group(1))
    return ""


def is_table(source: str | Path) -> bool:
    """Tell whether a source is a table, by its suffix; a folder never is."""
    return Path(source).suffix.lower() in TABLE_SUFFIXES and not Path(source).is_dir()


def stem_of(path: str) -> str:
    """Return the name of a file without its folder and all its known suffixes: "a" for "x/a.nii.gz"."""
    return _SUFFIXES.sub("", path.rpartition("/")[2])


def is_class_folder(name: str) -> bool:
    """Tell whether the name of a folder can be a label, and is not empty, a subject or a split ("train", "x_val")."""
    return bool(name) and not subject_of(name) and not _SPLIT_FOLDER.search(name)


def split_named(name: str) -> str:
    """Return the split that a word or folder names, such as "validation" for "val" and "x_val"; else ""."""
    found = _SPLIT_FOLDER.search(name)
    return next(split for split, group in zip(_SPLITS, found.groups(), strict=True) if group) if found else ""
