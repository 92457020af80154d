"""Draw new images batch after batch, here or by workers."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, Unpack

from voxlex.config import Decoding
from voxlex.priors.conditions import values_for
from voxlex.priors.draw import SamplingOptions
from voxlex.progress import Progress, part_of
from voxlex.types import Image
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, NearProgress, Workers


class _Part(NamedTuple):
    """Some of the images: the number of the first, how many there are, and their conditions."""

    first: int
    size: int
    condition: Mapping[str, Any] | None
    progress: NearProgress


def draw_in_batches(
    vocabulary: Vocabulary,
    count: int,
    *,
    seed: int,
    condition: Mapping[str, Any] | None = None,
    decoding: Decoding | None = None,
    progress: Progress | None = None,
    workers: Workers = HERE,
    **options: Unpack[SamplingOptions],
) -> Iterator[Image]:
    """Return new images as `Vocabulary.sample` draws them, in batches, on the CPU.

    Args:
        vocabulary: A vocabulary with a prior.
        count: Number of images.
        seed: Seed of the images; each image has random numbers of its own.
        condition: See `Vocabulary.sample`.
        decoding: See `Vocabulary.sample`.
        progress: Called with the work done and the total work.
        workers: Who draws.
        **options: See `Vocabulary.sample`.

    Raises:
        RunError: If the vocabulary has no prior, or not the decoder that is asked for.
        ValueError: If an argument is out of range, or a condition or its value is unknown.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    values = {name: values_for(name, given, count) for name, given in (condition or {}).items()}
    if values and vocabulary.prior is not None:
        vocabulary.conditions.encode(values)  # all of them, before the first image is there
    parts = (
        _Part(
            start,
            size := min(vocabulary.drawn_at_once, count - start),
            {name: own[start : start + size] for name, own in values.items()} or None,
            NearProgress(part_of(progress, start, size, count)),
        )
        for start in range(0, count, vocabulary.drawn_at_once)
    )
    return _counted(workers.map(partial(_drawn, vocabulary, seed, decoding, options), parts), count, progress)


def _counted(batches: Iterator[Image], count: int, progress: Progress | None) -> Iterator[Image]:
    done = 0
    for images in batches:
        done += len(images)
        if progress is not None:
            progress(done, count)
        yield images


def _drawn(
    vocabulary: Vocabulary, seed: int, decoding: Decoding | None, options: SamplingOptions, part: _Part
) -> Image:
    return vocabulary.sample(
        part.size,
        first=part.first,
        condition=part.condition,
        seed=seed,
        decoding=decoding,
        progress=part.progress,
        **options,
    ).cpu()
