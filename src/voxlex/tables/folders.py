"""Decide what the folders above scans name: persons, days, or classes. `docs/data/tables.md` states the rules.

Only names and numbers of scans are known, so this can be wrong. A wrong person costs a few groups, and a wrong class
tears persons apart. So a name that may be a person's is never a class, and whoever uses the decision says what was
decided.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import mean, median
from typing import Literal

from voxlex.tables.naming import is_day, split_named, stem_of, subject_of, without_days
from voxlex.tables.persons import is_persons_name, names_of_persons

Kind = Literal["persons", "days", "classes", "neither"]
"""What the folders of one level name."""

_STRUCTURE = re.compile(
    r"disc\d+|derivatives|sourcedata|rawdata|bids|images?|imgs?|pictures|pngs?|jpe?gs?|tiffs?|dicoms?|dcm|niftis?|nii|data|"
    r"dataset|scans?|slices?|raw|anat|func|dwi|fmap|perf|masks?|seg(?:mentations?)?|images(?:tr|ts|val)|labels(?:tr|ts)|"
    r"(?:fold|part|batch|disk|set|chunk|shard|split)[-_ ]?\d+",
    re.IGNORECASE,
)
"""Folders that name neither persons nor classes, on whatever level they are."""

_A_PERSON = re.compile(
    r"(?:.*[-_ .])?(?:sub|subj|subject|pat|patient|participant|proband|person|volunteer|individual|case|pt|donor|pac|"
    r"paciente|paziente|sujet|fall)s?[-_ #.]*[a-z]{0,3}[-_]?\d+.*",
    re.IGNORECASE,
)
_A_CLASS = (
    r"grade|gr|class|cls|label|stage|type|category|cat|score|cdr|group|grp|cluster|level|lvl|who|t|dx|site|center|centre|"
    r"hospital|scanner|cohort|study|tesla|version|b|plane|view|contrast|sequence|seq|modality|tumou?r|lesion"
)
_A_SCAN = (
    r"fold|part|batch|series|se|st|visit|ses|session|run|scan|slice|sl|echo|week|wk|month|mo|year|yr|day|timepoint|tp|time|"
    r"v|im|img|acq|te|tr"
)
_KNOWN_CLASSES = re.compile(
    r"tumou?r|gliom|mening|pituit|astrocyt|astrocit|blastom|carcin|cytom|schwann|neurin|papil|adenom|metast|lymphom|cyst|"
    r"cancer|malign|benign|normal|health|control|disease|dement|alzheim|parkinson|stroke|isch?em|hemorr|haemorr|bleed|"
    r"scleros|epilep|autis|schizo|depress|bipolar|adhd|lesion|edema|oedema|infarct|hydroceph|atroph|positive|negative|"
    r"^(?:yes|no|ad|cn|nc|hc|mci|emci|lmci|smc|pd|ms|asd|td|tbi|hgg|lgg|gbm|oligo.*|ftd|lbd|vad|sz|mdd|other|others|"
    r"unknown|abnormal|male|female|m|f|t1|t2|t1w|t2w|t1c|t1ce|flair|pd|dwi|swi|adc|mra|mri|ct|pet|axial|coronal|sagittal)$",
    re.IGNORECASE,
)
_SCANS_OF_A_PERSON = re.compile(
    rf"(?:ax|axial|sag|sagittal|cor|coronal|[23]d)?[-_ ]*"
    rf"(?:t1|t2|pd|flair|dwi|adc|swi|mprage|t1w|t2w|t1c|t1ce|t1gd|mra?|ct|pet)(?:[-_ ].*)?|"
    rf"(?:{_A_SCAN})[-_ ]?\d+|\d{{3,}}|pre|post|baseline|followup|follow[-_ ]up|bl|m\d\d",
    re.IGNORECASE,
)
_MANY, _FEW, _FEW_SCANS, _A_FEW_EACH = 8, 10, 10, 4
_MOST = 0.6


@dataclass(frozen=True, eq=False, kw_only=True)
class Folders:
    """What the folders of some scans say.

    Attributes:
        subjects: The folder of the person of each scan, or of the day where nobody is named; "" without one.
        labels: The class of each scan; "" without one.
        kind: What `subjects` are.
        classes: The names of the classes, if there are two or more.
    """

    subjects: list[str]
    labels: list[str]
    kind: Kind
    classes: list[str]

    @property
    def doubtful(self) -> bool:
        """Whether nothing but the number of scans tells that the folders are classes."""
        known = [name for name in self.classes if _KNOWN_CLASSES.search(name) or re.fullmatch(_A_CLASS, _stem(name))]
        return bool(self.classes) and not known


def read_folders(paths: Sequence[str], known: Sequence[str]) -> Folders:
    """Decide which folders are persons and which are classes.

    Args:
        paths: Relative paths of scans.
        known: Subject of each scan that its name tells for sure; "" for others.
    """
    chains = [_chain(path) for path in paths]
    level, kind = _level_of_persons([chain for chain, subject in zip(chains, known, strict=True) if not subject], paths)
    subjects, labels = [], []
    for path, chain, subject in zip(paths, chains, known, strict=True):
        own = next((place for place, name in enumerate(chain) if subject and subject_of(name) == subject), None)
        if not subject and level is not None and level < len(chain):
            own = level
        subjects.append("" if subject or own is None else chain[own])
        above = chain if own is None else chain[:own]
        inside_pipeline = (
            bool(chain) and "derivatives" in path.split("/")[: path.split("/").index(above[-1] if above else chain[0])]
        )
        while len(above) > 1 and _SCANS_OF_A_PERSON.fullmatch(above[-1]):  # a sequence is no class if there are others
            above = above[:-1]
        labels.append(above[-1] if above and not inside_pipeline else "")
    return Folders(subjects=subjects, kind=kind, **_classes(labels))


def kind_of(scans: Mapping[str, int], *, repeating: bool = False) -> Kind:
    """Tell what the folders of one level name, by their names and by their numbers of scans.

    Args:
        scans: Number of scans in each folder, by its name.
        repeating: Whether the folders hold files of the same names, as folders of persons often do.
    """
    names = list(scans)
    if not names:
        return "neither"
    if _share(names, is_day) >= _MOST:
        return "days"
    if (
        _share(names, lambda name: bool(subject_of(name) or _A_PERSON.fullmatch(name) or is_persons_name(name)))
        >= _MOST
    ):
        return "persons"
    if len(names) == 1:
        return "classes"
    forms = Counter(_form(name) for name in names).most_common(3)
    numbered = [form for form, _ in forms if "#" in form]
    if forms[0][0] == "#" and forms[0][1] >= _MOST * len(names):
        return _kind_of_numbers(scans, repeating=repeating)
    if numbered and sum(count for form, count in forms if form in numbered) >= _MOST * len(names):
        stems = [re.sub(r"[^a-z]", "", form) for form in numbered]
        if all(re.fullmatch(_A_SCAN, stem) for stem in stems):
            return "neither"
        padded = any(re.search(r"(?<!\d)0\d", name) for name in names)
        if all(re.fullmatch(_A_CLASS, stem) for stem in stems):
            return "classes"
        few = not padded and len(names) <= _A_FEW_EACH * len(numbered)
        return "classes" if few and any(_KNOWN_CLASSES.search(stem) for stem in stems) else "persons"
    if _share(names, lambda name: bool(_KNOWN_CLASSES.search(name))) >= 0.3:
        return "classes"
    many = len(names) >= _MANY
    if many and _share(names, lambda name: bool(re.search(r"\d", name))) >= 0.8:
        return "persons"
    return "persons" if many and median(scans.values()) < len(names) else "classes"


def _kind_of_numbers(scans: Mapping[str, int], *, repeating: bool) -> Kind:
    """Tell classes 0, 1, 2 from persons 1, 2, 3: by the width of the numbers, then by the scans."""
    numbers = [name for name in scans if name.isdigit()]
    padded = any(len(name) > 1 and name.startswith("0") for name in numbers)
    if padded or len(numbers) > _FEW or max(map(int, numbers)) >= 100:
        return "persons"
    if set(numbers) <= {"0", "1"}:
        return "classes"
    return "persons" if repeating or mean(scans.values()) < _FEW_SCANS else "classes"


def _chain(path: str) -> list[str]:
    """Return the folders above a scan, the outermost first, without those that never name anybody."""
    return [name for name in path.split("/")[:-1] if _may_name(name)]


@cache
def _may_name(name: str) -> bool:
    return bool(name) and not split_named(name) and not _STRUCTURE.fullmatch(name)


def _level_of_persons(chains: Sequence[list[str]], paths: Sequence[str]) -> tuple[int | None, Kind]:
    """Return the level of folders that name persons, the outermost of several; or days, if no level names persons."""
    kinds: dict[Kind, int] = {}
    for level in range(max(map(len, chains), default=0)):
        scans = Counter(chain[level] for chain in chains if level < len(chain))
        if kinds and _are_scans_of(chains, level):
            kinds.setdefault("persons", level - 1)
        kinds.setdefault(kind_of(scans, repeating=_repeating(level, paths)), level)
    for kind in ("persons", "days"):
        if kind in kinds:
            return kinds[kind], kind
    return None, "neither"


def _are_scans_of(chains: Sequence[list[str]], level: int) -> bool:
    """Tell whether a level holds the sequences or visits of the level above, which is then one of persons."""
    below: dict[str, set[str]] = {}
    for chain in chains:
        if level < len(chain):
            below.setdefault(chain[level - 1], set()).add(chain[level])
    times = Counter(name for names in below.values() for name in names)
    same = len(below) >= 3 and mean(times.values()) > 0.5 * len(below)
    named = _share(list(times), lambda name: bool(_SCANS_OF_A_PERSON.fullmatch(name) or is_day(name))) >= _MOST
    classes = _share(list(below), lambda name: bool(_KNOWN_CLASSES.search(name) or re.fullmatch(_A_CLASS, _stem(name))))
    return named and (same or all(is_day(name) for name in times)) and classes < 0.3


def _repeating(level: int, paths: Sequence[str]) -> bool:
    """Tell whether most names of files occur in most folders of a level."""
    files: dict[str, set[str]] = {}
    for path in paths:
        chain = _chain(path)
        if level < len(chain):
            files.setdefault(chain[level], set()).add(path.rpartition("/")[2])
    times = Counter(name for names in files.values() for name in names)
    return len(files) > 1 and mean(times.values()) > 0.5 * len(files)


def _form(name: str) -> str:
    return re.sub(r"\d+", "#", without_days(name).casefold())


def _stem(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.casefold())


def _share(names: Sequence[str], fits: Callable[[str], bool]) -> float:
    return sum(map(fits, names)) / len(names)


def _classes(labels: list[str]) -> dict[str, list[str]]:
    scans = Counter(label for label in labels if label)
    kind = kind_of(scans)
    sure = {name for name in scans if not (is_day(name) or is_persons_name(name) or subject_of(name))}
    if kind != "classes" or len(sure) < 2:
        return {"labels": [""] * len(labels), "classes": []}
    return {"labels": [label if label in sure else "" for label in labels], "classes": sorted(sure)}


def persons_in_names(paths: Sequence[str]) -> list[str]:
    """Guess persons from names of files such as "P01_001.png" and "patient07 slice 3.jpg": what stands before the rest.

    The first part of the names with a number counts, if there are three or more and most files share theirs with
    others. If all files share it, more of the name is taken.

    Returns:
        The part of each path; "" for all, if the names are not like this.
    """
    stems = [stem_of(path) for path in paths]
    for numbers in range(1, 4):
        parts = [_start(stem, numbers=numbers) for stem in stems]
        times = Counter(part for part in parts if part)
        several = [count for count in times.values() if count > 1]
        if len(several) >= 3 and sum(several) >= 0.8 * len(paths):
            return parts
        if len(times) > 1:
            break
    return [""] * len(paths)


def _start(stem: str, *, numbers: int) -> str:
    """Return a name up to its first `numbers` parts with a number, or a person's name in it, if something follows."""
    for name in names_of_persons(re.sub(r"[-_ ]+\d+$", "", stem)):
        return name
    stem = re.sub(r"(?<=\d)(?=(?:slice|sl|img|image|frame|z)[-_ ]?\d+$)", "_", stem, flags=re.IGNORECASE)
    found = re.match(rf"((?:\D*\d[^-_\s(]*){{{numbers}}})[-_\s(]+.+$", without_days(stem))
    return found.group(1).strip(" _-") if found else ""


def are_numbered(paths: Sequence[str]) -> bool:
    """Tell whether most files are numbered one after another in their folders, as slices of volumes are."""
    numbers: dict[str, list[int]] = {}
    for path in paths:
        found = re.fullmatch(r"(.*?)(\d{1,9})\D{0,3}", stem_of(path))
        if found:
            numbers.setdefault(f"{path.rpartition('/')[0]}/{found[1]}", []).append(int(found[2]))
    following = sum(
        b - a == 1 for found in numbers.values() for a, b in zip(sorted(found), sorted(found)[1:], strict=False)
    )
    return len(paths) >= 10 and following >= 0.5 * len(paths)
