"""Tell the scans in a folder of DICOM files apart: series of slices, and files that are scans of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from voxlex.dicom.file import NoImageError, open_dicom, peek
from voxlex.dicom.header import Header, header_of, series_of
from voxlex.dicom.volumes import by_direction
from voxlex.errors import DataError, LeftOutError

_FEW = 6  # slices in each direction, below which a series in several directions is a localiser
_LISTED = 8


class Left(NamedTuple):
    """A file that is not a scan, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Slices:
    """Slices of one series that point in one direction.

    Attributes:
        series: Number of the series.
        plane: "axial", "coronal" or "sagittal", with a number from the second on, for series in several directions; "".
        files: The files.
        headers: Their headers.
        problem: Why they cannot be read, and the file or folder; None if nothing is known against it.
        is_localiser: Whether they were taken to plan others.
        copies: Number of files that were left out because they repeat others.
    """

    series: int
    plane: str
    files: tuple[Path, ...]
    headers: tuple[Header, ...]
    problem: Left | None = None
    is_localiser: bool = False
    copies: int = 0

    @property
    def name(self) -> str:
        """Name of the scan in its folder, such as "series-3" or "series-3-axial-2"."""
        return f"series-{self.series}" + (f"-{self.plane.replace(' ', '-')}" if self.plane else "")


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """What a folder of DICOM files holds.

    Attributes:
        slices: Series of slices.
        alone: Files that are scans of their own: X-rays, films, files of several frames, single slices, damaged files.
        left: Files that hold no image.
        unplaced: Number of the files in `alone` that hold a single frame, and do not say where it lies.
        several: Number of the files in `alone` that hold several frames.
    """

    slices: tuple[Slices, ...]
    alone: tuple[Path, ...]
    left: tuple[Left, ...]
    unplaced: int = 0
    several: int = 0

    @cached_property
    def scans(self) -> tuple[Slices, ...]:
        """The series of slices that are not localisers."""
        return tuple(found for found in self.slices if not found.is_localiser)

    def choose(self, *, series: int | None, name: str | None) -> Slices:
        """Return the series of slices that is chosen, or the only one.

        Args:
            series: Number of the series.
            name: Name of the scan in the folder, as of `Slices.name`.

        Raises:
            DataError: If there are several and none is chosen, or the chosen one is not there.
        """
        found: Sequence[Slices] = self.scans if series is None and name is None else self.slices
        if series is not None:
            found = [one for one in found if one.series == series]
            found = [one for one in found if not one.is_localiser] or found
        if name is not None:
            exact = [one for one in found if one.name == name]
            found = exact or [one for one in found if f"series-{one.series}" == name]
        if len(found) == 1:
            return found[0]
        if not found and (series is not None or name is not None):
            wanted = f"series {series}" if series is not None else name
            raise LeftOutError(f"expected {self._listed(self.slices)}, got {wanted}, which is not there")
        if not found and self.slices:
            raise LeftOutError(
                f"holds a localiser alone: {self._listed(self.slices)}; read each of its files by itself"
            )
        if not found and not self.alone:
            raise NoImageError("expected DICOM files that hold images, got none")
        if not found:
            raise DataError(self._unsorted())
        options = "; ".join(_option(one, found) for one in found[:_LISTED])
        more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        what = "DICOM series" if len({one.series for one in found}) > 1 else "sets of parallel slices in one series"
        raise DataError(f"holds {len(found)} {what}; choose one with {options}{more}")

    def _listed(self, slices: Sequence[Slices]) -> str:
        names = [f"{one.name} ({_count(one)})" for one in slices[:_LISTED]]
        return ", ".join(names) + (f" and {len(slices) - _LISTED} more" if len(slices) > _LISTED else "")

    def _unsorted(self) -> str:
        total = len(self.alone)
        if self.several:
            return f"{self.several} of its {total} DICOM files hold several frames; read each file by itself"
        return f"{self.unplaced} of its {total} DICOM files do not say where their slice lies; read each file by itself"


def names_of_scans(files: Sequence[Path]) -> tuple[list[str], list[Left]]:
    """Name the scans in the DICOM files of one folder.

    Three files are read, and of the others only what tells series apart, unless they differ.

    Returns:
        Names: "" for the folder with its only series of slices, else the name of a series or of a file. And the files
        that are not scans.
    """
    if len(files) > 1 and _is_one_series(files):
        return [""], []
    study = survey(files)
    names = [path.name for path in study.alone]
    if len(study.scans) == 1:
        names.append("")
    else:
        names += [found.name for found in study.scans]
    localisers = [
        Left(path, "is a slice of a localiser") for found in study.slices if found.is_localiser for path in found.files
    ]
    return names, [*study.left, *localisers]


def survey(files: Sequence[Path]) -> Study:
    """Read the headers of all DICOM files of a folder, and tell series apart. Problems are noted, not raised."""
    entries: list[_Entry] = []
    left: list[Left] = []
    for path in files:
        try:
            entries.append(_entry(path))
        except NoImageError as cause:
            left.append(Left(path, str(cause)))
    series: dict[str, list[_Entry]] = {}
    for entry in entries:
        if entry.header.is_slice if entry.header else entry.series:
            series.setdefault(entry.series, []).append(entry)
    others = [entry for entry in entries if entry not in series.get(entry.series, [])]
    slices: list[Slices] = []
    numbers = _numbers(series)
    for name, members in series.items():
        astray = [entry for entry in others if _is_astray(entry, members)]
        if len(members) == 1 and not astray and not _is_localiser(members, directions=1):
            others.append(members[0])
            continue
        others = [entry for entry in others if entry not in astray]
        slices += _sets(members, number=numbers[name], astray=len(astray))
    slices.sort(key=lambda one: (one.series, one.plane))
    slices, others = _with_damaged(slices, others)
    return Study(
        slices=tuple(slices),
        alone=tuple(sorted(entry.path for entry in others)),
        left=tuple(left),
        unplaced=sum(bool(entry.header) and not entry.header.is_placed for entry in others if entry.header),
        several=sum(entry.header.frames > 1 for entry in others if entry.header),
    )


class _Entry(NamedTuple):
    path: Path
    series: str
    number: int | None
    header: Header | None
    problem: str = ""


def _entry(path: Path) -> _Entry:
    series, number = "", None
    try:
        file = open_dicom(path)
        series, number = series_of(file)
        header = header_of(file)
    except NoImageError:
        raise
    except DataError as cause:
        return _Entry(path, series, number, None, str(cause))
    return _Entry(path, series, number, header)


def _is_one_series(files: Sequence[Path]) -> bool:
    """Tell whether files are slices of one series and of one direction, which few of them are read for."""
    sampled = [_entry_or_none(files[index]) for index in (0, len(files) // 2, len(files) - 1)]
    headers = [entry.header for entry in sampled if entry is not None and entry.header is not None]
    if len(headers) < len(sampled) or not all(header.is_slice and not _says_localiser(header) for header in headers):
        return False
    first = peek(files[0])
    return first is not None and all(peek(path) == first for path in files[1:])


def _entry_or_none(path: Path) -> _Entry | None:
    try:
        return _entry(path)
    except NoImageError:
        return None


def _numbers(series: dict[str, list[_Entry]]) -> dict[str, int]:
    """Number series as their files do, or, if some files do not say or two series share a number, from 1 on."""
    stated = {
        name: next((entry.number for entry in members if entry.number is not None), None)
        for name, members in series.items()
    }
    known = [number for number in stated.values() if number is not None and number >= 0]
    if len(set(known)) == len(stated):
        return {name: number for name, number in stated.items() if number is not None}
    order = sorted(series, key=lambda name: (stated[name] is None, stated[name] or 0, series[name][0].path.name))
    return {name: rank for rank, name in enumerate(order, start=1)}


def _is_astray(entry: _Entry, members: list[_Entry]) -> bool:
    """Tell whether a file should be a slice of a series, but does not say where it lies."""
    header, first = entry.header, next((member.header for member in members if member.header), None)
    if header is None or first is None or entry.series != members[0].series:
        return False
    return not header.is_placed and header.frames == 1 and (header.rows, header.columns) == (first.rows, first.columns)


def _sets(members: list[_Entry], *, number: int, astray: int) -> list[Slices]:
    """Divide a series by the direction of its slices."""
    damaged = next((Left(entry.path, entry.problem) for entry in members if entry.header is None), None)
    if astray:
        reason = f"{astray} of its {astray + len(members)} DICOM files do not say where their slice lies"
        damaged = damaged or Left(members[0].path.parent, f"{reason}; read each file by itself")
    sound = [entry for entry in members if entry.header is not None]
    if not sound:
        files = tuple(entry.path for entry in members)
        return [Slices(series=number, plane="", files=files, headers=(), problem=damaged)]
    directions = by_direction([entry.header.planes[0] for entry in sound if entry.header])
    found: list[Slices] = []
    for plane, indices in directions:
        kept = _without_copies([sound[index] for index in indices])
        found.append(
            Slices(
                series=number,
                plane=plane,
                files=tuple(entry.path for entry in kept),
                headers=tuple(entry.header for entry in kept if entry.header),
                problem=damaged,
                is_localiser=_is_localiser(sound, directions=len(directions)),
                copies=len(indices) - len(kept),
            )
        )
    return found


def _is_localiser(members: list[_Entry], *, directions: int) -> bool:
    headers = [entry.header for entry in members if entry.header]
    if headers and all(_says_localiser(header) for header in headers):
        return True
    return directions > 1 and len(headers) < _FEW * directions


def _says_localiser(header: Header) -> bool:
    return "LOCALIZER" in header.image_type


def _without_copies(members: list[_Entry]) -> list[_Entry]:
    """Leave out files that repeat another: of the same place, number and facts, with the same pixels.

    Empty slices are all alike. They repeat another only if they have its identifier, or if all other slices at a place
    of several repeat another.
    """
    alike: dict[object, list[_Entry]] = {}
    for entry in members:
        if entry.header is not None:
            plane = entry.header.planes[0]
            facts = tuple(sorted(map(str, plane.facts.items())))
            alike.setdefault((plane.position, plane.number, facts), []).append(entry)
    copies: set[Path] = set()
    empty: set[Path] = set()
    differing = 0
    for group in alike.values():
        seen: dict[object, str] = {}
        for entry in group if len(group) > 1 else ():
            content, varies = _content(entry)
            instance = entry.header.instance if entry.header else ""
            if content not in seen:
                differing += len(seen) > 0
                seen[content] = instance
            elif varies or (instance and instance == seen[content]):
                copies.add(entry.path)
            else:
                empty.add(entry.path)
    gone = copies | empty if copies and not differing else copies
    return [entry for entry in members if entry.path not in gone]


def _content(entry: _Entry) -> tuple[object, bool]:
    """Return what tells the pixels of a file apart from others, and whether they are not all equal."""
    try:
        file = open_dicom(entry.path)
        pixels = file.pixel_bytes(file.most)
    except (DataError, OSError):
        return entry.path, True
    return blake2b(pixels).digest(), pixels.count(pixels[:2]) * 2 < len(pixels) - 1


def _with_damaged(slices: list[Slices], others: list[_Entry]) -> tuple[list[Slices], list[_Entry]]:
    """Hold a damaged file of an unknown series against the only series that is there: it may be one of its slices."""
    scans = [one for one in slices if not one.is_localiser]
    unknown = [entry for entry in others if entry.header is None and not entry.series]
    if len(scans) != 1 or not unknown:
        return slices, others
    problem = scans[0].problem or Left(unknown[0].path, unknown[0].problem)
    changed = [replace(one, problem=problem) if one is scans[0] else one for one in slices]
    return changed, [entry for entry in others if entry not in unknown]


def _option(one: Slices, found: Sequence[Slices]) -> str:
    number = f"--series {one.series}"
    if sum(other.series == one.series for other in found) > 1:  # a number does not tell them apart
        return f"the path {one.files[0].parent.name}/{one.name} ({_count(one)})"
    return f"{number} ({_count(one)})"


def _count(one: Slices) -> str:
    return f"{len(one.files)} {'slice' if len(one.files) == 1 else 'slices'}"
