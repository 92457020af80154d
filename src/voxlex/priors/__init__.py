"""Priors over code grids: what makes a vocabulary of codes a generator of images."""

from voxlex.priors.base import Prior
from voxlex.priors.conditions import Conditions
from voxlex.priors.masked import MaskedPrior
from voxlex.priors.pixelcnn import GatedPixelCNN
from voxlex.priors.transformer import TransformerPrior

PRIORS: dict[str, type[Prior]] = {"pixelcnn": GatedPixelCNN, "transformer": TransformerPrior, "masked": MaskedPrior}
"""Every prior by its kind."""

__all__ = ["PRIORS", "Conditions", "GatedPixelCNN", "MaskedPrior", "Prior", "TransformerPrior"]
