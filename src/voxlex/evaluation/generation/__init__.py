"""How generated images are judged: likeness to real ones, variety, and whether they copy the training images.

No figure means much by itself: each comes with its floor, the same figure between two halves of real images.
"""

from voxlex.evaluation.generation.features import Features, gradient_statistics, load_features
from voxlex.evaluation.generation.judge import GenerationReport, judge_samples
from voxlex.evaluation.generation.memorisation import Pair

__all__ = ["Features", "GenerationReport", "Pair", "gradient_statistics", "judge_samples", "load_features"]
