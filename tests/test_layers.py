"""Imports go downwards only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "voxlex"

LAYERS = [
    {"errors", "types"},
    {"data", "nn", "quantizers", "priors"},
    {"models"},
    {"metrics", "losses", "health"},
    {"training", "evaluation"},
    {"config"},
    {"assembly", "run_folder"},
    {"vocabulary"},
    {"workflows"},
    {"commands"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
STRANGERS = {("data", "nn"), ("nn", "data"), ("priors", "quantizers"), ("priors", "data"), ("quantizers", "data")}


def modules() -> dict[str, Path]:
    files = [file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py"]
    return {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in files}


def imports(file: Path) -> set[str]:
    """Return the voxlex modules that a file imports anywhere in it, without the package's own name."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "voxlex":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("voxlex."):
            found.add(node.module.removeprefix("voxlex."))
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("voxlex.") for a in node.names if a.name.startswith("voxlex.")}
    return found


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_has_a_level() -> None:
    assert {room(module) for module in modules()} - {"recipes"} == set(LEVEL)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_downwards(module: str) -> None:
    for imported in imports(modules()[module]):
        here, there = room(module), room(imported)
        assert LEVEL[there] <= LEVEL[here], f"{module} imports {imported}"
        assert (here, there) not in STRANGERS, f"{module} imports {imported}"


def test_rooms_do_not_form_a_cycle() -> None:
    arrows = {(room(m), room(i)) for m, file in modules().items() for i in imports(file)}
    arrows = {(here, there) for here, there in arrows if here != there}
    while arrows:
        ends = {there for _, there in arrows} - {here for here, _ in arrows}
        assert ends, f"a cycle among {sorted(arrows)}"
        arrows = {(here, there) for here, there in arrows if there not in ends}
