"""Maps of what does not belong: the methods, each on one contract, calibrated by healthy scans."""

from collections.abc import Hashable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float

from voxlex.anomaly.calibration import Calibration, Rarity, scan_scores
from voxlex.anomaly.evidence import SIGNED, Evidence, Examination
from voxlex.anomaly.fields import Maps, blurred, heads_in
from voxlex.models import Autoencoder
from voxlex.priors import Prior
from voxlex.progress import Progress
from voxlex.rows import batches
from voxlex.types import Image

Method = Literal["combined", "surprise", "restoration", "reconstruction"]
"""How maps are made; see `Detector`."""

_EVIDENCE: dict[Method, tuple[Evidence, ...]] = {
    "surprise": ("surprise",),
    "restoration": ("distance", "difference", "shift"),
    "reconstruction": ("reconstruction", "wide reconstruction"),
    "combined": ("reconstruction", "wide reconstruction", "distance", "difference", "shift"),
}
_POWER = 3
"""Power of the rarities that are added. At 1, weak evidence of all kinds would count as much as strong evidence of one;
in the limit, only the strongest kind counts."""

_SMOOTH = 1 / 128
"""Standard deviation by which the sum of the evidence is smoothed, as a share of the side."""

_BATCH_SIZE = 16


class Detector:
    """Maps how strange each pixel of a scan is for a vocabulary of healthy scans.

    The methods differ in the evidence that they look at (see `Examination`): "surprise"; "restoration", the distance
    and the difference from what the prior expects; "reconstruction"; and "combined", the last two together. Each kind
    of evidence is calibrated by healthy scans at its place and in its contrast (see `Calibration`). The cubes of the
    rarities are added, and the sum is smoothed. The maps of all methods mean the same: the rarity −log₁₀ of the share
    of healthy pixels whose sum is as high. 2 is one in a hundred, the quantile 0.99, and 3 one in a thousand.

    Args:
        autoencoder: The autoencoder, in eval mode.
        prior: The prior, in eval mode; None is enough for "reconstruction".
        method: The method.
        healthy: Healthy images in [0, 1] that neither was trained on.
        groups: For each of them, what it shares with other images, such as its subject.
        draws: Number of draws of expected codes, where some are needed.
        seed: Seed of the draws.
        progress: Receives the number of healthy images done, and of all.

    Attributes:
        highest: The score of each healthy scan as a whole, the highest rarity in its head, in rising order.

    Raises:
        ValueError: If the method is unknown, or needs a prior and there is none.
        DataError: If there are too few healthy images.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        prior: Prior | None,
        *,
        healthy: Image,
        groups: Sequence[Hashable],
        method: Method = "combined",
        draws: int = 2,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        if method not in get_args(Method):
            raise ValueError(f"method: expected one of {', '.join(get_args(Method))}, got {method!r}")
        if prior is None and method != "reconstruction":
            raise ValueError(f"method: expected 'reconstruction' for a run without a prior, got {method!r}")
        self._wanted = _EVIDENCE[method]
        self._seed = seed
        self._examine = Examination(autoencoder=autoencoder, prior=prior, draws=draws)
        raw = self._raw(healthy, progress)
        self._parts = {kind: Calibration(raw[kind], healthy, groups, signed=kind in SIGNED) for kind in self._wanted}
        heads = torch.from_numpy(heads_in(healthy))
        total = _together([part.healthy for part in self._parts.values()])
        self._rarity = Rarity(total, heads)
        self.highest = np.sort(scan_scores(self._rarity(total), heads))

    def __call__(
        self, images: Image, groups: Sequence[Hashable] | None = None, *, progress: Progress | None = None
    ) -> Maps:
        """Return the rarity of each pixel, on the CPU.

        Args:
            images: Images of the vocabulary's size, in [0, 1].
            groups: The group of each; healthy images of the same group do not count in its calibration.
            progress: Receives the number of images done, and of all.
        """
        raw = self._raw(images, progress)
        rarities = [self._parts[kind](raw[kind], images, groups) for kind in self._wanted]
        return self._rarity(_together(rarities))

    def quantiles(self, scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the share of healthy scans that score lower as a whole than each scan."""
        return np.searchsorted(self.highest, scores) / (len(self.highest) + 1)

    def _raw(self, images: Image, progress: Progress | None) -> dict[Evidence, Maps]:
        found: dict[Evidence, list[Maps]] = {kind: [] for kind in self._wanted}
        for rows in batches(len(images), pixels_per_image=images[0].numel(), at_most=_BATCH_SIZE):
            for kind, maps in self._examine(images[rows], self._wanted, seed=self._seed).items():
                found[kind].append(maps)
            if progress is not None:
                progress(rows.stop, len(images))
        return {kind: torch.cat(maps) for kind, maps in found.items()}


def _together(rarities: Sequence[Maps]) -> Maps:
    """Return one score of all kinds of evidence."""
    total = torch.stack([own.pow(_POWER) for own in rarities]).sum(dim=0)
    return blurred(total, _SMOOTH * total.shape[-1])
