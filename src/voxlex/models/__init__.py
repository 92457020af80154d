"""Models: images to codes and back."""

from voxlex.models.autoencoder import Decoder, Encoder
from voxlex.models.base import Autoencoder, Reconstruction
from voxlex.models.paper import PaperDecoder, PaperEncoder
from voxlex.models.vqvae import VQVAE

__all__ = ["VQVAE", "Autoencoder", "Decoder", "Encoder", "PaperDecoder", "PaperEncoder", "Reconstruction"]
