"""Evaluate how well a prior predicts held-out codes."""

from collections.abc import Sequence
from functools import partial

import torch

from voxlex import metrics
from voxlex.codes import CodeLayout, for_each_level, levels_of, take
from voxlex.priors.base import Prior
from voxlex.priors.conditions import Condition
from voxlex.rows import batches
from voxlex.types import Codes, Levels
from voxlex.workers import HERE, Workers

BATCH_SIZE = 32


def evaluate_prior(
    prior: Prior,
    codes: Codes | Levels,
    condition: Condition | None,
    *,
    pixels_per_image: int,
    workers: Workers = HERE,
) -> dict[str, float]:
    """Score codes under a prior, and under two simpler distributions for comparison.

    Args:
        prior: The prior, in eval mode.
        codes: Codes of held-out images.
        condition: Condition of each image, or None.
        pixels_per_image: Number of pixels of one image.
        workers: Who scores the codes.

    Returns:
        Means over all codes:

        - `prior.bits_per_code`, or `prior.bits_per_code_at_most` if the prior only has a bound of its likelihood; -
        `prior.marginal_bits_per_code`, the entropy of the frequencies of these codes. This is a lower bound for priors
          that treat all codes as independent and identically distributed;
        - `prior.uniform_bits_per_code`, log₂K;

        and `prior.rate_bpp`, the bits per pixel if the prior compresses the codes. With several levels, each level also
        has its own means, such as `prior.0.bits_per_code` for the coarsest level.
    """
    levels, layouts = levels_of(codes), prior.layouts
    bits = [metrics.bits(nats) for nats in _nats(prior, codes, condition, workers)]
    marginal_bits = [
        level.numel() * metrics.entropy_bits(metrics.code_counts(level, layout.num_embeddings))
        for level, layout in zip(levels, layouts, strict=True)
    ]
    figures: dict[str, float] = {}
    if len(levels) > 1:
        for number, layout in enumerate(layouts):
            own = slice(number, number + 1)
            figures |= _means(f"prior.{number}", prior, [layout], len(levels[0]), bits[own], marginal_bits[own])
    figures |= _means("prior", prior, layouts, len(levels[0]), bits, marginal_bits)
    return figures | {"prior.rate_bpp": sum(bits) / (len(levels[0]) * pixels_per_image)}


def _nats(prior: Prior, codes: Codes | Levels, condition: Condition | None, workers: Workers) -> list[float]:
    """Return the negative log-likelihood of the codes of each level, summed over all images."""
    nats = [0.0] * len(prior.layouts)
    rows = batches(len(levels_of(codes)[0]), pixels_per_image=1, at_most=BATCH_SIZE)
    pairs = ((take(codes, own), None if condition is None else condition[own]) for own in rows)
    for sums in workers.map(partial(_nats_of_batch, prior), pairs):
        for number, own in enumerate(sums):
            nats[number] += own
    return nats


@torch.inference_mode()
def _nats_of_batch(prior: Prior, pair: tuple[Codes | Levels, Condition | None]) -> list[float]:
    codes, condition = pair
    some = for_each_level(lambda level: level.to(prior.device), codes)
    given = None if condition is None else condition.to(prior.device)
    return [-float(level.double().sum()) for level in levels_of(prior.code_log_probs(some, given))]


def _means(
    name: str,
    prior: Prior,
    layouts: Sequence[CodeLayout],
    images: int,
    bits: Sequence[float],
    marginal_bits: Sequence[float],
) -> dict[str, float]:
    """Return bits per code over some of the levels."""
    codes_per_image = sum(layout.codes_per_image for layout in layouts)
    return {
        f"{name}.bits_per_code{'' if prior.exact else '_at_most'}": sum(bits) / (images * codes_per_image),
        f"{name}.marginal_bits_per_code": sum(marginal_bits) / (images * codes_per_image),
        f"{name}.uniform_bits_per_code": sum(layout.raw_bits for layout in layouts) / codes_per_image,
    }
