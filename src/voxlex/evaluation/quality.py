"""How close reconstructions are to their images: values of each image, and figures of all of them."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from voxlex import metrics
from voxlex.evaluation.intervals import bootstrap_interval
from voxlex.types import Image


def quality(x: Image, x_hat: Image) -> Float[Tensor, "b 6"]:
    """Return SSIM, PSNR and L1 of each image, and sums of the products of the fine detail of both."""
    detail, detail_hat = metrics.high_pass(x).flatten(1), metrics.high_pass(x_hat).flatten(1)
    products = [(detail_hat * detail_hat), (detail * detail), (detail_hat * detail)]
    measures = [metrics.ssim(x_hat, x), metrics.psnr_db(x_hat, x), metrics.l1(x_hat, x)]
    return torch.stack([*measures, *(product.sum(dim=1) for product in products)], dim=1)


def quality_figures(per_image: Float[Tensor, "n 6"], *, groups: list[str]) -> dict[str, float]:
    """Return the figures of all images by name.

    Args:
        per_image: What `quality` returns of each image.
        groups: The group of each image, such as its subject.

    Returns:
        `l1`, `psnr_db` and `ssim`, which are means over images, with the ends of a confidence interval as in
        `ssim_low` and `ssim_high`; `high_pass_energy` of the reconstructions, in shares of that of the images, and
        `high_pass_correlation`.
    """
    values = per_image.double().numpy()
    figures = {}
    for name, column in zip(("ssim", "psnr_db", "l1"), values.T, strict=False):
        low, high = bootstrap_interval(column, groups)
        figures[name] = float(column.mean())
        if np.isfinite([low, high]).all():
            figures |= {f"{name}_low": low, f"{name}_high": high}
    energy, correlation = metrics.detail_from_products(*values[:, 3:].sum(axis=0).tolist())
    return figures | {"high_pass_energy": energy, "high_pass_correlation": correlation}
