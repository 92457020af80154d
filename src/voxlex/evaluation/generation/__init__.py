"""Measures of generated images: how real and how varied they are, and whether they copy training images.

A figure means little by itself. So each figure comes with its floor, the same figure between two halves of real images.
"""

from voxlex.evaluation.generation.features import Features, chosen_features, load_features
from voxlex.evaluation.generation.judge import GenerationReport, judge_samples
from voxlex.evaluation.generation.memorisation import Pair
from voxlex.evaluation.generation.scattering import log_scattering

__all__ = [
    "Features",
    "GenerationReport",
    "Pair",
    "chosen_features",
    "judge_samples",
    "load_features",
    "log_scattering",
]
