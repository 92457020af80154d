"""Models: images to codes and back."""

from voxlex.models.autoencoder import Decoder, Encoder
from voxlex.models.paper import PaperDecoder, PaperEncoder
from voxlex.models.vqvae import VQVAE, Reconstruction

__all__ = ["VQVAE", "Decoder", "Encoder", "PaperDecoder", "PaperEncoder", "Reconstruction"]
