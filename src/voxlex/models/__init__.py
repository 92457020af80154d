"""Models: images to codes and back."""

from voxlex.models.autoencoder import PatchDecoder, PatchEncoder
from voxlex.models.paper import PaperDecoder, PaperEncoder
from voxlex.models.vqvae import VQVAE, Reconstruction

__all__ = ["VQVAE", "PaperDecoder", "PaperEncoder", "PatchDecoder", "PatchEncoder", "Reconstruction"]
