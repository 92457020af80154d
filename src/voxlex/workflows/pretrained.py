"""Begin a training with the weights of another run."""

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from voxlex.assembly import build_autoencoder, described_conditions
from voxlex.config import Config
from voxlex.errors import ConfigError
from voxlex.models import Autoencoder
from voxlex.models.weights import load_weights
from voxlex.priors import Conditions, Prior
from voxlex.run_folder import RunFolder

_FREE = ("condition_columns", "condition_dropout", "dropout")  # settings of a prior that its weights do not depend on

_OF_CONDITIONS = "conditioning.columns."  # in the names of a prior's weights that belong to its conditions


@dataclass(frozen=True)
class Pretrained:
    """A run, and which of its weights a training can begin with.

    Attributes:
        place: What the run was asked for by.
        folder: The run.
        prior_fits: Whether the prior of the training is like that of the run, so that it begins with its weights, too.
    """

    place: str
    folder: RunFolder
    prior_fits: bool

    @classmethod
    def of(cls, config: Config) -> "Pretrained | None":
        """Return the run that a training begins with; None if it begins with random weights.

        Raises:
            ConfigError: If the autoencoder is to have other settings than that of the run.
            RunError: If there is no such run, or its autoencoder is missing or damaged.
        """
        place = config.training.pretrained
        if place is None:
            return None
        folder = RunFolder.open(Path(place))
        own = folder.config()
        if config.model != own.model:
            setting, expected, got = _first_difference(config.model, own.model, "model")
            raise ConfigError(
                f"{setting}: expected {expected}, as in {place}, whose weights training begins with, got {got}; leave "
                "this setting out, or --pretrained"
            )
        load_weights(folder.autoencoder_file, build_autoencoder(own.model))
        fits = folder.prior_file.exists() and config.data.size == own.data.size
        return cls(place, folder, fits and _without_free(config.prior) == _without_free(own.prior))

    @property
    def said(self) -> str:
        """What training begins with, in words."""
        prior = "" if self.prior_fits else "; the prior begins with random weights, as there is none like it"
        return f"begins with the weights of {self.place}{prior}"

    def start_autoencoder(self, autoencoder: Autoencoder) -> None:
        """Give an autoencoder the weights of the run."""
        load_weights(self.folder.autoencoder_file, autoencoder)

    def start_prior(self, prior: Prior, conditions: Conditions) -> None:
        """Give a prior the weights of the run, if it is like the one of the run.

        Args:
            prior: The prior.
            conditions: What it is conditioned on. What it knows of other conditions than those of the run begins anew.
        """
        if not self.prior_fits:
            return
        known = described_conditions(self.folder.metadata(), where=self.folder.metadata_file)
        load_weights(self.folder.prior_file, prior, without=None if known == conditions else _OF_CONDITIONS)

    def describe(self) -> dict[str, Any]:
        """Return what the metadata of a run say of the run that it began with; of its folder, only the name."""
        name = self.folder.path.name if Path(self.place).exists() else self.place
        return {"run": name, "data": self.folder.metadata().get("data", {})}


def _without_free(prior: Any) -> dict[str, Any]:
    return {field.name: getattr(prior, field.name) for field in fields(prior) if field.name not in _FREE}


def _first_difference(got: Any, expected: Any, name: str) -> tuple[str, Any, Any]:
    """Return the name of the first setting that differs, what was expected, and what came."""
    if type(got) is type(expected) and is_dataclass(got):
        for field in fields(got):
            values = getattr(got, field.name), getattr(expected, field.name)
            if values[0] != values[1]:
                return _first_difference(*values, f"{name}.{field.name}")
    return name, getattr(expected, "kind", expected), getattr(got, "kind", got)
