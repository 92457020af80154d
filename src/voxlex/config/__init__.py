"""Every setting; recipes and the command line change them.

Plain frozen dataclasses, so that nothing heavy is imported here. Modules never see them: they take keyword arguments,
and `assembly.py` hands them over. The settings of a kind are in `quantizers.py`, `priors.py` and `networks.py`.
"""

from voxlex.config.experiment import Config, DataConfig, ModelConfig
from voxlex.config.networks import NetworkConfig
from voxlex.config.options import Decoding, PhantomOptions, ReadingOptions, SliceOptions
from voxlex.config.priors import PriorConfig
from voxlex.config.quantizers import QuantizerConfig
from voxlex.config.recipes import (
    CHOICES,
    beginning_with,
    dump_config,
    load_recipe,
    read_config,
    recipe_names,
    with_budget,
    with_kinds,
    with_prior_of,
)
from voxlex.config.training import (
    AugmentConfig,
    AutoencoderStageConfig,
    LossesConfig,
    PriorStageConfig,
    StageConfig,
    TextureStageConfig,
    TrainingConfig,
)
from voxlex.config.validation import check_shape, parse, validated

__all__ = [
    "CHOICES",
    "AugmentConfig",
    "AutoencoderStageConfig",
    "Config",
    "DataConfig",
    "Decoding",
    "LossesConfig",
    "ModelConfig",
    "NetworkConfig",
    "PhantomOptions",
    "PriorConfig",
    "PriorStageConfig",
    "QuantizerConfig",
    "ReadingOptions",
    "SliceOptions",
    "StageConfig",
    "TextureStageConfig",
    "TrainingConfig",
    "beginning_with",
    "check_shape",
    "dump_config",
    "load_recipe",
    "parse",
    "read_config",
    "recipe_names",
    "validated",
    "with_budget",
    "with_kinds",
    "with_prior_of",
]
