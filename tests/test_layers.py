"""Imports go downwards only, between rooms and inside them; `python tests/test_layers.py` prints the floors."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "src" / "voxlex"

FLOORS = [
    ["__main__", "cli"],
    ["commands"],
    ["explorer"],
    ["workflows"],
    ["archive", "export"],
    ["vocabulary"],
    ["assembly", "run_folder"],
    ["pages"],
    ["anomaly", "audit", "evaluation", "training"],
    ["code_table", "health", "losses", "metrics"],
    ["models"],
    ["data"],
    ["images"],
    ["tables"],
    ["duplicates", "lossless", "nn", "priors", "quantizers", "scans"],
    ["codes", "config", "dicom", "files", "hub", "locks", "outputs", "rows", "stores", "workers"],
    ["errors", "machine", "names", "progress", "shipped", "streams", "types"],
]
"""The rooms of the house, the highest floor first; a room imports from its own floor and from those below it."""

STRANGERS = {
    "data": {"nn", "priors", "quantizers"},
    "lossless": {"codes", "config", "dicom", "files", "nn", "priors", "quantizers", "rows", "scans"},
    "priors": {"config", "duplicates", "files", "quantizers", "scans"},
    "quantizers": {"codes", "config", "files", "nn", "priors", "rows", "scans"},
    "nn": {"config", "files", "rows", "priors", "quantizers"},
    "models": {"config", "priors"},
    "vocabulary": {"training"},
}
"""Rooms that must not know of rooms below them."""

LARGEST_SHARE = 0.12
"""How much of all lines a room may hold."""


def module_name(file: Path, root: Path) -> str:
    """Return the dotted name of a file below the package, "" for the package itself."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path, root: Path, modules: Iterable[str]) -> set[str]:
    """Return the modules of the package that a file imports, wherever in it and however they are written."""
    known = set(modules)
    found = set()
    package = [*file.relative_to(root).parent.parts]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == root.name]
            found |= {name.removeprefix(root.name).lstrip(".") for name in names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
            elif node.module and node.module.split(".")[0] == root.name:
                base = node.module.split(".")[1:]
            else:
                continue
            start = ".".join(part for part in base if part)
            for alias in node.names:  # the name is a module, or something in one
                inside = f"{start}.{alias.name}".lstrip(".")
                found.add(inside if inside in known else start)
    return found - {module_name(file, root)}


def arrows_of(root: Path) -> dict[str, set[str]]:
    """Return the modules of a package and what each imports; its own `__init__` is a door and left out."""
    files = {module_name(file, root): file for file in root.rglob("*.py")}
    return {name: imported(file, root, files) - {""} for name, file in files.items() if name}


def circle_of(arrows: dict[str, set[str]]) -> list[str]:
    """Return the names on circles of imports, and those that lead to one; nothing if there is no circle."""
    left = {name: targets & arrows.keys() - {name} for name, targets in arrows.items()}
    while ends := {name for name, targets in left.items() if not targets}:
        left = {name: targets - ends for name, targets in left.items() if name not in ends}
    return sorted(left)


def inside(arrows: dict[str, set[str]], room: str) -> dict[str, set[str]]:
    """Return the arrows between the direct children of a room, each taken with all that is in it."""
    depth = room.count(".") + 1 if room else 0
    prefix = f"{room}." if room else ""

    def child(name: str) -> str:
        return ".".join(name.split(".")[: depth + 1])

    contracted: dict[str, set[str]] = {}
    for name, targets in arrows.items():
        if name.startswith(prefix):
            here = {child(target) for target in targets if target.startswith(prefix)}
            contracted.setdefault(child(name), set()).update(here)
    return contracted


def room_of(module: str) -> str:
    return module.partition(".")[0]


def picture_of_floors() -> str:
    """Return the floors as text, one a line, the highest first."""
    return "\n".join("  ".join(floor) for floor in FLOORS)


LEVEL = {room: level for level, floor in enumerate(reversed(FLOORS)) for room in floor}


def is_allowed(module: str, target: str) -> bool:
    """Return whether a module may import another one."""
    here, there = room_of(module), room_of(target)
    return LEVEL[there] <= LEVEL[here] and there not in STRANGERS.get(here, set())


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    return arrows_of(PACKAGE)


def test_every_room_has_a_floor(arrows: dict[str, set[str]]) -> None:
    assert {room_of(module) for module in arrows} == set(LEVEL)


def test_imports_go_downwards(arrows: dict[str, set[str]]) -> None:
    pairs = [(module, target) for module, targets in arrows.items() for target in targets]
    assert len(pairs) > 1000
    assert [f"{module} imports {target}" for module, target in pairs if not is_allowed(module, target)] == []


def test_no_circle_in_a_room(arrows: dict[str, set[str]]) -> None:
    rooms = {name.rpartition(".")[0] for name in arrows}
    circles = {room: circle_of(inside(arrows, room)) for room in rooms}
    assert {room: circle for room, circle in circles.items() if circle} == {}


def test_no_circle_of_modules(arrows: dict[str, set[str]]) -> None:
    assert circle_of(arrows) == []


def test_no_room_is_too_large() -> None:
    lines: dict[str, int] = {}
    for file in PACKAGE.rglob("*.py"):
        room = room_of(module_name(file, PACKAGE))
        lines[room] = lines.get(room, 0) + len(file.read_text(encoding="utf-8").splitlines())
    shares = {room: count / sum(lines.values()) for room, count in lines.items()}
    assert {room: f"{share:.1%}" for room, share in shares.items() if share > LARGEST_SHARE} == {}


def test_contributing_shows_the_floors() -> None:
    assert picture_of_floors() in (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("import house.attic.trunk", "attic.trunk"),
        ("from house.attic import trunk", "attic.trunk"),
        ("from house.attic.trunk import coat", "attic.trunk"),
        ("from ..attic import trunk", "attic.trunk"),
        ("from ..attic.trunk import coat", "attic.trunk"),
        ("from . import coal", "cellar.coal"),
        ("from .coal import lump", "cellar.coal"),
        ("def later():\n    from house.attic.trunk import coat", "attic.trunk"),
    ],
)
def test_imports_are_seen_however_they_are_written(tmp_path: Path, line: str, target: str) -> None:
    root = tmp_path / "house"
    for room, module in (("attic", "trunk"), ("cellar", "coal"), ("cellar", "stairs")):
        (root / room).mkdir(parents=True, exist_ok=True)
        (root / room / "__init__.py").touch()
        (root / room / f"{module}.py").touch()
    (root / "cellar" / "stairs.py").write_text(f"{line}\n", encoding="utf-8")
    assert arrows_of(root)["cellar.stairs"] == {target}


def test_circles_are_found() -> None:
    arrows = {"a.x": {"b.y"}, "b.y": set(), "b.z": {"a.w"}, "a.w": set(), "c": {"a.x"}}
    assert circle_of(arrows) == []
    assert circle_of(inside(arrows, "")) == ["a", "b", "c"]


if __name__ == "__main__":
    print(picture_of_floors())
