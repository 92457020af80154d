"""Folders are persons, days or classes, by their names and numbers of scans."""

import pytest

from voxlex.tables.folders import are_numbered, kind_of, persons_in_names, read_folders
from voxlex.tables.naming import subject_of


def below(*folders: str, scans: int = 3, name: str = "{}.png") -> list[str]:
    return [f"{folder}/{name.format(number)}" for folder in folders for number in range(scans)]


def decided(paths: list[str]) -> tuple[str, set[str], list[str]]:
    found = read_folders(paths, [subject_of(path) for path in paths])
    return found.kind, set(found.subjects) - {""}, found.classes


def numbered(form: str, count: int = 12) -> list[str]:
    return [form.format(number) for number in range(count)]


SURNAMES = ["Abel", "Bauer", "Conrad", "Dietz", "Engel", "Fuchs", "Graf", "Hahn", "Igel", "Jung", "Kurz", "Lang"]
HASHES = ["3fa9c1", "b71e02", "91ccfe", "aa01b2", "70dd13", "e5f600", "0b8c44", "d19a7e"]


@pytest.mark.parametrize(
    "folders",
    [
        numbered("patient_{:02d}"),
        numbered("patient_{}", 2),
        numbered("{:05d}"),
        numbered("{}"),
        numbered("PAT{:03d}"),
        numbered("P{}", 3),
        numbered("{}", 4),
        [f"{100307 + 7 * number}" for number in range(5)],
        [*numbered("control_{:02d}", 5), *numbered("ad_{:02d}", 5)],
        ["MUELLER^HANS", "SCHMIDT^EVA"],
        ["Mueller, Hans", "Schmidt, Eva"],
        SURNAMES,
        HASHES,
    ],
    ids=lambda folders: folders[0],
)
def test_folders_of_one_person_each(folders: list[str]) -> None:
    assert decided(below(*folders)) == ("persons", set(folders), [])


@pytest.mark.parametrize(
    "paths",
    [
        below(*numbered("BraTS20_Training_{:03d}")),
        below(*numbered("BraTS2021_{:05d}")),
        below(*numbered("BraTS-GLI-{:05d}-000")),
        below(*numbered("TCGA_CS_49{:02d}_19960909")),
        below(*numbered("NDAR_INV3FA9C{}", 5)),
    ],
    ids=lambda paths: paths[0],
)
def test_folders_of_public_sets_are_no_classes(paths: list[str]) -> None:
    assert decided(paths)[2] == []
    assert len({subject_of(path) for path in paths} - {""}) == len({path.split("/")[0] for path in paths})


@pytest.mark.parametrize(
    "folders",
    [
        ["glioma", "meningioma", "notumor", "pituitary"],
        ["Mild Demented", "Moderate Demented", "Non Demented", "Very mild Demented"],
        ["AD", "CN", "MCI"],
        ["yes", "no"],
        ["0", "1"],
        ["grade1", "grade2", "grade3"],
        ["stage_0", "stage_1"],
        ["a", "b"],
        [
            f"{kind} {contrast}"
            for kind in ("Glioma", "Papiloma", "Germinoma", "Schwannoma")
            for contrast in ("T1", "T1C+")
        ],
    ],
    ids=lambda folders: folders[0],
)
def test_folders_of_classes(folders: list[str]) -> None:
    assert decided(below(*folders)) == ("neither", set(), sorted(folders))


def test_small_numbers_are_classes_if_their_files_are_many_and_have_names_of_their_own() -> None:
    classes = [f"{label}/{label}_{number}.png" for label in range(4) for number in range(30)]
    assert decided(classes) == ("neither", set(), ["0", "1", "2", "3"])
    volumes = [f"{person}/{number}.png" for person in range(1, 5) for number in range(30)]
    assert decided(volumes) == ("persons", {"1", "2", "3", "4"}, [])


@pytest.mark.parametrize(
    "folders",
    [
        ["2019-03-04", "2019-03-05"],
        ["04.03.2019", "05.03.2019"],
        ["20190304", "20190305"],
        ["scan_2019_03_04", "2019-05"],
    ],
)
def test_days_are_no_classes(folders: list[str]) -> None:
    assert decided(below(*folders)) == ("days", set(folders), [])


@pytest.mark.parametrize(
    "folders", [numbered("fold{}", 5), numbered("visit{}", 5), ["train", "test"], ["images", "masks"]]
)
def test_parts_visits_and_kinds_of_files_are_neither(folders: list[str]) -> None:
    assert decided(below(*folders, scans=30)) == ("neither", set(), [])


@pytest.mark.parametrize(
    ("paths", "persons", "classes"),
    [
        (below("AD/P01", "AD/P02", "CN/P01", "CN/P03"), {"P01", "P02", "P03"}, ["AD", "CN"]),
        (below(*(f"{c}/{n}" for c in ("HGG", "LGG") for n in range(8))), set("01234567"), ["HGG", "LGG"]),
        (below(*(f"site{s}/patient_{p}" for s in range(3) for p in range(2))), {"patient_0", "patient_1"}, None),
        (below("patient_1/T1", "patient_1/T2", "patient_2/T1"), {"patient_1", "patient_2"}, []),
        (below("patient_1/2019-03-04", "patient_2/2019-03-04"), {"patient_1", "patient_2"}, []),
        (below("2019-03-04/patient_1", "2019-03-05/patient_2"), {"patient_1", "patient_2"}, []),
        (
            below(*(f"{name}/{s}" for name in ("Abel", "Bauer", "Conrad") for s in ("T1", "T2"))),
            {"Abel", "Bauer", "Conrad"},
            [],
        ),
        (below(*(f"{n:04d}/{s}" for n in range(9) for s in (201, 301))), {f"{n:04d}" for n in range(9)}, []),
        (below("AD/T1", "AD/T2", "CN/T1", "CN/T2"), set(), ["AD", "CN"]),
        (below("train/AD", "train/CN", "test/AD"), set(), ["AD", "CN"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else None,
)
def test_folders_in_folders(paths: list[str], persons: set[str], classes: list[str] | None) -> None:
    _, found, labels = decided(paths)
    assert found == persons
    assert classes is None or labels == classes


def test_many_scans_in_few_folders_without_numbers_are_classes_and_few_in_many_are_persons() -> None:
    assert kind_of(dict.fromkeys(SURNAMES, 100)) == "classes"
    assert kind_of(dict.fromkeys(SURNAMES, 5)) == "persons"
    assert kind_of({}) == "neither"


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("P{p:02d}_{s:03d}.png", "P00"),
        ("patient{p:02d}_slice{s}.png", "patient00"),
        ("patient{p:02d}slice{s}.png", "patient00"),
        ("{p}_{s}.png", "0"),
        ("ABC20_Training_{p:03d}_t{s}.nii.gz", "ABC20_Training_000"),
        ("x/subj {p} ({s}).jpg", "subj 0"),
    ],
)
def test_persons_in_names_of_files(form: str, first: str) -> None:
    paths = [form.format(p=person, s=number) for person in range(4) for number in range(3)]
    found = persons_in_names(paths)
    assert found[0] == first
    assert len(set(found)) == 4


@pytest.mark.parametrize("form", ["Tr-glTr_{n:04d}.jpg", "IM_{n}.png", "gg ({n}).jpg", "{n}.png", "image_{n}_x.png"])
def test_names_that_tell_nobody(form: str) -> None:
    assert set(persons_in_names([form.format(n=number) for number in range(30)])) == {""}


def test_numbered_files() -> None:
    assert are_numbered([f"a/IM_{number:04d}.png" for number in range(20)])
    assert not are_numbered([f"a/IM_{number * number:04d}.png" for number in range(20)])
    assert not are_numbered(["a.png", "b.png"])
