"""Arguments that several commands share, and the default places of their results."""

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
    """A command of the command line."""

    def run(self) -> None:
        """Run the command."""


def place(default: str) -> Any:
    """Return the settings of an option for an output path, with a default that the help shows."""
    return tyro.conf.arg(metavar="PATH", help_behavior_hint=f"(default: {default})")


def name_of(source: str | Path) -> str:
    """Return the name of a folder, a scan or a table without a known suffix. Results are named after it."""
    path = Path(source)
    name = path.resolve().name
    if path.is_dir():
        return name
    return Path(name).stem if is_table(path) else without_suffix(name)


def wanted(conditions: tuple[str, ...]) -> dict[str, str]:
    """Parse `--condition NAME=VALUE …` into a dictionary.

    Raises:
        ConfigError: If a condition has another form, or a name is given twice.
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
