"""What the commands have in common: their arguments, and what a command is."""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

import tyro

from voxlex.config import Config
from voxlex.errors import ConfigError

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Settings = Annotated[Config, tyro.conf.arg(name="")]

starting_point: ContextVar[Config] = ContextVar("starting_point")
"""What the options of `train` change: the defaults, a recipe, or the settings of the run to resume."""


@runtime_checkable
class Command(Protocol):
    """One thing that a person asks for."""

    def run(self) -> None:
        """Do it."""


def wanted(conditions: tuple[str, ...]) -> dict[str, str]:
    """Return what `--condition NAME=VALUE …` asks for, by name."""
    for condition in conditions:
        if "=" not in condition:
            raise ConfigError(f"--condition: expected NAME=VALUE, got {condition!r}")
    return dict(condition.split("=", maxsplit=1) for condition in conditions)
