"""Look at many images, a batch at a time, here or by workers. What is kept of each image is small."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from voxlex.codes import concatenate, take
from voxlex.data.dataset import PreparedDataset, unit_images
from voxlex.evaluation.generation.features import Features, describe
from voxlex.evaluation.generation.memorisation import TrainingImages
from voxlex.evaluation.likelihood import nats_of
from voxlex.evaluation.quality import quality
from voxlex.health import counts_of
from voxlex.metrics import radial_power
from voxlex.models import Autoencoder
from voxlex.models.batches import Decode, batch_rows, reconstructed_batch
from voxlex.priors.base import Prior
from voxlex.priors.conditions import Condition
from voxlex.progress import Progress
from voxlex.types import Codes, Levels
from voxlex.workers import HERE, Workers

IMAGES = "images"
"""The name of the images themselves, beside the names of the decoders."""

FAITHFUL = "faithful"
"""The name of the decoder of the autoencoder."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is measured of each image.

    Attributes:
        autoencoder: Encodes the images, and decodes their codes.
        decoders: What else the codes are decoded by, by name.
        prior: The prior under which codes are scored, if any.
        features: The features of the wanted images and reconstructions, if any.
        known: The training images to which distances are measured, if any.
        spectra: Whether spectra are measured.
    """

    autoencoder: Autoencoder
    decoders: Mapping[str, Decode]
    prior: Prior | None = None
    features: Features | None = None
    known: TrainingImages | None = None
    spectra: bool = False


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The few images of which more is kept, by number, sorted.

    Attributes:
        images: Those whose features are kept.
        reconstructions: Those whose reconstructions are kept, and the features of these.
        codes: Those whose codes are kept.
    """

    images: Sequence[int] = ()
    reconstructions: Sequence[int] = ()
    codes: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was measured and kept, of a batch or of all images.

    Attributes:
        quality: What `quality` tells of each image, by decoder.
        counts: How often each codeword occurs, for each level.
        nats: The negative log-likelihood of the codes under the prior, for each level; none without a prior.
        spectra: The spectra of the images and of each kind of reconstructions, by name; none if not asked for.
        near: The distance of each image to the nearest training image; none if not asked for.
        features: The features of the wanted images and reconstructions, by name; none without features.
        reconstructions: The wanted reconstructions, by decoder.
        codes: The wanted codes.
    """

    quality: Mapping[str, Float[Tensor, "_ 6"]]
    counts: Sequence[Int64[Tensor, "_ _"]]
    nats: Sequence[float]
    spectra: Mapping[str, Float[Tensor, "_ _"]]
    near: Float[Tensor, " _"]
    features: Mapping[str, Float[Tensor, "_ _"]]
    reconstructions: Mapping[str, Float[Tensor, "_ _ *_"]]
    codes: Codes | Levels


_TABLES = ("quality", "spectra", "features", "reconstructions")


class _Item(NamedTuple):
    """A batch, as it is sent to a worker."""

    pixels: np.ndarray
    condition: Condition | None
    wanted: Wanted


def look_at(
    look: Look,
    dataset: PreparedDataset,
    *,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> Looked:
    """Encode every image, decode its codes, and measure both.

    Args:
        look: What is measured.
        dataset: The images.
        wanted: The images of which more is kept.
        progress: Receives the number of images done, and of all images.
        workers: Who encodes, decodes and measures.
    """
    batches = workers.map(partial(_look_at_batch, look), _items(look, dataset, wanted or Wanted()))
    return _together(batches, len(dataset), progress)


def _items(look: Look, dataset: PreparedDataset, wanted: Wanted) -> Iterator[_Item]:
    condition = None if look.prior is None else look.prior.conditions.look_up(dataset.manifest)
    for rows in batch_rows(dataset):
        own = Wanted(**{name: _within(numbers, rows) for name, numbers in vars(wanted).items()})
        yield _Item(np.array(dataset.images[rows]), None if condition is None else condition[rows], own)


def _within(numbers: Sequence[int], rows: slice) -> list[int]:
    """Return the sorted numbers that lie in a batch, counted from its first image."""
    first, last = np.searchsorted(numbers, [rows.start, rows.stop])
    return [int(number) - rows.start for number in numbers[first:last]]


def _look_at_batch(look: Look, item: _Item) -> Looked:
    codes, x_hat = reconstructed_batch(look.autoencoder, None, item.pixels)
    x, wanted = unit_images(item.pixels), item.wanted
    decoded = {FAITHFUL: x_hat} | {name: decode(codes).cpu() for name, decode in look.decoders.items()}
    sides = {IMAGES: x} | decoded
    kept = {IMAGES: x[wanted.images]} | {name: images[wanted.reconstructions] for name, images in decoded.items()}
    features = look.features
    return Looked(
        quality={name: quality(x, images) for name, images in decoded.items()},
        counts=counts_of(look.autoencoder.quantizers, codes),
        nats=[] if look.prior is None else nats_of(look.prior, codes, item.condition),
        spectra={name: radial_power(images) for name, images in sides.items()} if look.spectra else {},
        near=torch.empty(0) if look.known is None else look.known.nearest(x)[0],
        features={name: describe(own, features) for name, own in kept.items() if len(own)} if features else {},
        reconstructions={name: kept[name] for name in decoded},
        codes=take(codes, wanted.codes),
    )


def _together(batches: Iterator[Looked], images: int, progress: Progress | None) -> Looked:
    """Return what was kept of all batches. What is counted is summed on the way."""
    rows: dict[str, list[Any]] = {name: [] for name in (*_TABLES, "near", "codes")}
    counts: list[Tensor] = []
    nats: list[float] = []
    done = 0
    for batch in batches:
        for name, own in rows.items():
            own.append(getattr(batch, name))
        counts = [own + more for own, more in zip(counts, batch.counts, strict=True)] if done else [*batch.counts]
        nats = [own + more for own, more in zip(nats, batch.nats, strict=True)] if done else [*batch.nats]
        done += len(batch.quality[FAITHFUL])
        if progress is not None:
            progress(done, images)
    return Looked(
        **{name: _joined(rows[name]) for name in _TABLES},
        counts=counts,
        nats=nats,
        near=torch.cat(rows["near"]),
        codes=concatenate(rows["codes"]),
    )


def _joined(tables: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Join the rows of several tables of each name. A batch may have none of a name."""
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: torch.cat([table[name] for table in tables if name in table]) for name in names}
