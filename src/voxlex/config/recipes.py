"""Settings from YAML and back: recipes by name, files by path."""

from dataclasses import asdict, replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from voxlex.config.experiment import Config
from voxlex.errors import ConfigError

_CHOICES = [("model", "network"), ("model", "quantizer"), ("prior",)]
"""Settings that have a `kind`; pydantic names it in the path of an error, after these."""


def parse_config(content: Any, *, where: str) -> Config:
    """Turn the content of a YAML file into a configuration; what it leaves out takes its default.

    Raises:
        ConfigError: If a key is unknown, or a value of the wrong type or out of range; names `where` and the key.
    """
    try:
        return TypeAdapter(Config).validate_python({} if content is None else content)
    except ValidationError as cause:
        problem = cause.errors()[0]
        path = problem["loc"]
        key = ".".join(str(part) for place, part in enumerate(path) if path[:place] not in _CHOICES) or "the whole"
        raise ConfigError(f"{where}: {key}: {problem['msg']}, got {problem['input']!r}") from cause


def validated(config: Config) -> Config:
    """Return a configuration that came from options or from Python, held to what a recipe is held to.

    Raises:
        ConfigError: If a value is of the wrong type or out of range; names its key.
    """
    return parse_config(_plain(asdict(config)), where="settings")


def read_config(path: Path) -> Config:
    """Read a configuration from a YAML file.

    Raises:
        ConfigError: If the file cannot be read or is not a valid configuration.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as cause:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(cause).split())}") from cause
    return parse_config(content, where=str(path))


def dump_config(config: Config) -> str:
    """Return a configuration as YAML."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False, allow_unicode=True)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with voxlex."""
    return sorted(
        Path(entry.name).stem for entry in resources.files("voxlex.recipes").iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(name: str) -> Config:
    """Read a recipe by its name, or from a YAML file by its path.

    Raises:
        ConfigError: If there is no such recipe, or it is not valid.
    """
    if name in recipe_names():
        with resources.as_file(resources.files("voxlex.recipes") / f"{name}.yaml") as path:
            return read_config(path)
    if not Path(name).is_file():
        close = get_close_matches(name, recipe_names(), n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"recipe {name!r}: no such file, and not one of {', '.join(recipe_names())}{meant}")
    return read_config(Path(name))


def with_budget(config: Config, *, minutes: float | None, steps: int | None) -> Config:
    """Return the configuration with another budget, if one is given.

    Raises:
        ConfigError: If both are given.
    """
    if minutes is not None and steps is not None:
        raise ConfigError("give either --minutes or --steps, not both")
    if minutes is None and steps is None:
        return config
    return replace(config, training=replace(config.training, minutes=minutes, steps=steps))


def with_prior_of(config: Config, recipe: Config) -> Config:
    """Return the configuration with the prior of a recipe, and its training; the rest stays."""
    return replace(config, prior=recipe.prior, training=replace(config.training, prior=recipe.training.prior))


def _plain(value: Any) -> Any:
    """Turn tuples into lists, which YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
