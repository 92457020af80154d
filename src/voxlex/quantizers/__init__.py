"""Quantisers: latents to codes and back; each is usable alone in any model."""

from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.vector import VectorQuantizer

__all__ = ["Quantized", "Quantizer", "VectorQuantizer"]
