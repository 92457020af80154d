"""Long jobs: new images with their nearest training images, and regions that are drawn anew."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from voxlex.codes import from_levels
from voxlex.data.dataset import PreparedDataset
from voxlex.evaluation.generation.memorisation import TrainingImages, copy_distance
from voxlex.explorer.lanes import Job
from voxlex.explorer.requests import RegionRequest, SampleRequest
from voxlex.explorer.words import Usual
from voxlex.models.batches import image_batches
from voxlex.pages.pictures import to_picture, to_png
from voxlex.priors.watching import Known
from voxlex.rows import evenly_spaced
from voxlex.scans.formats.pictures import png_mark
from voxlex.types import Levels
from voxlex.vocabulary import Vocabulary

_NOT_YET = 0.16  # the grey of what is not drawn yet, which the dark surroundings of a head do not have
_HELD_OUT = 64  # images whose distances tell what is near


class Neighbours:
    """The nearest training image of any image, and how near is suspicious."""

    def __init__(self, dataset: PreparedDataset) -> None:
        rows = np.flatnonzero(dataset.manifest["split"] == "train")
        self.rows = rows if len(rows) else np.arange(len(dataset))
        training = dataset.subset("train") if len(rows) else dataset
        self._index = TrainingImages(image_batches(training))
        self.copy_below: float | None = None
        if (dataset.manifest["split"] == "test").any():
            test = dataset.subset("test")
            held_out, _ = self._index.nearest(test.tensor(evenly_spaced(len(test), _HELD_OUT)))
            self.copy_below = copy_distance(held_out)

    def nearest(self, image: Tensor) -> tuple[int, float]:
        """Return the row of the training image that is nearest to an image `(1, c, *space)`, and its distance."""
        distances, indices = self._index.nearest(image)
        return int(self.rows[int(indices[0])]), float(distances[0])


@dataclass(frozen=True)
class Sketch:
    """An image that is being drawn. It is decoded only when somebody looks, and not by the thread that draws.

    Attributes:
        seed: Seed of the image.
        step: How many sketches of it there were before.
        levels: The codes so far, `(1, q, *grid)`, of each level that has begun, coarsest first.
        known: Which of their cells are drawn, `(1, *grid)`.
        usual: For each level, the codes that stand in for those that are not drawn yet, one for each codebook.
        vocabulary: Whose codes these are.
    """

    seed: int
    step: int
    levels: Levels
    known: Known
    usual: Usual
    vocabulary: Vocabulary

    def image(self) -> Float[Tensor, "c *space"]:
        """Return what the codes decode to, grey where no code is drawn yet."""
        filled = [
            usual.view(1, -1, *[1] * len(layout.grid)).repeat(1, 1, *layout.grid)
            for usual, layout in zip(self.usual, self.vocabulary.layouts, strict=True)
        ]
        for place, (level, known) in enumerate(zip(self.levels, self.known, strict=True)):
            filled[place] = torch.where(known.unsqueeze(1), level, filled[place])
        image = self.vocabulary.decode(from_levels(filled)).cpu()
        there = functional.interpolate(self.known[0].unsqueeze(1).float(), size=image.shape[2:], mode="nearest")
        return torch.where(there > 0, image, _NOT_YET)[0]


def draw_samples(
    job: Job, vocabulary: Vocabulary, request: SampleRequest, neighbours: Neighbours | None, usual: Usual
) -> None:
    """Draw new images one by one, so that each can be seen when it is there, and while it is drawn.

    Image i has the seed `seed + i`, and is the first that `voxlex sample --seed` draws with it.

    Args:
        job: Gets the images, and a `Sketch` of the next one.
        vocabulary: Draws them.
        request: What is wanted.
        neighbours: Index of the training images; None if there are none.
        usual: See `Sketch`.
    """
    condition: dict[str, Any] = dict(request.condition)
    for number in range(request.count):
        seed = request.seed + number

        def progress(done: int, total: int, number: int = number) -> None:
            job.progress(number * total + done, request.count * total)

        def watch(levels: Levels, known: Known, seed: int = seed) -> None:
            step = job.sketch.step + 1 if job.sketch is not None else 0
            codes, cells = (tuple(one.cpu().clone() for one in all_of) for all_of in (levels, known))
            job.sketch = Sketch(seed, step, levels=codes, known=cells, usual=usual, vocabulary=vocabulary)

        codes = vocabulary.sample_codes(
            1,
            condition=condition or None,
            seed=seed,
            progress=progress,
            watch=watch,
            temperature=request.temperature,
            top_p=request.top_p,
            guidance=request.guidance if condition else 1.0,
        )
        image = vocabulary.decode(codes, decoding=request.decoding or vocabulary.best_decoding, seed=seed).cpu()
        found: dict[str, Any] = {"seed": seed, "image": image[0]}
        if neighbours is not None:
            row, distance = neighbours.nearest(image)
            limit = neighbours.copy_below
            found |= {"row": row, "distance": distance, "copy": limit is not None and distance < limit}
        job.result.append(found)
        job.sketch = None


def draw_region(job: Job, vocabulary: Vocabulary, dataset: PreparedDataset, request: RegionRequest) -> None:
    """Draw a region of a scan anew, one version after another."""
    image = dataset.tensor([request.row])[0]
    mask = torch.from_numpy(request.pixels(tuple(image.shape[1:])))
    for number in range(request.count):

        def progress(done: int, total: int, number: int = number) -> None:
            job.progress(number * total + done, request.count * total)

        drawn = vocabulary.inpaint(
            image,
            mask,
            count=1,
            temperature=request.temperature,
            seed=request.seed + number,
            progress=progress,
        )
        job.result.append({"seed": request.seed + number, "image": drawn[0].cpu()})


def as_png(image: Tensor, *, made_with: dict[str, Any] | None = None) -> bytes:
    """Return an image in [0, 1] as PNG, with what it was made with in its header."""
    mark = png_mark()
    if made_with is not None:
        mark.add_text("Parameters", json.dumps(made_with, ensure_ascii=True))
    return to_png(to_picture(image), mark=mark)
