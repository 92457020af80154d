"""The contract of every autoencoder: images in, codes at one level or several out, and back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxlex.codes import CodeLayout, from_levels
from voxlex.errors import CodesError
from voxlex.models.arrays import to_image_tensor
from voxlex.quantizers import Quantizer
from voxlex.types import Codes, CodesLike, Image, Levels


class Reconstruction(NamedTuple):
    """What an autoencoder makes of a batch of images.

    Attributes:
        x_hat: Reconstructions, not clamped.
        codes: The codes they were made from, as `Autoencoder.encode` gives them; None if nothing was quantized.
        losses: Loss terms of the quantizers, by name.
    """

    x_hat: Image
    codes: Codes | Levels | None
    losses: Mapping[str, Float[Tensor, ""]]


class Autoencoder(nn.Module, ABC):
    """Base of all models that turn images into codes, and codes into images.

    The codes of an image lie in one grid or, at several scales, in several: its levels, coarsest first. `encode`,
    `decode` and `forward` give and take a single level as one tensor and several as a tuple. A subclass works with a
    tuple always: it defines `quantizers`, `decoding_modules`, `forward`, `_grids`, `_encode` and `_decode`.

    Args:
        in_channels: Channels of the images, c.
        spatial_dims: 2 for images, 3 for volumes.
        downsampling: Side of the image patch that one cell of the finest level stands for.
        multiple_of: The sides of images are multiples of this; by default of `downsampling`.

    Attributes:
        checkpoint_activations: Whether the networks forget their activations in training and compute them again for
            the gradient (Chen et al., 1604.06174): less memory, more time, the same results.
        encoder_reach: How far beyond a patch of `multiple_of` pixels the codes in it see the image, in such patches;
            None if that is not known. Where it is known, large images can be encoded in tiles.
        decoder_reach: The same of the decoder: how far beyond a patch of the image the codes it depends on lie.
    """

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
        """The modules that turn codes into images: what codes mean depends on their weights, and on nothing else."""

    @abstractmethod
    def forward(self, x: Image, *, quantize: bool = True) -> Reconstruction:
        """Encode, quantize and decode an image tensor; gradients flow, and in training mode the codebooks learn.

        Args:
            x: Images in [0, 1].
            quantize: If not, the decoder gets the `continuous` latents of the quantizers.
        """

    @abstractmethod
    def _grids(self, space: tuple[int, ...]) -> Sequence[tuple[int, ...]]:
        """Return the grid of each level for images of these sides, which are multiples of `multiple_of`."""

    @abstractmethod
    def _encode(self, x: Image) -> Levels:
        """Return the codes of an image tensor on this model's device."""

    @abstractmethod
    def _decode(self, codes: Levels) -> Image:
        """Return the images that codes stand for, not clamped."""

    def layouts(self, space: Sequence[int]) -> tuple[CodeLayout, ...]:
        """Return how the codes of images of the given sides lie, one layout for each level, coarsest first.

        Raises:
            ValueError: If the model does not take images of these sides.
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
        """Return the sides of the images whose codes lie in these grids, one for each level.

        Raises:
            CodesError: If no image has its codes in such grids.
        """
        given = [tuple(grid) for grid in grids]
        space = tuple(side * self.downsampling for side in given[-1])
        fits = len(space) == self.spatial_dims and not any(side < 1 or side % self.multiple_of for side in space)
        if not fits or given != [tuple(grid) for grid in self._grids(space)]:
            raise CodesError(f"codes: expected the grids of one image, got {', '.join(map(str, given))}")
        return space

    @torch.no_grad()
    def encode(self, images: np.ndarray | Tensor) -> Codes | Levels:
        """Return the codes of images.

        Args:
            images: NumPy `(b, h, w)` or channels-last `(b, h, w, c)`, or a tensor `(b, c, h, w)`; uint8, uint16, or
                float in [0, 1].

        Returns:
            Codes `(b, q, *grid)`; of a model with several levels a tuple of them, coarsest first.

        Raises:
            ValueError: If shape, type or range cannot be images for this model.
        """
        x = to_image_tensor(images, channels=self.in_channels, spatial_dims=self.spatial_dims)
        self.layouts(x.shape[2:])  # refuses sides that do not divide
        return from_levels(self._encode(x.to(self.device)))

    @torch.no_grad()
    def decode(self, codes: CodesLike) -> Image:
        """Return the images that codes stand for, float32 in [0, 1].

        Args:
            codes: As `encode` gives them, of any type of integer.

        Raises:
            CodesError: If the codes are of the wrong number of levels, shape, type or range.
        """
        return self._decode(self.levels(codes)).float().clamp(0, 1)

    def levels(self, codes: CodesLike) -> Levels:
        """Return codes of any type of integer as a tuple of int64 tensors on this model's device, coarsest first.

        Raises:
            CodesError: If the codes are of the wrong number of levels, shape or type; their range is not looked at.
        """
        given = [codes] if isinstance(codes, np.ndarray | Tensor) else list(codes)
        if len(given) != len(self.quantizers):
            raise CodesError(f"codes: expected {len(self.quantizers)} levels, coarsest first, got {len(given)}")
        levels = []
        for number, level in enumerate(given):
            name = "codes" if len(given) == 1 else f"codes of level {number}"
            tensor = torch.as_tensor(level, device=self.device)
            if tensor.is_floating_point() or tensor.dtype == torch.bool:
                raise CodesError(f"{name}: expected integers, got {tensor.dtype}")
            if tensor.ndim != 2 + self.spatial_dims:
                raise CodesError(
                    f"{name}: expected {2 + self.spatial_dims} axes (b, q, *grid), got {tuple(tensor.shape)}"
                )
            levels.append(tensor.long())
        if len({len(level) for level in levels}) > 1:
            raise CodesError(f"codes: expected as many images in each level, got {[len(level) for level in levels]}")
        self.space_of([level.shape[2:] for level in levels])
        return tuple(levels)

    def reconstruct(self, images: np.ndarray | Tensor) -> Image:
        """Return what is left of images when they have been stored as codes: `decode(encode(images))`."""
        return self.decode(self.encode(images))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def _apply_network(self, network: nn.Module, x: Tensor) -> Tensor:
        """Apply a network, as `checkpoint_activations` says."""
        if self.checkpoint_activations and self.training and torch.is_grad_enabled():
            return checkpoint(network, x, use_reentrant=False)
        return network(x)
