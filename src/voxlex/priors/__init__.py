"""Priors over code grids: what makes a vocabulary of codes a generator of images."""

from voxlex.priors.base import Prior
from voxlex.priors.conditions import Conditions
from voxlex.priors.masked import MaskedPrior
from voxlex.priors.pixelcnn import GatedPixelCNN
from voxlex.priors.transformer import TransformerPrior

__all__ = ["Conditions", "GatedPixelCNN", "MaskedPrior", "Prior", "TransformerPrior"]
