"""The base class of all autoencoders, with codes at one level or several levels."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxlex.codes import CodeLayout, from_levels
from voxlex.errors import CodesError
from voxlex.models.arrays import ArrayLike, as_array, to_image_tensor
from voxlex.quantizers import Quantizer
from voxlex.types import Codes, CodesLike, Image, Latents, Levels


class Reconstruction(NamedTuple):
    """The output of an autoencoder for a batch of images.

    Attributes:
        x_hat: Reconstructions, which are not clamped.
        codes: Codes of the images, as `Autoencoder.encode` returns them; None if nothing was quantized.
        losses: Loss terms of the quantizers, by name.
    """

    x_hat: Image
    codes: Codes | Levels | None
    losses: Mapping[str, Float[Tensor, ""]]


class Autoencoder(nn.Module, ABC):
    """Base class of all models that encode images as codes and decode codes to images.

    The codes of an image lie on one grid, or on several grids at different scales, which are called levels. `encode`,
    `decode` and `forward` accept and return one tensor for a single level, and a tuple of tensors, coarsest first, for
    several levels. A subclass always works with a tuple. It defines `encoder`, `decoder`, `quantizers`,
    `decoding_modules`, `forward`, `latents`, `_grids` and `_encode`.

    Args:
        in_channels: Number of channels of the images, c.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the image patch that one cell of the finest level represents.
        multiple_of: Number that divides the sides of all images; by default `downsampling`.

    Attributes:
        encoder: The network that images go through first.
        decoder: The network that maps latents `(b, latent_dim, *grid)`, on the grid of the finest level, to images.
        checkpoint_activations: Whether training discards the activations of the networks and computes them again for
            the gradient (Chen et al., 1604.06174). This takes less memory and more time, and gives the same results.
        encoder_reach: How far outside a patch of `multiple_of` pixels the image affects the codes of the patch, counted
            in patches; None if this is unknown. If it is known, large images can be encoded in tiles.
        decoder_reach: How far outside a patch codes affect the decoded patch, counted in patches; None if this is
            unknown.
    """

    encoder: nn.Module
    decoder: nn.Module
    encoder_reach: int | None = None
    decoder_reach: int | None = None

    def __init__(
        self, *, in_channels: int = 1, spatial_dims: int = 2, downsampling: int = 4, multiple_of: int | None = None
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.downsampling = downsampling
        self.multiple_of = multiple_of or downsampling
        self.checkpoint_activations = False

    @property
    @abstractmethod
    def quantizers(self) -> tuple[Quantizer, ...]:
        """The quantizer of each level, coarsest first."""

    @property
    @abstractmethod
    def decoding_modules(self) -> tuple[nn.Module, ...]:
        """The modules that decode codes. Only their weights determine the meaning of codes."""

    @abstractmethod
    def forward(self, x: Image, *, quantize: bool = True) -> Reconstruction:
        """Encode, quantize and decode images. Gradients flow, and the codebooks learn in training mode.

        Args:
            x: Images in [0, 1].
            quantize: Whether to quantize. If False, the decoder gets the `continuous` latents of the quantizers.
        """

    @abstractmethod
    def latents(self, codes: Levels) -> Latents:
        """Return what the decoder receives for codes, on the grid of the finest level."""

    @property
    def latent_dim(self) -> int:
        """Number of channels of `latents`."""
        return self.quantizers[-1].embedding_dim

    @abstractmethod
    def _grids(self, space: tuple[int, ...]) -> Sequence[tuple[int, ...]]:
        """Return the grid of each level for images with these sides, which are multiples of `multiple_of`."""

    @abstractmethod
    def _encode(self, x: Image) -> Levels:
        """Encode an image tensor on the device of the model."""

    def layouts(self, space: Sequence[int]) -> tuple[CodeLayout, ...]:
        """Return the layout of the codes of images with the given sides, for each level, coarsest first.

        Raises:
            ValueError: If the model does not accept images with these sides.
        """
        space = tuple(space)
        if len(space) != self.spatial_dims or any(side < 1 or side % self.multiple_of for side in space):
            raise ValueError(
                f"images: expected {self.spatial_dims} sides that are multiples of {self.multiple_of}, got {space}"
            )
        return tuple(
            CodeLayout(num_embeddings=quantizer.num_embeddings, num_codebooks=quantizer.num_codebooks, grid=grid)
            for quantizer, grid in zip(self.quantizers, self._grids(space), strict=True)
        )

    def space_of(self, grids: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """Return the sides of the images whose codes lie on these grids, one for each level.

        Raises:
            CodesError: If no image has codes on these grids.
        """
        given = [tuple(grid) for grid in grids]
        space = tuple(side * self.downsampling for side in given[-1])
        fits = len(space) == self.spatial_dims and not any(side < 1 or side % self.multiple_of for side in space)
        if not fits or given != [tuple(grid) for grid in self._grids(space)]:
            raise CodesError(f"codes: expected the grids of one image, got {', '.join(map(str, given))}")
        return space

    @torch.no_grad()
    def encode(self, images: ArrayLike) -> Codes | Levels:
        """Return the codes of images.

        Args:
            images: Array or lists `(b, h, w)`, channels-last array `(b, h, w, c)`, or a tensor `(b, c, h, w)`; uint8,
                uint16 or float in [0, 1].

        Returns:
            Codes `(b, q, *grid)`. For a model with several levels, a tuple of such tensors, coarsest first.

        Raises:
            ValueError: If the shape or the range does not fit this model.
            TypeError: If the images are not an array, or have another type of numbers.
        """
        x = to_image_tensor(images, channels=self.in_channels, spatial_dims=self.spatial_dims)
        self.layouts(x.shape[2:])  # raises an error if the sides are not multiples of `multiple_of`
        return from_levels(self._encode(as_weights_of(self, x.to(self.device))))

    @torch.no_grad()
    def decode(self, codes: CodesLike) -> Image:
        """Decode codes to images, float32 in [0, 1].

        Args:
            codes: Codes as `encode` returns them, with any integer type.

        Raises:
            CodesError: If the codes have the wrong number of levels, shape, type or range.
        """
        z_q = as_weights_of(self.decoder, self.latents(self.levels(codes)))
        return self.decoder(z_q).float().clamp(0, 1)

    def levels(self, codes: CodesLike) -> Levels:
        """Convert codes of any integer type to a tuple of int64 tensors on the device of the model, coarsest first.

        Raises:
            CodesError: If the codes have the wrong number of levels, shape or type. Their range is not checked.
        """
        given = self._apart(codes)
        if len(given) != len(self.quantizers):
            raise CodesError(f"codes: expected {len(self.quantizers)} levels, coarsest first, got {len(given)}")
        levels = []
        for number, level in enumerate(given):
            name = "codes" if len(given) == 1 else f"codes of level {number}"
            tensor = self._whole_numbers(level, name)
            if tensor.ndim != 2 + self.spatial_dims:
                raise CodesError(
                    f"{name}: expected {2 + self.spatial_dims} axes (b, q, *grid), got {tuple(tensor.shape)}"
                )
            levels.append(tensor)
        if len({len(level) for level in levels}) > 1:
            raise CodesError(
                f"codes: expected equally many images in each level, got {[len(level) for level in levels]}"
            )
        self.space_of([level.shape[2:] for level in levels])
        return tuple(levels)

    def _apart(self, codes: CodesLike) -> list[Any]:
        """Return the codes of each level as they were given."""
        if isinstance(codes, np.ndarray | Tensor):
            return [codes]
        if len(self.quantizers) > 1 or (len(codes) == 1 and getattr(codes[0], "ndim", 0) == 2 + self.spatial_dims):
            return list(codes)
        return [codes]  # one level, as a list with the codes of each image

    def _whole_numbers(self, level: Any, name: str) -> Tensor:
        """Return codes as int64 on the device of the model."""
        found = as_array(level, name=name)
        if isinstance(found, np.ndarray):
            if found.dtype.kind not in "iu":
                raise CodesError(f"{name}: expected whole numbers, got {found.dtype}")
            found = torch.from_numpy(found.astype(np.int64))
        if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
            raise CodesError(f"{name}: expected whole numbers, got {found.dtype}")
        return found.to(self.device).long()

    def reconstruct(self, images: ArrayLike) -> Image:
        """Encode images and decode their codes: `decode(encode(images))`."""
        return self.decode(self.encode(images))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def _apply_network(self, network: nn.Module, x: Tensor) -> Tensor:
        """Apply a network in its own type, with activation checkpointing if `checkpoint_activations` is set."""
        x = as_weights_of(network, x)
        if self.checkpoint_activations and self.training and torch.is_grad_enabled():
            return checkpoint(network, x, use_reentrant=False)
        return network(x)


def reach_of(network: nn.Module, *, scale: int = 1, between: int = 0) -> int | None:
    """Return how far a network looks, in cells of the coarsest level; None if it does not say.

    Args:
        network: Its `reach` is in cells of the finest level.
        scale: Side of a cell of the coarsest level, in cells of the finest.
        between: Cells of the coarsest level that what lies between the levels adds.
    """
    reach: int | None = getattr(network, "reach", None)
    return None if reach is None else ceil(reach / scale) + between


def as_weights_of(network: nn.Module, x: Tensor) -> Tensor:
    """Return a tensor in the floating-point type of the weights of a network, if it has any."""
    weight = next((weight for weight in network.parameters() if weight.is_floating_point()), None)
    return x if weight is None else x.to(weight.dtype)
