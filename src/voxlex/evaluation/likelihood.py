"""Evaluate how well a prior predicts held-out codes."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from voxlex import metrics
from voxlex.codes import CodeLayout, for_each_level, levels_of
from voxlex.priors.base import Prior
from voxlex.priors.conditions import Condition
from voxlex.types import Codes, Levels


@torch.inference_mode()
def nats_of(prior: Prior, codes: Codes | Levels, condition: Condition | None) -> list[float]:
    """Return the negative log-likelihood of the codes of each level, summed over the images of a batch.

    Args:
        prior: The prior, in eval mode.
        codes: Codes of some images.
        condition: Condition of each image, or None.
    """
    some = for_each_level(lambda level: level.to(prior.device), codes)
    given = None if condition is None else condition.to(prior.device)
    return [-float(level.double().sum()) for level in levels_of(prior.code_log_probs(some, given))]


def prior_figures(
    prior: Prior,
    nats: Sequence[float],
    counts: Sequence[Int64[Tensor, "q k"]],
    *,
    images: int,
    pixels_per_image: int,
) -> dict[str, float]:
    """Compare the likelihood of codes under a prior with that under two simpler distributions.

    Args:
        prior: The prior.
        nats: The negative log-likelihood of the codes of each level, summed over all images; see `nats_of`.
        counts: How often each codeword occurs, for each level; see `health.counts_of`.
        images: Number of images.
        pixels_per_image: Number of pixels of one image.

    Returns:
        Means over all codes:

        - `prior.bits_per_code`, or `prior.bits_per_code_at_most` if the prior only has a bound of its likelihood;
        - `prior.marginal_bits_per_code`, the entropy of the frequencies of these codes. This is a lower bound for
          priors that treat all codes as independent and identically distributed;
        - `prior.uniform_bits_per_code`, log₂K;

        and `prior.rate_bpp`, the bits per pixel if the prior compresses the codes. With several levels, each level also
        has its own means, such as `prior.0.bits_per_code` for the coarsest level.
    """
    layouts = prior.layouts
    bits = [metrics.bits(level) for level in nats]
    marginal_bits = [int(level.sum()) * metrics.entropy_bits(level) for level in counts]
    figures: dict[str, float] = {}
    if len(layouts) > 1:
        for number, layout in enumerate(layouts):
            own = slice(number, number + 1)
            figures |= _means(f"prior.{number}", prior, [layout], images, bits[own], marginal_bits[own])
    figures |= _means("prior", prior, layouts, images, bits, marginal_bits)
    return figures | {"prior.rate_bpp": sum(bits) / (images * pixels_per_image)}


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
