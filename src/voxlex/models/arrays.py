"""Images as people hold them, NumPy arrays or tensors in any usual layout and type, to image tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from voxlex.scans.scan import LUMINANCE
from voxlex.types import Image

_TOLERANCE = 1e-3  # resampling and half precision overshoot by about this much
_FULL_SCALE = {torch.uint8: 255.0, torch.uint16: 65535.0}


def to_image_tensor(images: np.ndarray | Tensor, *, channels: int, spatial_dims: int) -> Image:
    """Turn images into a float32 tensor `(b, channels, *space)` with values in [0, 1].

    Shapes, with `*space` of `spatial_dims` axes:

    - `(*space)`: one image of one channel;
    - `(b, *space)`: images of one channel;
    - `(b, c, *space)`: channels first, tensors and arrays;
    - `(b, *space, c)`: channels last, arrays only.

    An array with as many channels at both ends is refused rather than guessed at. Three channels given to a model of
    one channel become luminance. One image in colour needs a batch axis, `images[None]`.

    Args:
        images: `uint8` (0…255), `uint16` (0…65535), or floats in [0, 1]; floats outside by at most 0.001 are clipped.
        channels: Channels of the model.
        spatial_dims: 2 for images, 3 for volumes.

    Returns:
        The images, on the device they were on.

    Raises:
        TypeError: If `images` is neither an array nor a tensor, or of another type of number.
        ValueError: If the shape cannot be understood, a value is not finite or lies outside [0, 1].
    """
    if isinstance(images, np.ndarray):
        tensor = _from_numpy(images)
    elif isinstance(images, Tensor):
        tensor = images
    else:
        raise TypeError(f"images must be a NumPy array or a torch tensor, found {type(images).__name__}")
    tensor = _channels_first(
        tensor, channels=channels, spatial_dims=spatial_dims, may_be_last=isinstance(images, np.ndarray)
    )
    unit = _to_unit(tensor)
    if channels == 1 and unit.shape[1] == 3:
        weights = torch.tensor(LUMINANCE, device=unit.device).reshape(1, 3, *[1] * spatial_dims)
        unit = (unit * weights).sum(1, keepdim=True)
    return unit


def _from_numpy(images: np.ndarray) -> Tensor:
    if images.dtype.kind not in "uf" or images.dtype.itemsize > 8 or images.dtype in (np.uint32, np.uint64):
        raise TypeError(_unsupported(images.dtype))
    # A tensor cannot share memory that is read-only, byte-swapped or runs backwards.
    return torch.from_numpy(np.array(images, dtype=images.dtype.newbyteorder("="), order="C"))


def _channels_first(images: Tensor, *, channels: int, spatial_dims: int, may_be_last: bool) -> Tensor:
    shape = tuple(images.shape)
    if 0 in shape:
        raise ValueError(f"images of shape {shape} hold no pixels")
    if images.ndim == spatial_dims and channels == 1:
        return images[None, None]
    if images.ndim == spatial_dims + 1 and channels == 1:
        return images[:, None]
    if images.ndim != spatial_dims + 2:
        raise ValueError(_misshapen(shape, channels, spatial_dims))
    usable = (1, 3) if channels == 1 else (channels,)
    first, last = shape[1] in usable, may_be_last and shape[-1] in usable
    if first and last:
        raise ValueError(
            f"images of shape {shape} may have their channels first or last; give a tensor (channels first)"
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
        raise ValueError("images hold values that are not finite (NaN or infinity)")
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ValueError(
            f"images of floats must lie in [0, 1], found {low:g} to {high:g}; rescale them, or give uint8 or uint16"
        )
    return images.to(torch.float32).clamp(0, 1)


def _unsupported(dtype: object) -> str:
    return f"images must be uint8, uint16 or floats in [0, 1], found {dtype}"


def _misshapen(shape: Sequence[int], channels: int, spatial_dims: int) -> str:
    space = ("h, w", "d, h, w")[spatial_dims - 2]
    layouts = [f"(b, {channels}, {space})", f"(b, {space}, {channels}) as an array"]
    if channels == 1:
        layouts = [f"({space})", f"(b, {space})", *layouts]
    return f"images of shape {tuple(shape)} do not fit a model of {channels} channels; expected {', '.join(layouts)}"
