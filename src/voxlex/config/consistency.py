"""Settings that must fit together, within an experiment and from one session of a run to the next."""

from pathlib import Path

from voxlex.config.experiment import Config
from voxlex.errors import ConfigError

_FEWEST_CELLS = 4
"""Cells a side of a volume: at 2, oneDNN's bfloat16 gradients of 3³ kernels are not numbers (torch 2.13)."""

_MOST_VOXELS_A_SIDE = 2**11


def check_consistent(config: Config) -> None:
    """Refuse a configuration whose parts do not fit together.

    Raises:
        ConfigError: If two settings do not fit together. The message names the setting, what was expected and what
            came.
    """
    patch, what = config.model.multiple_of, "the network's downsampling"
    if config.model.levels.coarsest > 1:
        what = f"{what} times {config.model.levels.coarsest}, the scale of the coarsest level"
    if config.data.size % patch:
        raise ConfigError(f"data.size: expected a multiple of {patch}, {what}, got {config.data.size}")
    if config.model.spatial_dims == 3 and config.data.size > _MOST_VOXELS_A_SIDE:
        raise ConfigError(f"data.size: expected at most {_MOST_VOXELS_A_SIDE} for cubes, got {config.data.size}")
    if config.model.in_channels != 1:
        raise ConfigError(f"model.in_channels: expected 1, as prepared images are grey, got {config.model.in_channels}")
    dims, spacing_mm = config.model.spatial_dims, config.data.spacing_mm
    if (dims == 3) != (spacing_mm is not None):
        expected = "a distance" if dims == 3 else "none"
        raise ConfigError(f"data.spacing_mm: expected {expected} with model.spatial_dims {dims}, got {spacing_mm}")
    size = config.training.autoencoder.patch_size
    if size is not None and (size % patch or size > config.data.size):
        raise ConfigError(
            f"training.autoencoder.patch_size: expected a multiple of {patch}, {what}, up to data.size "
            f"{config.data.size}, got {size}"
        )
    side = size or config.data.size
    if dims == 3 and side < _FEWEST_CELLS * patch:
        raise ConfigError(
            f"{'data.size' if size is None else 'training.autoencoder.patch_size'}: expected at least "
            f"{_FEWEST_CELLS * patch}, {_FEWEST_CELLS} times {what}, got {side}"
        )
    if config.training.prior.variations and not config.training.prior.augment.active:
        raise ConfigError("training.prior.variations: expected a setting of training.prior.augment above 0, got none")
    if config.training.texture_share + config.training.prior_share >= 1:
        shares = f"{config.training.texture_share} and {config.training.prior_share}"
        raise ConfigError(f"training.texture_share, training.prior_share: expected less than 1 together, got {shares}")
    if config.training.steps is None and not (config.training.minutes or 0) > 0:
        raise ConfigError(f"training.minutes: expected more than 0, got {config.training.minutes}")


def check_resumable(before: Config, config: Config, *, where: Path, keeps_prior: bool) -> None:
    """Refuse to go on with a run under settings that its weights or its split do not belong to.

    Args:
        before: What the run was trained with.
        config: What it is to go on with.
        where: The run folder.
        keeps_prior: Whether there is a prior, trained or begun, that will be used.

    Raises:
        ConfigError: If a setting has changed. The message names the settings that changed.
    """
    changed = [name for name in ("data", "model", "losses") if getattr(before, name) != getattr(config, name)]
    if before.training.seed != config.training.seed:
        changed.append("training.seed")
    if keeps_prior and before.prior != config.prior:
        changed.append("prior")
    if changed:
        raise ConfigError(
            f"{where}: a run is resumed with the settings it began with, but {', '.join(changed)} changed"
            + ("; --stage prior --overwrite begins the prior anew" if changed == ["prior"] else "")
        )
