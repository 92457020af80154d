"""What the commands have in common: their arguments, and where results go by default."""

from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import tyro

from voxlex.errors import ConfigError
from voxlex.scans.suffixes import without_suffix
from voxlex.tables.naming import is_table

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@runtime_checkable
class Command(Protocol):
    """One thing that a person asks for."""

    def run(self) -> None:
        """Do it."""


def place(default: str) -> Any:
    """Say in the help of an option where results go if it is not given."""
    return tyro.conf.arg(metavar="PATH", help_behavior_hint=f"(default: {default})")


def name_of(source: str | Path) -> str:
    """Return what results of a folder, a scan or a table are called: its name without a suffix that voxlex knows."""
    path = Path(source)
    name = path.resolve().name
    if path.is_dir():
        return name
    return Path(name).stem if is_table(path) else without_suffix(name)


def wanted(conditions: tuple[str, ...]) -> dict[str, str]:
    """Return what `--condition NAME=VALUE …` asks for, by name.

    Raises:
        ConfigError: If one has another form, or a name comes twice.
    """
    values: dict[str, str] = {}
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals:
            raise ConfigError(f"--condition: expected NAME=VALUE, got {condition!r}")
        if name in values:
            raise ConfigError(f"--condition: expected one value for {name!r}, got {values[name]!r} and {value!r}")
        values[name] = value
    return values
