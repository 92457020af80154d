"""Autoencoders, which encode images as codes and decode codes to images."""

from torch import nn

from voxlex.models.autoencoder import Decoder, Encoder
from voxlex.models.base import Autoencoder, Reconstruction
from voxlex.models.monai import MonaiDecoder, MonaiEncoder
from voxlex.models.multi_scale import MultiScaleVQVAE
from voxlex.models.paper import PaperDecoder, PaperEncoder
from voxlex.models.vqvae import VQVAE
from voxlex.models.vqvae2 import VQVAE2

NETWORKS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "residual": (Encoder, Decoder),
    "paper": (PaperEncoder, PaperDecoder),
    "monai": (MonaiEncoder, MonaiDecoder),
}
"""The encoder and the decoder of every network, by its kind."""

__all__ = [
    "NETWORKS",
    "VQVAE",
    "VQVAE2",
    "Autoencoder",
    "Decoder",
    "Encoder",
    "MonaiDecoder",
    "MonaiEncoder",
    "MultiScaleVQVAE",
    "PaperDecoder",
    "PaperEncoder",
    "Reconstruction",
]
