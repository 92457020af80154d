"""What scores mean: how rarely a healthy scan is as strange at that place and in that contrast."""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from voxlex.anomaly.fields import Maps, blurred, heads_in
from voxlex.errors import DataError
from voxlex.types import Image

FEWEST = 8
"""Healthy scans that a calibration needs at least."""

_NEIGHBOURS = 24
_PLACE = 1 / 40  # standard deviation of the places that are taken together, as a share of the side
_FLOOR = 0.3  # of the mean deviation; a place where healthy scans hardly differ may not make anything strange
_THUMBNAIL = 8
_SHARES = 16
_TAIL = 1e-3  # share of healthy pixels from which the rarity of higher scores is extrapolated
_QUANTILES = 2**12


class Calibration:
    """Turns raw scores into rarities, with the scores of held-out healthy scans.

    A raw score depends on the place, as cortex is harder to predict than white matter, and on the contrast. So each
    scan is compared with the healthy scans that look most like it. Their mean and standard deviation at each place,
    smoothed over neighbouring places, standardise its scores. The rarity of a standardised score is −log₁₀ of the share
    of healthy pixels that score as high: 2 means one in a hundred, the quantile 0.99, and 3 one in a thousand. Healthy
    scans are standardised by other healthy scans, never of the same subject, before they are counted. Beyond the
    highest thousandth of healthy pixels, shares are extrapolated by an exponential tail, so that the strangest pixels
    keep their order.

    Args:
        scores: Raw scores of healthy scans.
        images: The scans, in [0, 1].
        groups: For each scan, what it shares with other scans, such as its subject.
        signed: Whether low scores are as strange as high ones.

    Attributes:
        healthy: The rarities of the healthy scans.

    Raises:
        DataError: If there are too few healthy scans, or all belong to one group.
    """

    def __init__(self, scores: Maps, images: Image, groups: Sequence[Hashable], *, signed: bool = False) -> None:
        if len(scores) < FEWEST or len(set(groups)) < 2:
            raise DataError(
                f"calibration: expected at least {FEWEST} healthy scans of two subjects or more, got {len(scores)} of "
                f"{len(set(groups))}; give more with --healthy"
            )
        self._signed = signed
        self._scores, self._groups = scores.float(), list(groups)
        signatures = _signatures(images)
        self._centre, self._scale = signatures.mean(dim=0), signatures.std(dim=0).clamp(min=1e-6)
        self._signatures = (signatures - self._centre) / self._scale
        self._floor = max(_FLOOR * float(scores.std(dim=0).mean()), 1e-9)  # also where all scores are equal
        standard = self._standardised(scores, images, groups)
        self._rarity = Rarity(standard, torch.from_numpy(heads_in(images)))
        self.healthy = self._rarity(standard)

    def __call__(self, scores: Maps, images: Image, groups: Sequence[Hashable] | None = None) -> Maps:
        """Return the rarity of the scores of images, 0 where a healthy scan usually scores more.

        Args:
            scores: Raw scores.
            images: The images, in [0, 1].
            groups: The group of each image; healthy scans of the same group do not count.
        """
        return self._rarity(self._standardised(scores, images, groups))

    def _standardised(self, scores: Maps, images: Image, groups: Sequence[Hashable] | None) -> Maps:
        compared = self._compared((_signatures(images) - self._centre) / self._scale, groups)
        count = compared.sum(dim=1, keepdim=True)
        shares, known = compared / count, self._scores.flatten(1)
        mean, square = shares @ known, shares @ known.square()
        # The deviation of a sample; one scan alone has none.
        variance = (square - mean.square()).clamp(min=0) * (count / (count - 1).clamp(min=1))
        deviation = _PLACE * images.shape[-1]
        smooth_mean = blurred(mean.view_as(scores), deviation)
        smooth_square = blurred((variance + mean.square()).view_as(scores), deviation)
        standard = (scores - smooth_mean) / ((smooth_square - smooth_mean.square()).clamp(min=0).sqrt() + self._floor)
        return standard.abs() if self._signed else standard

    def _compared(self, signatures: Float[Tensor, "b f"], groups: Sequence[Hashable] | None) -> Float[Tensor, "b n"]:
        """Return 1 for the healthy scans that each scan is compared with, and 0 for the others."""
        distances = torch.cdist(signatures, self._signatures)
        if groups is not None:
            same = [[own == known for known in self._groups] for own in groups]
            distances = distances.masked_fill(torch.tensor(same), torch.inf)
        nearest = distances.topk(min(_NEIGHBOURS, distances.shape[1]), dim=1, largest=False)
        return torch.zeros_like(distances).scatter_(1, nearest.indices, nearest.values.isfinite().float())


class Rarity:
    """Turns scores into rarities by the scores of healthy scans, wherever they are in the head.

    Args:
        scores: Scores of healthy scans.
        heads: Where their heads are.
    """

    def __init__(self, scores: Maps, heads: Bool[Tensor, "b *space"]) -> None:
        judged = scores[heads] if bool(heads.any()) else scores.flatten()
        levels = np.linspace(0, 1, _QUANTILES + 1)
        # Of equal scores, all count as at least as high as each other.
        self._values, first = np.unique(np.quantile(judged.numpy(), levels), return_index=True)
        self._rarities = -np.log10(np.clip(1 - levels[first], 1 / _QUANTILES, 1))
        self._start = float(np.quantile(judged.numpy(), 1 - _TAIL))
        beyond = judged[judged > self._start]
        self._fall = max(float((beyond - self._start).mean()) if len(beyond) else 0.0, 1e-6)

    def __call__(self, scores: Maps) -> Maps:
        """Return −log₁₀ of the share of healthy pixels that score as high."""
        values = scores.numpy()
        rarity = np.minimum(np.interp(values, self._values, self._rarities), -np.log10(_TAIL))
        tail = -np.log10(_TAIL) + np.log10(np.e) * (values - self._start) / self._fall
        return torch.from_numpy(np.where(values > self._start, tail, rarity)).float()


def scan_scores(rarities: Maps, heads: Bool[Tensor, "b *space"]) -> Float[np.ndarray, " b"]:
    """Return the score of each scan as a whole: the highest rarity in its head."""
    inside = [own[head] if bool(head.any()) else own.flatten() for own, head in zip(rarities, heads, strict=True)]
    return np.array([float(values.max()) for values in inside])


def _signatures(images: Image) -> Float[Tensor, "b f"]:
    """Describe what a scan looks like, place and contrast: a tiny picture of it, and the distribution of its greys."""
    pool = functional.adaptive_avg_pool2d if images.ndim == 4 else functional.adaptive_avg_pool3d
    grey = images.mean(dim=1, keepdim=True)
    brightest = grey.flatten(1).quantile(0.99, dim=1) if grey[0].numel() < 2**22 else grey.flatten(1).amax(dim=1)
    grey = grey / brightest.clamp(min=1e-3).view(-1, *[1] * (grey.ndim - 1))
    tiny = pool(grey, _THUMBNAIL).flatten(1)
    ordered = grey.flatten(1).sort(dim=1).values
    places = torch.linspace(0, ordered.shape[1] - 1, _SHARES).long()
    # As many numbers of greys as of places would hardly count beside them.
    return torch.cat([tiny, ordered[:, places] * (tiny.shape[1] / _SHARES) ** 0.5], dim=1)
