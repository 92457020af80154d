"""Priors over code grids: what makes a vocabulary of codes a generator of images."""

from voxlex.priors.base import UNKNOWN, Prior
from voxlex.priors.pixelcnn import GatedPixelCNN

__all__ = ["UNKNOWN", "GatedPixelCNN", "Prior"]
