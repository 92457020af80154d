"""Encode and reconstruct the images of a data set in batches."""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from torch import Tensor

from voxlex.codes import concatenate, for_each_level, take
from voxlex.data.dataset import PreparedDataset
from voxlex.progress import Progress
from voxlex.rows import batches
from voxlex.types import Codes, Image, Levels

BATCH_SIZE = 32


@runtime_checkable
class Codec(Protocol):
    """An object that encodes and decodes: an autoencoder, or a vocabulary, which processes large volumes in tiles."""

    def encode(self, images: Tensor) -> Codes | Levels:
        """Return the codes of images."""

    def decode(self, codes: Codes | Levels) -> Image:
        """Decode codes to images."""


def image_batches(dataset: PreparedDataset, *, at_most: int = BATCH_SIZE) -> Iterator[Image]:
    """Yield the images of a data set in batches, in [0, 1], on the CPU."""
    for rows in batches(len(dataset), pixels_per_image=dataset.images[0].size, at_most=at_most):
        yield dataset.tensor(rows)


def reconstruct_in_batches(
    codec: Codec, dataset: PreparedDataset, *, decode: Callable[[Codes | Levels], Image] | None = None
) -> Iterator[tuple[Image, Codes | Levels, Image]]:
    """Yield images, their codes and their reconstructions in batches, in [0, 1], on the CPU.

    Args:
        codec: The encoder and the decoder.
        dataset: The images.
        decode: Another decoder of the same codes.
    """
    decode = decode or codec.decode
    for x in image_batches(dataset):
        codes = codec.encode(x)
        yield x, for_each_level(Tensor.cpu, codes), decode(codes).cpu()


def decode_in_batches(
    decode: Callable[[Codes | Levels], Image], codes: Codes | Levels, dataset: PreparedDataset
) -> Iterator[tuple[Image, Codes | Levels, Image]]:
    """Yield images, their codes, which are given, and what these decode to in batches, in [0, 1], on the CPU."""
    for rows in batches(len(dataset), pixels_per_image=dataset.images[0].size, at_most=BATCH_SIZE):
        some = take(codes, rows)
        yield dataset.tensor(rows), some, decode(some).cpu()


def encode_dataset(codec: Codec, dataset: PreparedDataset, *, progress: Progress | None = None) -> Codes | Levels:
    """Encode every image, and return the codes on the CPU."""
    found, done = [], 0
    for x in image_batches(dataset):
        found.append(for_each_level(Tensor.cpu, codec.encode(x)))
        done += len(x)
        if progress is not None:
            progress(done, len(dataset))
    return concatenate(found)
