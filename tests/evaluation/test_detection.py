"""Figures of maps against known lesions, compared with scikit-learn and with what they mean."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from voxlex.evaluation.detection import JudgedMap, best_dice, dice, judge_maps, points_inside


def scans(count: int = 12, *, gain: float = 0.0) -> list[JudgedMap]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        inside = np.zeros(400, bool)
        inside[: 20 * (number % 3)] = True
        made.append(JudgedMap(rng.normal(size=400) + gain * inside, inside, number // 2))
    return made


def test_figures_agree_with_their_definitions() -> None:
    maps = scans(gain=1.0)
    figures = judge_maps(maps, threshold=2.0)
    ill = [one for one in maps if one.inside.any()]
    assert figures["scans"] == 12
    assert figures["scans_with_lesions"] == len(ill) == 8
    precision = [average_precision_score(one.inside, one.scores) for one in ill]
    assert figures["pixel_ap"] == pytest.approx(np.mean(precision))
    assert figures["pixel_ap_low"] < figures["pixel_ap"] < figures["pixel_ap_high"]
    assert figures["pixel_auroc"] == pytest.approx(np.mean([roc_auc_score(one.inside, one.scores) for one in ill]))
    scores, inside = np.concatenate([m.scores for m in maps]), np.concatenate([m.inside for m in maps])
    assert figures["pixel_ap_pooled"] == pytest.approx(average_precision_score(inside, scores))
    assert figures["dice_at_threshold"] == pytest.approx(dice(scores > 2.0, inside))
    assert figures["dice_best"] == pytest.approx(max(dice(scores >= at, inside) for at in scores))
    assert figures["pixel_ap_chance"] == pytest.approx(np.mean([one.inside.mean() for one in ill]))
    assert 0 <= figures["scan_auroc"] <= 1


def test_a_perfect_map_and_a_constant_one() -> None:
    perfect = [JudgedMap(one.inside.astype(np.float32), one.inside, one.group) for one in scans()]
    figures = judge_maps(perfect)
    for name in ("pixel_ap", "pixel_auroc", "pixel_ap_pooled", "dice_best", "pointing", "scan_auroc"):
        assert figures[name] == 1
    constant = [JudgedMap(np.zeros(400, np.float32), one.inside, one.group) for one in scans()]
    figures = judge_maps(constant)
    assert figures["pixel_ap"] == pytest.approx(figures["pixel_ap_chance"])
    assert figures["pointing"] == pytest.approx(figures["pointing_chance"])
    assert figures["pixel_auroc"] == figures["scan_auroc"] == 0.5


def test_equal_scores_lie_on_one_side_of_a_threshold() -> None:
    inside = np.array([True, False, True, False])
    assert best_dice(np.array([1.0, 1.0, 1.0, 0.0]), inside) == pytest.approx(4 / 5)
    assert points_inside(JudgedMap(np.array([1.0, 1.0, 0.0, 0.0]), inside, "a")) == 0.5


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one with a lesion"):
        judge_maps(scans(1))
