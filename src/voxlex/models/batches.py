"""Encode and reconstruct the images of a data set in batches, here or by workers."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from voxlex.codes import concatenate, for_each_level, levels_of, take
from voxlex.data.dataset import PreparedDataset, unit_images
from voxlex.progress import Progress
from voxlex.rows import batches
from voxlex.types import Codes, Image, Levels
from voxlex.workers import HERE, Workers

BATCH_SIZE = 32


@runtime_checkable
class Codec(Protocol):
    """An object that encodes and decodes: an autoencoder, or a vocabulary, which processes large volumes in tiles."""

    def encode(self, images: Tensor) -> Codes | Levels:
        """Return the codes of images."""

    def decode(self, codes: Codes | Levels) -> Image:
        """Decode codes to images."""


Decode = Callable[[Codes | Levels], Image]


def batch_rows(dataset: PreparedDataset, *, at_most: int = BATCH_SIZE) -> Iterator[slice]:
    """Yield the rows of each batch."""
    return batches(len(dataset), pixels_per_image=dataset.images[0].size, at_most=at_most)


def image_batches(dataset: PreparedDataset, *, at_most: int = BATCH_SIZE) -> Iterator[Image]:
    """Yield the images of a data set in batches, in [0, 1], on the CPU."""
    return map(unit_images, pixel_batches(dataset, at_most=at_most))


def pixel_batches(dataset: PreparedDataset, *, at_most: int = BATCH_SIZE) -> Iterator[np.ndarray]:
    """Yield the stored images of the same batches, `(b, 1, *space)`, read from the disk, so that they can be sent."""
    for rows in batch_rows(dataset, at_most=at_most):
        yield np.array(dataset.images[rows])


def reconstruct_in_batches(
    codec: Codec, dataset: PreparedDataset, *, decode: Decode | None = None, workers: Workers = HERE
) -> Iterator[tuple[Image, Codes | Levels, Image]]:
    """Yield images, their codes and their reconstructions in batches, in [0, 1], on the CPU.

    Args:
        codec: The encoder and the decoder.
        dataset: The images.
        decode: Another decoder of the same codes.
        workers: Who does the work.
    """
    reconstructed = workers.map(partial(reconstructed_batch, codec, decode), pixel_batches(dataset))
    for x, (codes, x_hat) in zip(image_batches(dataset), reconstructed, strict=True):
        yield x, codes, x_hat


def encode_in_batches(
    codec: Codec, dataset: PreparedDataset, *, progress: Progress | None = None, workers: Workers = HERE
) -> Iterator[Codes | Levels]:
    """Yield the codes of each batch of images, on the CPU."""
    done = 0
    for rows, codes in zip(
        batch_rows(dataset), workers.map(partial(encoded_batch, codec), pixel_batches(dataset)), strict=True
    ):
        yield codes
        done += rows.stop - rows.start
        if progress is not None:
            progress(done, len(dataset))


def encode_dataset(
    codec: Codec, dataset: PreparedDataset, *, progress: Progress | None = None, workers: Workers = HERE
) -> Codes | Levels:
    """Encode every image, and return the codes on the CPU."""
    return concatenate(encode_in_batches(codec, dataset, progress=progress, workers=workers))


def encode_images(encode: Callable[[np.ndarray], Codes | Levels], images: np.ndarray) -> Codes | Levels:
    """Encode images `(n, *space)` in batches."""
    rows = batches(len(images), pixels_per_image=images[0].size, at_most=BATCH_SIZE)
    return concatenate(encode(images[some]) for some in rows)


def decode_codes(decode: Decode, codes: Codes | Levels, *, pixels_per_image: int, at_most: int = BATCH_SIZE) -> Image:
    """Decode codes in batches."""
    rows = batches(len(levels_of(codes)[0]), pixels_per_image=pixels_per_image, at_most=at_most)
    return torch.cat([decode(take(codes, some)) for some in rows])


def encoded_batch(codec: Codec, pixels: np.ndarray) -> Codes | Levels:
    """Return the codes of a batch, on the CPU."""
    return for_each_level(Tensor.cpu, codec.encode(unit_images(pixels)))


def reconstructed_batch(codec: Codec, decode: Decode | None, pixels: np.ndarray) -> tuple[Codes | Levels, Image]:
    """Return the codes of a batch and what they decode to, on the CPU."""
    codes = codec.encode(unit_images(pixels))
    return for_each_level(Tensor.cpu, codes), (decode or codec.decode)(codes).cpu()
