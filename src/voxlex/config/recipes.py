"""Settings from YAML and back: recipes by name, files by path."""

import functools
import operator
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from voxlex.config.experiment import Config
from voxlex.config.validation import one_of, parse, plain
from voxlex.config.yaml_files import read_yaml
from voxlex.errors import ConfigError

CHOICES = ("model.network", "model.quantizer", "model.levels", "prior")
"""Settings that have a `kind`."""

_GENTLE = 0.4
"""Factor on the learning rates of weights that were trained before."""


def read_config(path: Path, *, complete: bool = False) -> Config:
    """Read a configuration from a YAML file.

    Args:
        path: The file.
        complete: Expect all sections, as `dump_config` writes them, so that no default stands in for one that is lost.

    Raises:
        ConfigError: If the file cannot be read, or is not a valid configuration.
    """
    content = read_yaml(path)
    if complete:
        _add_what_was_not_there(content)
    else:
        _begin_with_the_default(content)
    config = parse(Config, content, where=str(path))
    lost = [section.name for section in fields(Config) if section.name not in content]
    if complete and (lost or _is_cut_short(path.read_bytes())):
        got = f"none of {', '.join(lost)}" if lost else "a file that is cut short"
        remedy = "restore it from a copy, or train anew with --overwrite"
        raise ConfigError(f"{path}: expected all settings of a run, got {got}; {remedy}")
    return config


def _is_cut_short(content: bytes) -> bool:
    """Return whether a file lacks its end: a last line, and the mark of the end if it has that of a start."""
    return not content.endswith(b"...\n" if content.startswith(b"---\n") else b"\n")


def _add_what_was_not_there(content: Any) -> None:
    """Add the settings that did not exist yet when a run was written, with the values that say what was done then."""
    for name in ("autoencoder", "prior"):
        match content:
            case {"training": {**stages}} if isinstance(stages.get(name), dict):
                content["training"][name].setdefault("optimizer", "adamw")
    match content:
        case {"prior": {"kind": "transformer", **rest}} if "grouped" not in rest:
            content["prior"]["grouped"] = False


def _begin_with_the_default(content: Any) -> None:
    """Let a part that does not name its kind begin with that part of the default experiment."""
    default = plain(Config())
    for setting in CHOICES:
        *above, last = setting.split(".")
        place, start = content, default
        for name in above:
            place, start = place.get(name) if isinstance(place, dict) else None, start[name]
        part = place.get(last) if isinstance(place, dict) else None
        if isinstance(part, dict) and "kind" not in part:
            place[last] = start[last] | part


def dump_config(config: Config) -> str:
    """Return a configuration as YAML, with marks of its start and its end, which tell whether it is whole."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True, explicit_start=True, explicit_end=True)


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
        wrong = one_of(recipe_names(), name, expected="expected a YAML file that exists, or one of")
        raise ConfigError(f"recipe: {wrong}")
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


def beginning_with(config: Config, place: str, run: Config) -> Config:
    """Return a configuration that begins with the weights of a run: with its networks, and with smaller steps.

    Args:
        config: What to train otherwise, such as a recipe.
        place: The run, by its folder, name or address.
        run: Its settings.
    """
    training = config.training
    stages: dict[str, Any] = {
        name: replace(stage, learning_rate=_GENTLE * stage.learning_rate)
        for name, stage in (("autoencoder", training.autoencoder), ("prior", training.prior))
    }
    stages["autoencoder"] = replace(stages["autoencoder"], continuous_share=0.0)  # there is a codebook already
    return replace(
        config,
        data=replace(config.data, size=run.data.size, spacing_mm=run.data.spacing_mm),
        model=run.model,
        losses=run.losses,
        prior=run.prior,
        training=replace(training, pretrained=place, **stages),
    )


def with_kinds(config: Config, kinds: Mapping[str, str]) -> Config:
    """Return the configuration with other kinds of network, quantizer or prior, each with the defaults of its kind.

    Args:
        config: The configuration.
        kinds: Kinds by the setting that has them, such as `{"prior": "masked"}`; a kind that is there already keeps its
            settings.

    Raises:
        ConfigError: If a kind is unknown; names the known ones.
    """
    if not kinds:
        return config
    content = plain(config)
    for setting, kind in kinds.items():
        *above, last = setting.split(".")
        place = functools.reduce(operator.getitem, above, content)
        if place[last]["kind"] != kind:
            place[last] = {"kind": kind}
    return parse(Config, content, where="settings")
