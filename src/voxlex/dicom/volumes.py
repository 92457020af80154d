"""Tell the volumes in a series or a file apart, by what differs between planes at the same place, and choose one."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxlex.dicom.header import Fact, Plane
from voxlex.errors import DataError

_SAME_PLACE_MM = 0.01
_SAME_DIRECTION = 1e-3
_LISTED = 12
_PLANES = ("sagittal", "coronal", "axial")

# For each fact, in the order in which it is tried, how a volume is called by its value and the rank of the value.
_NAMES: dict[str, Callable[[Fact, int], str]] = {
    "part": lambda value, rank: str(value),
    "echo": lambda value, rank: f"echo {rank}, TE {value:g} ms",
    "b": lambda value, rank: f"b={value:g}",
    "direction": lambda value, rank: f"direction {rank}",
    "inversion": lambda value, rank: f"TI {value:g} ms",
    "time": lambda value, rank: f"time {value:g}",
    "trigger": lambda value, rank: f"trigger {value:g} ms",
    "acquisition": lambda value, rank: f"acquisition {value:g}",
    "type": lambda value, rank: f"type {rank}",
}


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Planes of one volume.

    Attributes:
        name: What distinguishes it, such as "echo 2, TE 80 ms"; "" if it is the only one.
        indices: Its planes, as indices of all planes.
        problem: Why it cannot be used; "" if it can.
    """

    name: str
    indices: tuple[int, ...]
    problem: str = ""


def volumes_of(planes: Sequence[Plane]) -> list[Volume]:
    """Divide planes into volumes, in each of which every place is held once.

    Planes of different directions and of different stacks of a file always belong to different volumes. Planes at the
    same place are told apart by the facts that differ, and otherwise by the order of their numbers.

    Raises:
        DataError: If positions or directions are not numbers in space.
    """
    volumes: list[Volume] = []
    for name, indices in by_direction(planes):
        levels = _levels(planes, indices)
        groups = _by_stack(planes, Volume(name=name, indices=tuple(indices)))
        for kind in _NAMES:
            groups = [part for group in groups for part in _split(planes, group, kind, levels)]
        volumes += [part for group in groups for part in _by_number(planes, group, levels)]
    return volumes


def by_direction(planes: Sequence[Plane]) -> list[tuple[str, list[int]]]:
    """Divide planes by their direction. Return the name of each direction, which is "" if there is one, and indices.

    Names are "axial", "coronal" and "sagittal", with a number from the second of a name on.
    """
    groups: list[tuple[np.ndarray, list[int]]] = []
    for index, plane in enumerate(planes):
        direction = np.array(plane.orientation)
        for known, indices in groups:
            if np.abs(known - direction).max() <= _SAME_DIRECTION:
                indices.append(index)
                break
        else:
            groups.append((direction, [index]))
    if len(groups) == 1:
        return [("", groups[0][1])]
    named: list[tuple[str, list[int]]] = []
    seen: Counter[str] = Counter()
    for direction, indices in groups:
        name = plane_name(direction)
        seen[name] += 1
        named.append((name if seen[name] == 1 else f"{name} {seen[name]}", indices))
    return named


def plane_name(direction: Sequence[float] | np.ndarray) -> str:
    """Return "axial", "coronal" or "sagittal", whichever is nearest to planes of rows and columns of a direction."""
    return _PLANES[int(np.abs(np.cross(direction[:3], direction[3:])).argmax())]


def choose(volumes: Sequence[Volume], volume: int | str | None, *, rows: int, columns: int) -> Volume:
    """Return the chosen volume, or the only one.

    Args:
        volumes: The volumes that are there.
        volume: Number of a volume from 0, or its name, or a part of its name between commas.
        rows: Rows of each plane.
        columns: Columns of each plane.

    Raises:
        DataError: If there are several and none is chosen, or the chosen one is not there or cannot be used.
    """
    found = _found(volumes, volume)
    if len(found) == 1:
        if found[0].problem:
            raise DataError(found[0].problem)
        return found[0]
    if len(volumes) == 1:
        raise DataError(f"expected volume 0 alone, got volume {volume}")
    expected = "one volume" if volume is None else "one volume of those there are"
    got = f"{len(volumes)}" if volume is None else f"volume {volume}"
    listed = [
        f"--volume {index} ({one.name}: {_size(one, rows, columns)})" for index, one in enumerate(volumes[:_LISTED])
    ]
    more = [f"and so on to --volume {len(volumes) - 1}"] if len(volumes) > _LISTED else []
    raise DataError(f"expected {expected}, got {got}; choose one with {', '.join(listed + more)}")


def choose_frame(count: int, volume: int | str | None, *, rows: int, columns: int) -> int:
    """Return the index of the chosen one of some frames without a place in space, or of the only one.

    Raises:
        DataError: If there are several and none is chosen, or the chosen one is not there.
    """
    text = "0" if volume is None and count == 1 else str(volume).strip().removeprefix("frame ")
    if text.isdecimal() and int(text) < count:
        return int(text)
    if count == 1:
        raise DataError(f"expected volume 0 alone, got volume {volume}")
    got = f"{count} frames of {columns}×{rows} pixels without a place" if volume is None else f"volume {volume}"
    raise DataError(f"expected one volume, got {got}; choose one with --volume 0 to --volume {count - 1}")


def _found(volumes: Sequence[Volume], volume: int | str | None) -> list[Volume]:
    if volume is None:
        return list(volumes)
    text = str(volume).strip().lower()
    if text.isdecimal():
        return list(volumes[int(text) : int(text) + 1])
    whole = [found for found in volumes if found.name.lower() == text]
    return whole or [found for found in volumes if text in found.name.lower().split(", ")]


def _size(volume: Volume, rows: int, columns: int) -> str:
    slices = len(volume.indices)
    return f"{slices} {'slice' if slices == 1 else 'slices'} of {columns}×{rows} pixels"


def _levels(planes: Sequence[Plane], indices: list[int]) -> dict[int, int]:
    """Number the places of parallel planes along their common direction."""
    direction = np.array(planes[indices[0]].orientation)
    heights = np.array([planes[index].position for index in indices]) @ np.cross(direction[:3], direction[3:])
    levels: dict[int, int] = {}
    level, start = -1, -np.inf
    for place in np.argsort(heights, kind="stable"):
        if heights[place] - start >= _SAME_PLACE_MM:
            level, start = level + 1, heights[place]
        levels[indices[place]] = level
    return levels


def _by_stack(planes: Sequence[Plane], group: Volume) -> list[Volume]:
    stacks = {planes[index].facts.get("stack") for index in group.indices}
    if not 1 < len(stacks) < len(group.indices):
        return [group]
    return _parts(planes, group, "stack", lambda value, rank: f"stack {rank}")


def _split(planes: Sequence[Plane], group: Volume, kind: str, levels: dict[int, int]) -> list[Volume]:
    """Split a volume by a fact, if this tells planes at the same place apart, and not just slices."""
    most = max(Counter(levels[index] for index in group.indices).values())
    values = {planes[index].facts.get(kind) for index in group.indices}
    return _parts(planes, group, kind, _NAMES[kind]) if 1 < len(values) <= most else [group]


def _parts(planes: Sequence[Plane], group: Volume, kind: str, name: Callable[[Fact, int], str]) -> list[Volume]:
    parts: dict[Fact | None, list[int]] = {}
    for index in group.indices:
        parts.setdefault(planes[index].facts.get(kind), []).append(index)
    known = sorted((value for value in parts if value is not None), key=_order)
    named = [(name(value, rank), parts[value]) for rank, value in enumerate(known, start=1)]
    if None in parts:
        named.insert(0, (f"without {kind}", parts[None]))
    return [
        Volume(name=f"{group.name}, {own}" if group.name else own, indices=tuple(indices)) for own, indices in named
    ]


def _order(value: Fact) -> tuple[float, str, tuple[float, ...]]:
    if isinstance(value, tuple):
        return (0.0, "", value)
    return (0.0, value, ()) if isinstance(value, str) else (value, "", ())


def _by_number(planes: Sequence[Plane], group: Volume, levels: dict[int, int]) -> list[Volume]:
    """Split a volume whose places are still held several times by the order of the planes' numbers."""
    places: dict[int, list[int]] = {}
    for index in group.indices:
        places.setdefault(levels[index], []).append(index)
    counts = Counter(len(place) for place in places.values())
    if len(counts) > 1:
        usual, of_usual = counts.most_common(1)[0]
        odd = len(places) - of_usual
        problem = f"{odd} of {len(places)} positions hold more or fewer slices than the {usual} of the others"
        return [replace(group, problem=problem)]
    (count,) = counts
    if count == 1:
        return [group]
    for place in places.values():
        place.sort(key=lambda index: -1 if (number := planes[index].number) is None else number)
    start = f"{group.name}, " if group.name else ""
    return [
        Volume(name=f"{start}repeat {row + 1}", indices=tuple(place[row] for place in places.values()))
        for row in range(count)
    ]
