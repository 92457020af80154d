"""How well a prior predicts codes it has not seen."""

from math import log2, prod

import torch

from voxlex import metrics
from voxlex.priors.base import Prior
from voxlex.priors.conditions import Condition
from voxlex.types import Codes

BATCH_SIZE = 32


@torch.inference_mode()
def evaluate_prior(
    prior: Prior, codes: Codes, condition: Condition | None, *, pixels_per_image: int
) -> dict[str, float]:
    """Score codes under a prior and beside two that know less.

    Args:
        prior: In eval mode.
        codes: Of images that the prior was not trained on.
        condition: What is known of each, or None.
        pixels_per_image: Pixels that the codes of one image stand for.

    Returns:
        `prior.bits_per_code`, or `prior.bits_per_code_at_most` if the prior has but a bound of its likelihood;
        `prior.uniform_bits_per_code`, log₂K; `prior.marginal_bits_per_code`, the entropy of these very codes'
        frequencies, which no prior that codes cells independently and alike can undercut; `prior.rate_bpp`, bits per
        pixel when the prior does the coding.
    """
    device, layout = prior.device, prior.layouts[0]
    nats = 0.0
    for start in range(0, len(codes), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        given = None if condition is None else condition[rows].to(device)
        nats -= float(prior.log_prob(codes[rows].to(device), given).double().sum())
    bits_per_code = metrics.bits(nats / codes.numel())
    return {
        "prior.bits_per_code" if prior.exact else "prior.bits_per_code_at_most": bits_per_code,
        "prior.marginal_bits_per_code": metrics.entropy_bits(metrics.code_counts(codes, layout.num_embeddings)),
        "prior.uniform_bits_per_code": log2(layout.num_embeddings),
        "prior.rate_bpp": metrics.rate_bpp(prod(codes.shape[1:]), bits_per_code, pixels_per_image),
    }
