"""Show volumes as pictures of their three orthogonal middle slices; two-dimensional images stay unchanged.

The axes of a volume `(z, y, x)` run from top to bottom, front to back, and right to left. So the slices appear as
radiologists see them: the front or the top points up, and the subject's right is on the left. In the sagittal slice,
the front is on the left.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Pictures = Float[Tensor, "b c h w"]


def as_row(images: Float[Tensor, "b c *space"]) -> Pictures:
    """Return images unchanged, or the axial, coronal and sagittal middle slices of volumes side by side."""
    if images.ndim == 4:
        return images
    slices = middle_slices(images)
    height = max(part.shape[2] for part in slices)
    return torch.cat([functional.pad(part, (0, 0, 0, height - part.shape[2])) for part in slices], dim=3)


def as_column(images: Float[Tensor, "b c *space"]) -> Pictures:
    """Return images unchanged, or the axial, coronal and sagittal middle slices of volumes from top to bottom."""
    if images.ndim == 4:
        return images
    slices = middle_slices(images)
    width = max(part.shape[3] for part in slices)
    return torch.cat([functional.pad(part, (0, width - part.shape[3])) for part in slices], dim=2)


def middle_slices(volumes: Float[Tensor, "b c z y x"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the axial `(b, c, y, x)`, the coronal `(b, c, z, x)` and the sagittal `(b, c, z, y)` middle slices."""
    z, y, x = (side // 2 for side in volumes.shape[2:])
    return volumes[:, :, z], volumes[:, :, :, y], volumes[:, :, :, :, x]
