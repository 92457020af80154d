"""Every setting and its default, once; recipes and the command line change them.

Plain frozen dataclasses, so that nothing heavy is imported here. Modules never see them: they take keyword arguments,
and `assembly.py` hands them over.
"""

from voxlex.config.experiment import Config, DataConfig, ModelConfig
from voxlex.config.networks import PaperNetworkConfig, ResidualNetworkConfig
from voxlex.config.priors import MaskedPriorConfig, PixelCNNConfig, PriorConfig, TransformerPriorConfig
from voxlex.config.quantizers import (
    FiniteScalarQuantizerConfig,
    GroupedQuantizerConfig,
    GumbelQuantizerConfig,
    LookupFreeQuantizerConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    SimVQConfig,
    VectorQuantizerConfig,
)
from voxlex.config.recipes import (
    dump_config,
    load_recipe,
    parse_config,
    read_config,
    recipe_names,
    validated,
    with_budget,
    with_prior_of,
)
from voxlex.config.training import (
    AugmentConfig,
    AutoencoderStageConfig,
    LossesConfig,
    PriorStageConfig,
    StageConfig,
    TrainingConfig,
)

__all__ = [
    "AugmentConfig",
    "AutoencoderStageConfig",
    "Config",
    "DataConfig",
    "FiniteScalarQuantizerConfig",
    "GroupedQuantizerConfig",
    "GumbelQuantizerConfig",
    "LookupFreeQuantizerConfig",
    "LossesConfig",
    "MaskedPriorConfig",
    "ModelConfig",
    "PaperNetworkConfig",
    "PixelCNNConfig",
    "PriorConfig",
    "PriorStageConfig",
    "QuantizerConfig",
    "ResidualNetworkConfig",
    "ResidualQuantizerConfig",
    "SimVQConfig",
    "StageConfig",
    "TrainingConfig",
    "TransformerPriorConfig",
    "VectorQuantizerConfig",
    "dump_config",
    "load_recipe",
    "parse_config",
    "read_config",
    "recipe_names",
    "validated",
    "with_budget",
    "with_prior_of",
]
