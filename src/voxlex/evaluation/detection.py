"""Figures of maps that should be high inside lesions: where the lesions are, and not only whether there are any."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Bool, Float

from voxlex.evaluation.intervals import bootstrap_interval

_MOST_PIXELS = 2**24
"""Pixels that are ranked together; of more, evenly spaced ones are taken."""


@dataclass(frozen=True, eq=False)
class JudgedMap:
    """The pixels of one map that are judged: those of the head, and those of the lesion wherever they are.

    Attributes:
        scores: The map there; higher is stranger.
        inside: Whether each pixel lies inside a lesion.
        group: What the scan shares with other scans, such as its subject.
    """

    scores: Float[np.ndarray, " n"]
    inside: Bool[np.ndarray, " n"]
    group: Hashable

    @classmethod
    def within(
        cls,
        scores: Float[np.ndarray, "*space"],
        lesion: Bool[np.ndarray, "*space"],
        head: Bool[np.ndarray, "*space"],
        *,
        group: Hashable,
    ) -> "JudgedMap":
        """Take the pixels of the head and of the lesion."""
        judged = head | lesion
        return cls(scores[judged].astype(np.float32), lesion[judged], group)


def judge_maps(maps: Sequence[JudgedMap], *, threshold: float | None = None) -> dict[str, float]:
    """Return how well maps tell where lesions are.

    Args:
        maps: The maps of scans, at least one of which has a lesion.
        threshold: A threshold that was fixed on healthy scans.

    Returns:
        Over scans with a lesion, except where it says otherwise:

        - `pixel_ap`: average precision of the pixels of a scan, the mean over scans; `pixel_ap_chance` is what a map
          without any information reaches, the share of the area;
        - `pixel_auroc`: the same for the area under the ROC curve; chance is 0.5;
        - `pixel_ap_pooled`: average precision of all pixels of all scans together, those without a lesion included;
        - `dice_best`: the best Dice coefficient of one threshold for all pixels of all scans together, which is chosen
          with the lesions known; and `dice_at_threshold`, with the given threshold;
        - `pointing`: the share of scans whose highest point lies inside a lesion, and `pointing_chance`;
        - `scan_auroc`: how well the highest score of a scan tells scans with lesions from those without, if there are
          some of both.

        `pixel_ap`, `pixel_auroc` and `pointing` have the ends of a confidence interval, as in `pixel_ap_low`.

    Raises:
        ValueError: If no scan has a lesion.
    """
    lesioned = [one for one in maps if one.inside.any()]
    if not lesioned:
        raise ValueError("maps: expected at least one with a lesion, got none")
    groups = [one.group for one in lesioned]
    areas = np.array([one.inside.mean() for one in lesioned])
    measured = {
        "pixel_ap": np.array([average_precision(one.scores, one.inside) for one in lesioned]),
        "pixel_auroc": np.array([area_under_roc(one.scores, one.inside) for one in lesioned]),
        "pointing": np.array([points_inside(one) for one in lesioned]),
    }
    figures: dict[str, float] = {}
    for name, values in measured.items():
        known = ~np.isnan(values)
        figures |= _mean(name, values[known], [group for group, kept in zip(groups, known, strict=True) if kept])
    figures |= {"pixel_ap_chance": float(areas.mean()), "pointing_chance": float(areas.mean())}
    scores, inside = _together(maps)
    figures["pixel_ap_pooled"] = average_precision(scores, inside)
    figures["dice_best"] = best_dice(scores, inside)
    if threshold is not None:
        figures["dice_at_threshold"] = dice(scores > threshold, inside)
    if len(lesioned) < len(maps):
        highest = np.array([one.scores.max(initial=-np.inf) for one in maps])
        figures["scan_auroc"] = area_under_roc(highest, np.array([one.inside.any() for one in maps]))
    return figures | {"scans": float(len(maps)), "scans_with_lesions": float(len(lesioned))}


def average_precision(scores: Float[np.ndarray, " n"], inside: Bool[np.ndarray, " n"]) -> float:
    """Return the average precision, Σ (R_i − R_{i−1}) P_i over distinct scores; not a number if nothing is inside."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(inside, scores)) if inside.any() else nan


def area_under_roc(scores: Float[np.ndarray, " n"], inside: Bool[np.ndarray, " n"]) -> float:
    """Return the area under the ROC curve; not a number if everything or nothing is inside."""
    from sklearn.metrics import roc_auc_score

    return nan if inside.all() or not inside.any() else float(roc_auc_score(inside, scores))


def points_inside(one: JudgedMap) -> float:
    """Return whether the highest point lies inside a lesion; several equal ones count by their share."""
    highest = one.scores == one.scores.max()
    return float(one.inside[highest].mean())


def dice(found: Bool[np.ndarray, " n"], inside: Bool[np.ndarray, " n"]) -> float:
    """Return 2 |A ∩ B| / (|A| + |B|); 0 if both are empty."""
    return float(2 * (found & inside).sum() / max(found.sum() + inside.sum(), 1))


def best_dice(scores: Float[np.ndarray, " n"], inside: Bool[np.ndarray, " n"]) -> float:
    """Return the Dice coefficient of the best threshold."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(inside[order])
    last = np.append(np.diff(scores[order]) != 0, True)  # equal scores lie on one side of any threshold
    coefficients = 2 * hits / (np.arange(1, len(scores) + 1) + inside.sum())
    return float(coefficients[last].max())


def means_over(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure that all of them have, such as over kinds of lesions."""
    shared = [name for name in figures[0] if all(name in one for one in figures)]
    return {name: float(np.mean([one[name] for one in figures])) for name in shared}


def _together(maps: Sequence[JudgedMap]) -> tuple[np.ndarray, np.ndarray]:
    step = 1 + sum(len(one.scores) for one in maps) // _MOST_PIXELS
    return np.concatenate([one.scores[::step] for one in maps]), np.concatenate([one.inside[::step] for one in maps])


def _mean(name: str, values: Float[np.ndarray, " n"], groups: Sequence[Hashable]) -> dict[str, float]:
    if not len(values):
        return {}
    low, high = bootstrap_interval(values, groups)
    ends = {f"{name}_low": low, f"{name}_high": high} if np.isfinite([low, high]).all() else {}
    return {name: float(values.mean())} | ends
