"""Lesions that are planted into images, with known masks: to test what finds them, and what keeps them.

No public data set has lesions of every size and contrast with exact masks. These do not look like any disease. They
differ from healthy tissue in one way each, so that a curve of detection against size and contrast can be read.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from voxlex.types import Image

LesionKind = Literal["bright", "dark", "texture", "mass", "missing", "opposite"]
"""How a lesion differs from the tissue around it; see `plant`."""

LESION_KINDS: tuple[LesionKind, ...] = tuple(kind for kind in get_args(LesionKind) if kind != "opposite")
"""The kinds that tests of detection use."""

CONTRASTS = {"obvious": 0.4, "medium": 0.2, "faint": 0.1, "hardly visible": 0.05}
"""Names of contrasts. Grey and white matter of the phantom differ by about 0.28."""

_TISSUE = 0.5  # of the brightest means over a lesion: the centre of a lesion lies in brighter ones
_HEAD = 0.15  # of the brightest pixel: darker is air
_COVERED = 0.97  # of the largest share of head around a place: lesions do not reach far into the air
_SMALLEST_RADIUS = 2.0  # pixels
_GRAIN = 1.0  # standard deviation of the grains of a texture, in pixels
_STRONGEST_PUSH = 0.9  # beyond 1, tissue would fold

_POOL = {2: functional.avg_pool2d, 3: functional.avg_pool3d}


class Planted(NamedTuple):
    """Images with a lesion each.

    Attributes:
        images: The images with lesions, in [0, 1].
        shapes: The shape of each lesion, from 0 outside to 1 inside.
    """

    images: Image
    shapes: Float[Tensor, "b 1 *space"]

    def rows(self, rows: Int64[Tensor, " m"]) -> "Planted":
        """Return some of the images."""
        return Planted(self.images[rows], self.shapes[rows])

    @property
    def masks(self) -> Bool[Tensor, "b 1 *space"]:
        """Where more than half of a pixel belongs to the lesion."""
        return self.shapes > 0.5


def plant(
    images: Image,
    *,
    kind: LesionKind = "opposite",
    size_mm: float,
    pixel_mm: float = 1.0,
    contrast: float = CONTRASTS["medium"],
    generator: torch.Generator,
) -> Planted:
    """Plant a disc or ball with a soft edge into the tissue of each image.

    - "bright" and "dark": the contrast is added or subtracted.
    - "opposite": bright in dark tissue and dark in bright tissue, so that the lesion keeps its contrast.
    - "texture": the mean stays, and grains of about two pixels are added. The contrast is their standard deviation.
    - "mass": tissue is pushed outwards from the centre, as something that grows there would do; grey values move and
      do not change. With the contrast c, a point at the share r of the radius R shows what was at
      r · (1 − a (1 − r²)) · R before, with a = min(4c, 0.9). The largest displacement is 0.38 a R.
    - "missing": tissue fades to black, by 2.5 times the contrast as a share, and at 0.4 completely.

    Args:
        images: Images in [0, 1].
        kind: How the lesions differ from the tissue around them.
        size_mm: Diameter of the lesions. The radius is at least 2 pixels.
        pixel_mm: Distance between pixels or voxels.
        contrast: Contrast as a share of the intensity range, positive.
        generator: Generator that draws the places and the grains, on the CPU.

    Raises:
        ValueError: If the kind is unknown, or a number is not positive.
    """
    if kind not in get_args(LesionKind):
        raise ValueError(f"kind: expected one of {', '.join(get_args(LesionKind))}, got {kind!r}")
    for name, value in (("size_mm", size_mm), ("pixel_mm", pixel_mm), ("contrast", contrast)):
        if not value > 0:
            raise ValueError(f"{name}: expected a positive number, got {value}")
    radius = max(size_mm / pixel_mm / 2, _SMALLEST_RADIUS)
    distances, centres = _places(images, radius=radius, generator=generator)
    shapes = ((radius - distances) / 2 + 0.5).clamp(0, 1)[:, None].to(images)
    if kind == "mass":
        push = min(4 * contrast, _STRONGEST_PUSH)
        changed = _pushed(images, distances.to(images) / radius, centres.to(images), push=push)
    else:
        changed = _CHANGES[kind](images, shapes, contrast, generator)
    return Planted(changed.clamp(0, 1), shapes)


def smoothed(x: Image, radius: float) -> Image:
    """Return means over squares or cubes of about a lesion's size, without what lies outside the image."""
    side = 2 * round(radius / 2) + 1
    return _POOL[x.ndim - 2](x, side, stride=1, padding=side // 2, count_include_pad=False)


def _places(
    images: Image, *, radius: float, generator: torch.Generator
) -> tuple[Float[Tensor, "b *space"], Float[Tensor, "b n"]]:
    """Draw a centre in the tissue of each image; return each pixel's distance from it, and the centres, in pixels."""
    space, grey = images.shape[2:], images.mean(dim=1, keepdim=True)
    brightest = grey.flatten(1).amax(dim=1).view(-1, *[1] * (images.ndim - 1))
    covered = smoothed((grey > _HEAD * brightest).float(), 2 * radius).cpu()
    smooth = smoothed(grey, radius).cpu()
    axes = [torch.arange(side, dtype=torch.float32) for side in space]
    distances, centres = [], []
    for image, cover in zip(smooth, covered, strict=True):
        tissue = image[0] >= _TISSUE * image.max()
        inside = tissue & (cover[0] >= _COVERED * cover[0][tissue].max())
        place = int(torch.multinomial(inside.flatten().float(), 1, generator=generator))
        centre = torch.stack(torch.unravel_index(torch.tensor(place), space))
        grids = torch.meshgrid(*[(axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)], indexing="ij")
        distances.append(torch.stack(grids).sum(dim=0).sqrt())
        centres.append(centre.float())
    return torch.stack(distances), torch.stack(centres)


def _pushed(images: Image, shares: Float[Tensor, "b *space"], centres: Float[Tensor, "b n"], *, push: float) -> Image:
    """Move tissue outwards from the centres; `shares` are distances from them in shares of the radius."""
    space = images.shape[2:]
    factors = (1 - push * (1 - shares**2).clamp(min=0)).unsqueeze(-1)
    axes = [torch.arange(side, dtype=images.dtype, device=images.device) for side in space]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    centre = centres.view(len(images), *[1] * len(space), len(space))
    sources = centre + (points - centre) * factors
    sides = torch.tensor(space, dtype=images.dtype, device=images.device)
    grid = ((2 * sources + 1) / sides - 1).flip(-1)  # grid_sample wants (x, y) or (x, y, z), from -1 to 1
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _bright(images: Image, shapes: Tensor, contrast: float, generator: torch.Generator) -> Image:
    return images + contrast * shapes


def _dark(images: Image, shapes: Tensor, contrast: float, generator: torch.Generator) -> Image:
    return images - contrast * shapes


def _opposite(images: Image, shapes: Tensor, contrast: float, generator: torch.Generator) -> Image:
    level = (images.mean(dim=1, keepdim=True) * shapes).flatten(1).sum(dim=1) / shapes.flatten(1).sum(dim=1)
    sign = torch.where(level > 0.5, -1.0, 1.0).view(-1, *[1] * (images.ndim - 1))
    return images + sign * contrast * shapes


def _texture(images: Image, shapes: Tensor, contrast: float, generator: torch.Generator) -> Image:
    grains = torch.randn((len(images), 1, *images.shape[2:]), generator=generator)
    taps = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / _GRAIN) ** 2)
    convolve = functional.conv2d if images.ndim == 4 else functional.conv3d
    for axis in range(images.ndim - 2):
        shape, padding = [1] * images.ndim, [0] * (images.ndim - 2)
        shape[2 + axis], padding[axis] = 5, 2
        grains = convolve(grains, taps.view(shape), padding=padding)
    grains = grains.to(images) - (grains.to(images) * shapes).flatten(1).sum(1).div(shapes.flatten(1).sum(1)).view(
        -1, *[1] * (images.ndim - 1)
    )
    deviation = ((grains**2 * shapes).flatten(1).sum(1) / shapes.flatten(1).sum(1)).sqrt()
    return images + contrast * shapes * grains / deviation.view(-1, *[1] * (images.ndim - 1))


def _missing(images: Image, shapes: Tensor, contrast: float, generator: torch.Generator) -> Image:
    return images * (1 - min(2.5 * contrast, 1.0) * shapes)


_CHANGES: dict[str, Callable[[Image, Tensor, float, torch.Generator], Image]] = {
    "bright": _bright,
    "dark": _dark,
    "opposite": _opposite,
    "texture": _texture,
    "missing": _missing,
}
