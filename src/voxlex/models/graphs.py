"""What an autoencoder does, as modules of tensors alone, for graphs that run without voxlex."""

from torch import Tensor, nn

from voxlex.models.base import Autoencoder
from voxlex.models.texture import TexturedDecoder
from voxlex.types import Image, LevelCodes, Levels


class ImagesToCodes(nn.Module):
    """Encodes images that are in [0, 1]; nothing is checked.

    Args:
        autoencoder: In eval mode.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, images: Image) -> Levels:
        """Return the codes of each level, coarsest first."""
        return self.autoencoder._encode(images)


class CodesToImages(nn.Module):
    """Decodes codes that are in range; nothing is checked.

    Args:
        autoencoder: In eval mode.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, *codes: LevelCodes) -> Image:
        """Return images in [0, 1]. Codes are given level by level, coarsest first."""
        images: Tensor = self.autoencoder.decoder(self.autoencoder.latents(codes))
        return images.clamp(0, 1)


class CodesToTexturedImages(nn.Module):
    """Decodes codes with likely fine detail, which standard normal noise, one number for each pixel, decides.

    Args:
        autoencoder: In eval mode.
        texture: The textured decoder of the same codes, in eval mode.
    """

    def __init__(self, autoencoder: Autoencoder, texture: TexturedDecoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.texture = texture

    def forward(self, noise: Image, *codes: LevelCodes) -> Image:
        """Return images in [0, 1]. Codes are given level by level, coarsest first."""
        images: Tensor = self.texture(self.autoencoder.latents(codes), noise)
        return images.clamp(0, 1)
