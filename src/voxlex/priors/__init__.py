"""Priors over code grids: what makes a vocabulary of codes a generator of images."""

from voxlex.priors.base import LevelPrior, Prior
from voxlex.priors.conditions import Conditions
from voxlex.priors.hierarchical import HierarchicalPrior
from voxlex.priors.masked import MaskedPrior
from voxlex.priors.pixelcnn import GatedPixelCNN
from voxlex.priors.transformer import TransformerPrior

PRIORS: dict[str, type[LevelPrior]] = {
    "pixelcnn": GatedPixelCNN,
    "transformer": TransformerPrior,
    "masked": MaskedPrior,
}
"""Every prior by its kind."""

__all__ = [
    "PRIORS",
    "Conditions",
    "GatedPixelCNN",
    "HierarchicalPrior",
    "LevelPrior",
    "MaskedPrior",
    "Prior",
    "TransformerPrior",
]
