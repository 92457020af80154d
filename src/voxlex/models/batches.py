"""A data set through a model, a batch at a time: images to codes, and codes to reconstructions."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from voxlex.data.dataset import PreparedDataset
from voxlex.rows import images_at_once
from voxlex.types import Codes, Image

BATCH_SIZE = 32


@runtime_checkable
class Codec(Protocol):
    """What turns images into codes and back: an autoencoder, or a vocabulary, which takes large volumes in tiles."""

    def encode(self, images: Tensor) -> Codes:
        """Return the codes of images."""

    def decode(self, codes: Tensor) -> Image:
        """Return the images that codes stand for."""


def reconstruct_in_batches(codec: Codec, dataset: PreparedDataset) -> Iterator[tuple[Image, Codes, Image]]:
    """Yield images, their codes and their reconstructions in [0, 1], on the CPU, a batch at a time."""
    at_once = images_at_once(dataset.images[0].size, BATCH_SIZE)
    for start in range(0, len(dataset), at_once):
        x = dataset.tensor(slice(start, start + at_once))
        codes = codec.encode(x)
        yield x, codes.cpu(), codec.decode(codes).cpu()


def encode_dataset(codec: Codec, dataset: PreparedDataset) -> Codes:
    """Return the codes of every image, on the CPU."""
    at_once = images_at_once(dataset.images[0].size, BATCH_SIZE)
    starts = range(0, len(dataset), at_once)
    return torch.cat([codec.encode(dataset.tensor(slice(i, i + at_once))).cpu() for i in starts])
