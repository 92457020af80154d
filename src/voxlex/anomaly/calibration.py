"""What scores mean: how rarely a healthy scan is as strange at that place and in that contrast."""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
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

    Attributes:
        healthy: The rarities of the healthy scans.

    Raises:
        DataError: If there are too few healthy scans, or all belong to one group.
    """

    def __init__(self, scores: Maps, images: Image, groups: Sequence[Hashable]) -> None:
        if len(scores) < FEWEST or len(set(groups)) < 2:
            raise DataError(
                f"calibration: expected at least {FEWEST} healthy scans of two subjects or more, got {len(scores)} of "
                f"{len(set(groups))}; give more with --healthy"
            )
        self._scores, self._groups = scores.half(), list(groups)
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
        signatures = (_signatures(images) - self._centre) / self._scale
        deviation = _PLACE * images.shape[-1]
        standard = []
        for row, signature in enumerate(signatures):
            own = self._scores[self._nearest(signature, None if groups is None else groups[row])].float()
            correction = min(1, len(own) - 1)  # one scan alone has no deviation
            mean, variance = own.mean(dim=0), own.var(dim=0, correction=correction)
            smooth_mean, smooth_square = blurred(torch.stack([mean, variance + mean**2]), deviation)
            scale = (smooth_square - smooth_mean**2).clamp(min=0).sqrt() + self._floor
            standard.append((scores[row] - smooth_mean) / scale)
        return torch.stack(standard)

    def _nearest(self, signature: Float[Tensor, " f"], group: Hashable | None) -> Int64[Tensor, " k"]:
        distances = (self._signatures - signature).square().sum(dim=1)
        others = torch.tensor([group is None or own != group for own in self._groups])
        count = min(_NEIGHBOURS, int(others.sum()))
        return distances.masked_fill(~others, torch.inf).topk(count, largest=False).indices


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
