"""How well a prior predicts codes it has not seen."""

import torch

from voxlex import metrics
from voxlex.codes import for_each_level, levels_of, take
from voxlex.priors.base import Prior
from voxlex.priors.conditions import Condition
from voxlex.rows import batches
from voxlex.types import Codes, Levels

BATCH_SIZE = 32


@torch.inference_mode()
def evaluate_prior(
    prior: Prior, codes: Codes | Levels, condition: Condition | None, *, pixels_per_image: int
) -> dict[str, float]:
    """Score codes under a prior, and under two that know less to compare it with.

    Args:
        prior: In eval mode.
        codes: Codes of images that the prior was not trained on.
        condition: What is known of each image, or None.
        pixels_per_image: Pixels that the codes of one image stand for.

    Returns:
        Means over the codes of all levels:

        - `prior.bits_per_code`, or `prior.bits_per_code_at_most` if the prior can only give a bound of its likelihood;
        - `prior.uniform_bits_per_code`, log₂K;
        - `prior.marginal_bits_per_code`, the entropy of the frequencies of these very codes. No prior that codes each
          cell by itself, and all alike, can need less;
        - `prior.rate_bpp`, bits per pixel when the prior does the coding.
    """
    images, nats = len(levels_of(codes)[0]), 0.0
    for rows in batches(images, pixels_per_image=1, at_most=BATCH_SIZE):
        some = for_each_level(lambda level: level.to(prior.device), take(codes, rows))
        given = None if condition is None else condition[rows].to(prior.device)
        nats -= float(prior.log_prob(some, given).double().sum())  # type: ignore[arg-type]
    total_bits, layouts = metrics.bits(nats), prior.layouts
    codes_per_image = sum(layout.codes_per_image for layout in layouts)
    marginal_bits = sum(
        layout.codes_per_image * metrics.entropy_bits(metrics.code_counts(level, layout.num_embeddings))
        for layout, level in zip(layouts, levels_of(codes), strict=True)
    )
    name = "prior.bits_per_code" if prior.exact else "prior.bits_per_code_at_most"
    return {
        name: total_bits / (images * codes_per_image),
        "prior.marginal_bits_per_code": marginal_bits / codes_per_image,
        "prior.uniform_bits_per_code": sum(layout.raw_bits for layout in layouts) / codes_per_image,
        "prior.rate_bpp": total_bits / (images * pixels_per_image),
    }
