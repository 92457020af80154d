"""What is read of a label: as much as is there, less from what has lost it, and nothing by chance."""

import json
from pathlib import Path

import numpy as np
import pytest

from voxlex.cli import main
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.evaluation.labels import Described, label_figures, labelled
from voxlex.evaluation.probe import Target, probe, probe_by, shuffled
from voxlex.images.frame import Frame

RUN = Path(__file__).parents[1] / "golden" / "pixelcnn"
SUBJECT = np.repeat(np.arange(40), 4)
GROUPS = [f"sub-{number}" for number in SUBJECT]
ILL = np.random.default_rng(0).permutation(np.arange(40) % 2)[SUBJECT]
NAMES = ["ill" if one else "well" for one in ILL]


def features(seed: int, labels: np.ndarray, *, strength: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(len(labels), 12))
    noise[:, 3] += strength * labels
    return noise.astype(np.float32)


def described(*, kept: float) -> Described:
    """Images and codes that tell the label, grey values that do not, and reconstructions that keep a share of it."""
    return Described(
        codes=features(1, ILL, strength=4.0),
        greys=features(2, ILL, strength=0.0),
        images=features(3, ILL, strength=4.0),
        reconstructed=features(4, ILL, strength=4.0 * kept),
    )


def test_reconstructions_lose_what_they_do_not_keep() -> None:
    target = Target.of_names("label", NAMES)
    lost = label_figures(target, GROUPS, described(kept=0.0))
    kept = label_figures(target, GROUPS, described(kept=1.0))
    assert min(kept["label.codes.auroc"], kept["label.images.auroc"], kept["label.reconstructions.auroc"]) > 0.9
    assert lost["label.reconstructions.balanced_accuracy"] < 0.7 < kept["label.reconstructions.balanced_accuracy"]
    assert max(kept["label.greys.auroc"], kept["label.shuffled.auroc"]) < 0.75
    assert kept["label.images.auroc_low"] <= kept["label.images.auroc"] <= kept["label.images.auroc_high"]
    assert "label.samples.auroc" not in kept
    assert (kept["label.n_images"], kept["label.n_groups"], kept["label.n_classes"]) == (160, 40, 2)


def test_chance_is_the_mean_of_several_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxlex.evaluation.labels.DRAWS", 5)
    target, images = Target.of_names("label", NAMES), described(kept=1.0)
    found = label_figures(target, GROUPS, images)
    draws = [
        probe(images.images, shuffled(target, GROUPS, seed=seed), GROUPS, reader="linear").figures for seed in range(5)
    ]
    for name in ("auroc", "auroc_low", "balanced_accuracy_high"):
        assert found[f"label.shuffled.{name}"] == pytest.approx(np.mean([draw[name] for draw in draws]))
    assert np.ptp([draw["auroc"] for draw in draws]) > 0.05  # a single one tells little


def test_samples_teach_what_they_show() -> None:
    target, asked = Target.of_names("label", NAMES), np.arange(48) % 2
    names = ["ill" if one else "well" for one in asked]
    good, bad = (
        label_figures(
            target, GROUPS, described(kept=1.0), samples=features(5, asked, strength=strength), sample_labels=names
        )
        for strength in (4.0, 0.0)
    )
    assert good["label.samples.auroc"] > 0.9 > 0.75 > bad["label.samples.auroc"]
    assert good["label.few_images.auroc"] > 0.9
    # Samples without a label, or all of one class, teach nothing.
    for labels in ([""] * 48, ["ill"] * 48, ["another"] * 48):
        one = label_figures(
            target, GROUPS, described(kept=1.0), samples=features(5, asked, strength=4.0), sample_labels=labels
        )
        assert not any("samples" in name or "few_images" in name for name in one)
    with pytest.raises(ValueError, match="expected at least two different values to fit to, got 1"):
        probe_by(features(5, asked, strength=1.0), np.zeros(48, int), described(kept=1.0).images, target, GROUPS)


def test_labels_are_read_where_enough_groups_have_one() -> None:
    assert len(labelled(NAMES, GROUPS, at_most=500)) == 160
    assert len(labelled(NAMES, GROUPS, at_most=80)) == 80
    rare = ["rare" if number < 2 else name for number, name in zip(SUBJECT, NAMES, strict=True)]
    assert labelled(rare, GROUPS, at_most=500).tolist() == list(range(8, 160))
    unknown = ["" if number < 3 else name for number, name in zip(SUBJECT, NAMES, strict=True)]
    assert labelled(unknown, GROUPS, at_most=500).tolist() == list(range(12, 160))
    for none in (["ill"] * 160, [""] * 160, ["" if number > 4 else "ill" for number in SUBJECT]):
        assert len(labelled(none, GROUPS, at_most=500)) == 0
    assert len(labelled(NAMES[:24], GROUPS[:24], at_most=500)) == 0


def test_evaluate_reads_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for contrast in ("t1", "t2"):
        options = PhantomOptions(subjects=6, slices=3, contrast=contrast)
        PhantomSource(options).write(tmp_path / "scans" / contrast, Frame(size=32))
    words = ["evaluate", str(RUN), str(tmp_path / "scans"), "--split", "all", "--samples", "0"]
    assert main([*words, "--json", str(tmp_path / "a.json")]) == 0
    assert "label.reconstructions.auroc" in capsys.readouterr().out
    figures = json.loads((tmp_path / "a.json").read_text())
    assert figures["label.images.auroc"] > 0.9  # anything tells two contrasts
    assert figures["label.n_images"] == 36
