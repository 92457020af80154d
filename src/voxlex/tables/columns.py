"""Know the columns of people's tables by their names: paths, subjects, sessions and splits.

Names are compared by their letters alone. "Patient ID", "patient_id", "PatientID" and "PATIENT-ID" are one name, and so
are "Numéro patient" and "numeropatient".
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from voxlex.tables.persons import is_persons_name, subject_keys

PATHS = (
    *("path", "filepath", "file", "filename", "imagepath", "imagefile", "imagefilename", "imgpath", "imgfile"),
    *("scanpath", "scanfile", "niftipath", "niftifile", "dicompath", "dicomfile", "relativepath", "absolutepath"),
    *("fullpath", "fname", "filenames", "paths", "pfad", "dateipfad", "datei", "dateiname", "chemin", "fichier"),
    *("nifti", "image", "img", "scan"),
)
"""Names of a column of paths, the surest first."""

SESSIONS = (
    "session",
    "sessionid",
    "ses",
    "sesid",
    "sessionlabel",
    "visit",
    "visitid",
    "visitcode",
    "viscode",
    "timepoint",
)
"""Names of a column of sessions or visits, the surest first."""

SPLITS = (
    *("split", "datasetsplit", "partition", "subset", "set"),
    *("dataset", "fold", "usage", "phase", "traintest", "traintestsplit", "traintestval", "splitset", "purpose"),
)
"""Names of a column of splits, the surest first. All but the first count only if they name two splits or three, and
nothing else."""

_PERSON = (
    r"(?:subjects?|subj|participants?|patients?|patienten|proband(?:en)?|persons?|personen|individuals?|individuum|"
    r"volunteers?|donors?|animals?|respondents?|cases?|fall|sujets?|sujetos?|soggett[oi]|paciente|paziente)"
)
_NUMBER = (
    r"(?:id|ids|identifier|ident|number|num|no|nr|nummer|numero|code|key|label|uid|guid|barcode|kennung|pseudonym)"
)
_OF = (
    r"(?:anon|anonymi[sz]ed|anonymous|pseudo|pseudonymi[sz]ed|deidentified|deid|coded|bids|dicom|src|unique|original|orig|"
    r"study|ndar|nda|adni|oasis|ixi|brats|tcga|bcr|ukb|ukbiobank|hcp|abide|ppmi|camcan|global|internal|external)"
)
_SUBJECT = re.compile(
    rf"{_OF}*{_PERSON}{_NUMBER}?|{_NUMBER}(?:de|du|del)?{_PERSON}|{_OF}*(?:sub|pat|pt)(?:id|ids|no|nr|num|number)?|"
    rf"(?:p|r|e|u|s)id|pidn|usubjid|recordid|guid|subjectidentity|{_OF}+{_NUMBER}|{_NUMBER}anon|bcrpatientbarcode|"
    r"submitterid|casesubmitterid|tcga|brats|oasis|ixi|upn|id|ids|identifier|pseudonym|name"
)
_PERSONAL = re.compile(
    r"(?:subject|patient|patienten|participant|person)s?names?|name|fullname|nompatient|(?:last|family|sur)name|nachname|"
    r"mrn|mrnumber|medicalrecord(?:number|no|nr|id)?|ssn|socialsecuritynumber|nhs(?:number|no)|chinumber|"
    r"hospital(?:number|no|nr|id)|insurance(?:number|no|nr|id)|accountnumber|krankenkassennummer|versichertennummer"
)
_SURE = re.compile(rf"(?:{_OF})*{_PERSON}{_NUMBER}|subjects?|subj")
_STATUS = {
    "0",
    "1",
    "yes",
    "no",
    "true",
    "false",
    "y",
    "n",
    "case",
    "control",
    "patient",
    "healthy",
    "ja",
    "nein",
    "oui",
    "non",
}
_ROWS_OF_A_STATUS = 3


def letters(name: object) -> str:
    """Return the letters of a name in lower case, without accents, spaces, digits and signs."""
    plain = unicodedata.normalize("NFKD", str(name)).casefold()
    return re.sub(r"[^a-z]", "", plain)


def find(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the column with the surest of some names; None if no column has one."""
    known = {letters(column): column for column in reversed(list(columns))}
    return next((known[name] for name in names if name in known), None)


def called(columns: Iterable[str], name: str) -> str | None:
    """Return the column of a name, however it is written ("label", "Label", "LABEL"); None if there is none.

    The name itself comes first. Of several other spellings, none is taken.
    """
    columns = list(columns)
    alike = [column for column in columns if re.sub(r"[\W_]", "", column).casefold() == name]
    return name if name in columns else alike[0] if len(alike) == 1 else None


def is_subject(name: str) -> bool:
    """Tell whether a column has a name for persons, such as "PatientID", "PTID" or "BraTS21ID"."""
    return bool(_SUBJECT.fullmatch(letters(name)) or is_personal(name))


def is_personal(name: str) -> bool:
    """Tell whether a column has a name for what identifies a person anywhere, such as "PatientName" or "MRN"."""
    return bool(_PERSONAL.fullmatch(letters(name)))


def is_sure(name: str) -> bool:
    """Tell whether a column has a name that only persons have, such as "subject" and "patient_id", but not "ID"."""
    return bool(_SURE.fullmatch(letters(name)))


def subject_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that name persons: by their names, and because their values can.

    A column "patient" of yes and no, or of a single value, tells who is ill, and not who somebody is. A column "ID"
    that counts the rows names rows.
    """
    return [name for name in table.columns if is_subject(name) and _can_name_persons(table[name])]


def _can_name_persons(column: pd.Series) -> bool:
    known = column[column != ""]
    if known.empty or (letters(column.name) == "name" and known.is_unique and not known.map(is_persons_name).all()):
        return False
    if is_sure(str(column.name)):
        return True
    values = set(known.str.casefold())
    if len(known) >= _ROWS_OF_A_STATUS and (len(values) == 1 or values <= _STATUS):
        return False
    return not _counts_rows(known)


def _counts_rows(known: pd.Series) -> bool:
    if len(known) < _ROWS_OF_A_STATUS or not known.str.fullmatch(r"\d{1,9}").all():
        return False
    numbers = known.astype("int64").to_numpy()
    return bool(numbers[0] in (0, 1) and (numbers[1:] - numbers[:-1] == 1).all())


class Contradiction(Exception):
    """Two columns of persons that cannot both be right."""


def choose_subject(table: pd.DataFrame, candidates: Sequence[str]) -> tuple[str | None, str]:
    """Choose the column that names persons among several: the one with the fewest persons.

    Two rows with equal values in one column then have equal values in the chosen column, too. So nobody whom one of the
    columns knows can get into two splits.

    Args:
        table: A table of text.
        candidates: Columns of `subject_columns`.

    Returns:
        The column, or None without a candidate, and a sentence about the others ("" if they say the same).

    Raises:
        Contradiction: If rows of one person in a column are several persons in every other, and the other way round.
    """
    if not candidates:
        return None, ""
    keys = {name: pd.Series(subject_keys(list(table[name])), index=table.index) for name in candidates}
    # Names that people and files bear outside of the study identify a person, so another column comes first.
    order = sorted(candidates, key=lambda name: (keys[name][keys[name] != ""].nunique(), is_personal(name)))
    other = [name for name in order[1:] if not _equally(keys[name], keys[order[0]])]
    chosen = next((name for name in order if all(is_coarser(keys[name], keys[other]) for other in order)), None)
    if chosen is None:
        raise Contradiction(
            f"expected one column of persons, got {_listed(order)}, which contradict each other: rows of one person in "
            "each are several persons in another"
        )
    if not other:
        return chosen, ""
    return chosen, (
        f"subjects: taken from the column {chosen!r}, which has the fewest "
        f"({keys[chosen][keys[chosen] != ''].nunique():,}), and not from {_listed(other)}"
    )


def is_coarser(coarse: pd.Series, fine: pd.Series) -> bool:
    """Tell whether rows with one value in `fine` never have two in `coarse`."""
    known = (coarse != "") & (fine != "")
    return bool((coarse[known].groupby(fine[known]).nunique() <= 1).all())


def _equally(first: pd.Series, second: pd.Series) -> bool:
    return is_coarser(first, second) and is_coarser(second, first) and bool(((first != "") == (second != "")).all())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def split_column(table: pd.DataFrame, named: Callable[[str], str]) -> str | None:
    """Return the column of splits; another one than "split" only if its values are names of splits.

    Args:
        table: A table of text.
        named: Function that returns the split that a word names, "" for none.
    """
    by_letters = {letters(column): column for column in reversed(list(table.columns))}
    for name in SPLITS:
        column = by_letters.get(name)
        if column is None:
            continue
        if name == "split":
            return column
        words = set(table[column]) - {""}
        if len(words) > 1 and all(map(named, words)):
            return column
    return None
