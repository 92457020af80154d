"""Quantizers: latents to codes and back; each is usable alone in any model."""

from voxlex.quantizers.base import Quantized, Quantizer
from voxlex.quantizers.finite_scalar import FiniteScalarQuantizer
from voxlex.quantizers.grouped import GroupedQuantizer
from voxlex.quantizers.gumbel import GumbelQuantizer
from voxlex.quantizers.lookup_free import LookupFreeQuantizer
from voxlex.quantizers.residual import ResidualQuantizer
from voxlex.quantizers.residual_finite_scalar import ResidualFiniteScalarQuantizer
from voxlex.quantizers.sim_vq import SimVQ
from voxlex.quantizers.vector import VectorQuantizer

QUANTIZERS: dict[str, type[Quantizer]] = {
    "vector": VectorQuantizer,
    "residual": ResidualQuantizer,
    "grouped": GroupedQuantizer,
    "finite_scalar": FiniteScalarQuantizer,
    "residual_finite_scalar": ResidualFiniteScalarQuantizer,
    "lookup_free": LookupFreeQuantizer,
    "sim_vq": SimVQ,
    "gumbel": GumbelQuantizer,
}
"""Every quantizer by its kind."""

__all__ = [
    "QUANTIZERS",
    "FiniteScalarQuantizer",
    "GroupedQuantizer",
    "GumbelQuantizer",
    "LookupFreeQuantizer",
    "Quantized",
    "Quantizer",
    "ResidualFiniteScalarQuantizer",
    "ResidualQuantizer",
    "SimVQ",
    "VectorQuantizer",
]
