"""Arguments that several commands share, and the default places of their results."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from voxlex.errors import ConfigError
from voxlex.names import printable, resolved, shortened
from voxlex.scans.suffixes import without_suffix
from voxlex.stores.addresses import shown
from voxlex.tables.naming import is_table
from voxlex.workers import Workers, workers_at

_LONGEST = 240  # bytes of a name, so that a suffix can follow

EMPTY = "expected a path or a name, got an empty text"


def _filled(words: list[str]) -> str:
    """Refuse an empty argument, usually a variable of the shell that is not set; it would be the current folder."""
    if not words[0].strip():
        raise ValueError(EMPTY)
    return words[0]


_TEXT = PrimitiveConstructorSpec(
    nargs=1,
    metavar="SOURCE",
    instance_from_str=_filled,
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda value: [value],
)
READING = ConstructorRegistry()
"""How arguments become paths, in every command."""


@READING.primitive_rule
def _path(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    if info.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: Path(_filled(words)),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    )


Source = Annotated[str, _TEXT, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """Work over many scans by the workers of a Ray cluster, with the same results.

    Attributes:
        ray: Where the workers are: "local" for new ones on this machine, "auto" for the cluster that this machine
            belongs to, or HOST:PORT of its head. Needs `pip install 'voxlex[cluster]'`. By default, this process
            does all of the work.
        workers: Number of workers, each of which computes with as many threads as this process (OMP_NUM_THREADS). By
            default, as many as there are processors for.
    """

    ray: Annotated[str | None, tyro.conf.arg(name="ray", metavar="local|ADDRESS", prefix_name=False)] = None
    workers: Annotated[int | None, tyro.conf.arg(name="workers", metavar="N", prefix_name=False)] = None

    def open(self) -> AbstractContextManager[Workers]:
        """Give the workers, and let go of them at the end; see `workers.workers_at`."""
        return workers_at(self.ray, count=self.workers)


@runtime_checkable
class Command(Protocol):
    """A command of the command line."""

    def run(self) -> None:
        """Run the command."""


def say(text: str) -> None:
    """Print a line that may contain names of files and addresses."""
    print(shown(text))


def place(default: str) -> Any:
    """Return the settings of an option for an output path, with a default that the help shows."""
    return tyro.conf.arg(metavar="PATH", help_behavior_hint=f"(default: {default})")


def name_of(source: str | Path) -> str:
    """Return a printable name of a folder, a scan or a table without a known suffix. Results are named after it."""
    path = Path(source)
    name = printable(resolved(path).name)
    if not path.is_dir():
        name = Path(name).stem if is_table(path) else without_suffix(name)
    return shortened(name, limit=_LONGEST)


def wanted(conditions: tuple[str, ...]) -> dict[str, str]:
    """Parse `--condition NAME=VALUE …` into a dictionary.

    Raises:
        ConfigError: If a condition has another form, or a name is given twice.
    """
    values: dict[str, str] = {}
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals or not value.strip():  # "label=$UNSET" does not mean any label
            raise ConfigError(f"--condition: expected NAME=VALUE, got {condition!r}")
        if name in values:
            raise ConfigError(f"--condition: expected one value for {name!r}, got {values[name]!r} and {value!r}")
        values[name] = value
    return values
