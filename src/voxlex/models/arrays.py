"""Convert arrays of any usual kind, layout and type to image tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxlex.scans.scan import LUMINANCE
from voxlex.types import Image

_TOLERANCE = 1e-3  # resampling and half precision exceed the range by about this much
_SPACE = {2: "h, w", 3: "d, h, w"}
_FEW = 4  # an image is not as narrow as this, but a pixel has this many channels

ArrayLike = np.ndarray | Tensor | Sequence[Any]
"""A NumPy array, a tensor, or lists of numbers, arrays or tensors."""

_FULL_SCALE = {torch.uint8: 255.0, torch.uint16: 65535.0}


def as_array(values: ArrayLike, *, name: str = "images") -> np.ndarray | Tensor:
    """Return a tensor as it is, and anything else as an array; lists of arrays or tensors are stacked.

    Raises:
        TypeError: If the values are not an array, a tensor or lists of numbers, or some of them are masked.
        ValueError: If lists differ in length.
    """
    if isinstance(values, Tensor):
        return values
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise TypeError(f"{name}: expected an array without masked values; fill them first, such as with .filled(0)")
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise TypeError(
            f"{name}: expected a NumPy array, a torch tensor or lists of numbers, got {type(values).__name__}"
        )
    parts = [value.numpy(force=True) if isinstance(value, Tensor) else value for value in values]
    try:
        return np.asarray(parts)
    except ValueError as cause:
        raise ValueError(f"{name}: expected lists or arrays of one shape, got several") from cause


def to_image_tensor(images: ArrayLike, *, channels: int, spatial_dims: int) -> Image:
    """Convert images to a float32 tensor `(b, channels, *space)` with values in [0, 1].

    These shapes are accepted, where `*space` stands for `spatial_dims` axes:

    - `(*space)`: one image of one channel;
    - `(b, *space)`: images of one channel;
    - `(b, c, *space)`: channels first, tensors and arrays;
    - `(b, *space, c)`: channels last, arrays only.

    An array whose channels may be first or last is refused, and so are images of one channel that are at most four
    pixels wide, because these are colours. For a model with one channel, three channels are converted to luminance. A
    single image in colour needs a batch axis, `images[None]`. `(3, *space)` are three images.

    Args:
        images: `uint8` (0…255), `uint16` (0…65535), or floats in [0, 1]. The type alone decides what is white: 255 in
            `uint8`, whatever the largest value is. Floats that lie outside by at most 0.001 are clipped.
        channels: Number of channels of the model.
        spatial_dims: 2 for images, 3 for volumes.

    Returns:
        The images, on the same device.

    Raises:
        TypeError: If `images` is not an array, a tensor or lists, or has another type of numbers.
        ValueError: If the shape is not accepted, or a value is not finite or lies outside [0, 1].
    """
    given = as_array(images)
    tensor = _channels_first(
        given if isinstance(given, Tensor) else _from_numpy(given),
        channels=channels,
        spatial_dims=spatial_dims,
        may_be_last=not isinstance(given, Tensor),
    )
    unit = _to_unit(tensor)
    if channels == 1 and unit.shape[1] == 3:
        weights = torch.tensor(LUMINANCE, device=unit.device).reshape(1, 3, *[1] * spatial_dims)
        unit = (unit * weights).sum(1, keepdim=True)
    return unit


def _from_numpy(images: np.ndarray) -> Tensor:
    if images.dtype.kind not in "uf" or images.dtype.itemsize > 8 or images.dtype in (np.uint32, np.uint64):
        raise TypeError(_unsupported(images.dtype))
    # A tensor cannot share memory that is read-only, byte-swapped or has negative strides.
    return torch.from_numpy(np.array(images, dtype=images.dtype.newbyteorder("="), order="C"))


def _channels_first(images: Tensor, *, channels: int, spatial_dims: int, may_be_last: bool) -> Tensor:
    shape = tuple(images.shape)
    if 0 in shape:
        raise ValueError(f"images: expected at least one pixel, got the shape {shape}")
    if images.ndim == spatial_dims and channels == 1:
        return images[None, None]
    if images.ndim == spatial_dims + 1 and channels == 1:
        if shape[-1] <= _FEW and min(shape[:-1]) > _FEW:
            raise ValueError(
                f"images: expected images (b, {_SPACE[spatial_dims]}), got {shape}, which looks like one image with "
                f"{shape[-1]} channels; give images[None] in colour, images[..., 0] in grey"
            )
        return images[:, None]
    if images.ndim != spatial_dims + 2:
        raise ValueError(_misshapen(shape, channels, spatial_dims))
    usable = (1, 3) if channels == 1 else (channels,)
    first, last = shape[1] in usable, may_be_last and shape[-1] in usable
    if first and last:
        raise ValueError(
            f"images: expected a shape with channels at one end, got {shape}; give a tensor, which has channels first"
        )
    if not first and not last:
        raise ValueError(_misshapen(shape, channels, spatial_dims))
    return images if first else images.movedim(-1, 1)


def _to_unit(images: Tensor) -> Tensor:
    if images.dtype in _FULL_SCALE:
        return images.to(torch.float32) / _FULL_SCALE[images.dtype]
    if not images.is_floating_point():
        raise TypeError(_unsupported(images.dtype))
    low, high = (float(bound) for bound in images.detach().aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("images: expected finite values, got NaN or infinity")
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ValueError(
            f"images: expected floats in [0, 1], got {low:g} to {high:g}; "
            f"rescale them, such as by images / {_white(high)}, or give uint8 or uint16"
        )
    return images.to(torch.float32).clamp(0, 1)


def _white(high: float) -> str:
    return "255" if 1 < high <= 255 else "65535" if 255 < high <= 65535 else "images.max()"


def _unsupported(dtype: object) -> str:
    return f"images: expected uint8, uint16 or floats in [0, 1], got {dtype}; convert them, so that white is known"


def _misshapen(shape: Sequence[int], channels: int, spatial_dims: int) -> str:
    space = _SPACE[spatial_dims]
    layouts = [f"(b, {channels}, {space})", f"(b, {space}, {channels}) as an array"]
    if channels == 1:
        layouts = [f"({space})", f"(b, {space})", *layouts]
    advice = "; drop the alpha channel, images[..., :3]" if len(shape) == spatial_dims + 2 and shape[-1] == 4 else ""
    return f"images: expected one of the shapes {', '.join(layouts)}, got {tuple(shape)}{advice}"
