"""Random numbers for images that are drawn together: each image has a stream of its own."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_BLOCK = 1024
"""Numbers of each stream that are made at a time: 8 KiB."""

Key = tuple[int, ...]


class Streams:
    """Uniform random numbers for the images of a batch, from an independent stream for each image.

    A stream depends on the seed and on the key of its image alone. So the numbers of an image are the same whichever
    images are drawn beside it, in whatever batches, and on every device.

    Args:
        seed: Any whole number; only its last 64 bits count.
        keys: For each image, what tells its stream from the others, such as its number.
        device: Where the numbers are needed.
    """

    def __init__(self, seed: int, keys: Iterable[int | Key], *, device: torch.device | str = "cpu") -> None:
        self.seed = seed % 2**64
        self.keys: list[Key] = [(key,) if isinstance(key, int) else key for key in keys]
        self.device = torch.device(device)
        self._generators = [
            np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key))) for key in self.keys
        ]
        self._made = torch.empty(len(self.keys), 0, dtype=_precision(self.device), device=self.device)
        self._taken = 0

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, count: int) -> Float[Tensor, "n count"]:
        """Return the next numbers in [0, 1) of each stream, in float64 where the device has it."""
        left = self._made.shape[1] - self._taken
        if left < count:
            block = np.stack([generator.random(max(_BLOCK, count - left)) for generator in self._generators])
            made = torch.from_numpy(block).to(self._made.dtype).to(self.device)
            self._made, self._taken = torch.cat([self._made[:, self._taken :], made], dim=1), 0
        self._taken += count
        return self._made[:, self._taken - count : self._taken]

    def divided(self, parts: int) -> "Streams":
        """Return `parts` streams for each image, one after the other. One part is the stream itself."""
        if parts == 1:
            return self
        return Streams(self.seed, [(*key, part) for key in self.keys for part in range(parts)], device=self.device)


Randomness = torch.Generator | Streams | None
"""Where random numbers come from; None stands for torch's own generator."""


def streams_for(n: int, randomness: Randomness, *, device: torch.device) -> Streams:
    """Return a stream for each of `n` images. A generator gives the seed, and moves on by one number.

    Raises:
        ValueError: If streams are given, but not one for each image.
    """
    if isinstance(randomness, Streams):
        if len(randomness) != n:
            raise ValueError(f"generator: expected a stream for each of {n} images, got {len(randomness)}")
        return randomness
    place = "cpu" if randomness is None else randomness.device
    seed = int(torch.randint(2**63 - 1, (), generator=randomness, device=place))
    return Streams(seed, range(n), device=device)


def uniform(n: int, count: int, randomness: Randomness, *, device: torch.device) -> Float[Tensor, "n count"]:
    """Return `count` numbers in [0, 1) for each of `n` images."""
    if isinstance(randomness, Streams):
        return randomness.take(count)
    return torch.rand(n, count, dtype=_precision(device), device=device, generator=randomness)


def _precision(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
