"""Draw a region of an image anew: several versions, and where they differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxlex.data.canvas import fit_to_canvas
from voxlex.data.fitting import fit_scan
from voxlex.data.formats.pictures import read_picture
from voxlex.data.framing import Frame
from voxlex.errors import DataError
from voxlex.evaluation.pictures import sample_sheet
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.outputs import output_folder, write_image
from voxlex.workflows.progress import progress_bar

SHEET = "inpainted.png"


def inpaint(
    vocabulary: Vocabulary,
    image: Path,
    *,
    mask: Path,
    out: Path,
    count: int = 8,
    condition: Mapping[str, Any] | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write `draw-0000.png` and so on, their `mean.png` and `deviation.png`, and all of them as `inpainted.png`.

    Images are written at the model's size and in the image's own grey values; the deviation is the standard deviation
    over the draws, brightest where it is largest.

    Args:
        vocabulary: With a prior.
        image: File of the image.
        mask: File of a mask with the same number of pixels, not black where to draw anew.
        out: Folder for the results.
        count: How many draws, each on its own.
        condition: What the image is known to be, by the names of the prior's conditions.
        temperature: Below 1 keeps to what is likely.
        seed: The same seed gives the same images on the same machine.
        overwrite: Write into a folder that is not empty.

    Raises:
        RunError: If there is no prior.
        DataError: If a file cannot be read, the mask does not fit, or the folder is in the way.
        ValueError: If an argument is out of range, or a condition unknown.
    """
    if vocabulary.autoencoder.spatial_dims == 3:
        raise DataError(f"{image}: volumes are inpainted by Vocabulary.inpaint, not from files")
    size = vocabulary.config.data.size
    (canvas, *more), origin, _ = fit_scan(image, Frame(size=size))
    if more or origin.view != "picture":
        raise DataError(f"{image}: expected a picture, got a volume; only pictures can be drawn anew")
    region = _read_mask(mask, size=size, height=origin.height, width=origin.width)
    with progress_bar("inpainting") as progress:
        draws = vocabulary.inpaint(
            canvas,
            region,
            count=count,
            condition=condition,
            temperature=temperature,
            seed=seed,
            progress=progress,
        ).cpu()
    out = output_folder(out, overwrite=overwrite)
    for number, drawn in enumerate(draws):
        write_image(out / f"draw-{number:04d}.png", drawn, origin.intensity)
    deviation = draws.std(dim=0, correction=0)
    deviation = deviation / deviation.max().clamp(min=1e-6)
    write_image(out / "mean.png", draws.mean(dim=0), origin.intensity)
    write_image(out / "deviation.png", deviation, origin.intensity)
    original = torch.from_numpy(canvas / np.iinfo(canvas.dtype).max).float().expand_as(draws[0])
    hidden = original.masked_fill(torch.from_numpy(region), 0)
    pictures = torch.stack([original, hidden, draws.mean(dim=0), deviation, *draws])
    captions = ["original", "known", "mean", "deviation", *(f"draw {number}" for number in range(count))]
    sample_sheet(out / SHEET, pictures, captions=captions)


def _read_mask(path: Path, *, size: int, height: int, width: int) -> np.ndarray:
    """Read a mask and put it on the canvas as the image was; true where it is not black."""
    picture = read_picture(path)
    if (picture.height, picture.width) != (height, width):
        found = f"{picture.height}×{picture.width}"
        raise DataError(f"{path}: expected a mask of {height}×{width} pixels, like the image, got {found}")
    chosen = (picture.pixels > 0).astype(np.float32)
    region = fit_to_canvas(chosen, size=size, height=height, width=width) > 0.5
    if not region.any():
        raise DataError(f"{path}: the mask is black: there is nothing to draw")
    return region
