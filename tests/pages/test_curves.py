from xml.etree import ElementTree

import pytest
import torch

from voxlex.pages.curves import Plot, Series, training_curves, usage_plots


def texts(plot: Plot) -> list[str]:
    """Return the words of a picture, as a reader's search would find them."""
    return [text for element in ElementTree.fromstring(plot.svg).iter() if (text := (element.text or "").strip())]


def noted(name: str, *points: tuple[float, float], stage: str = "autoencoder") -> list[dict[str, str]]:
    return [
        {"stage": stage, "step": "1", "elapsed_s": f"{seconds:.2f}", "name": name, "value": f"{value:g}"}
        for seconds, value in points
    ]


def test_a_full_journal_gives_every_curve_with_units(journal: list[dict[str, str]]):
    words = [texts(plot) for plot in training_curves(journal)]
    labels = ("Loss (weighted terms)", "SSIM", "PSNR (dB)", "Perplexity (codewords)", "Prior (bits per code)")
    for found, label in zip(words, labels, strict=True):
        assert any(text.startswith(label) for text in found)
        assert "Training time (minutes)" in found


def test_loss_terms_are_all_drawn_and_measures_are_not(journal: list[dict[str, str]]):
    words = texts(training_curves(journal)[0])
    assert {"sum", "L1", "commitment"} <= set(words)
    assert not any("psnr" in text or "codes" in text for text in words)


@pytest.mark.parametrize(("last", "ticks"), [(0.03, {"0.05", "0.1", "0.2", "0.5"}), (1e-7, {"0.1"})])
def test_ticks_do_not_cover_one_another(last: float, ticks: set[str]):
    (plot,) = training_curves(noted("train/loss", (10, 0.8), (60, last)))
    words = texts(plot)
    assert ticks <= set(words)
    assert sum("." in word or "e-" in word for word in words) < 9


def test_figures_never_noted_have_no_picture():
    assert training_curves([]) == []
    (only,) = training_curves(noted("validation/ssim", (1, 0.5), (2, 0.6)))
    assert "0.6" in only.alt


def test_values_that_are_no_numbers_are_left_out():
    assert training_curves(noted("validation/ssim", (1, float("nan")), (2, float("inf")))) == []


@pytest.mark.parametrize(("seconds", "unit"), [(90, "seconds"), (300, "minutes"), (10_000, "hours")])
def test_time_is_in_a_unit_that_suits_it(seconds: float, unit: str):
    (plot,) = training_curves(noted("validation/ssim", (1, 0.5), (seconds, 0.6)))
    assert f"Training time ({unit})" in texts(plot)


def test_references_are_drawn_with_the_prior_alone(journal: list[dict[str, str]]):
    *others, prior = training_curves(journal, references={"uniform": 9.0})
    assert "uniform" in texts(prior)
    assert not any("uniform" in texts(plot) for plot in others)


def test_long_trainings_are_averaged_to_what_can_be_seen():
    rows = noted("train/loss", *((second, second % 2) for second in range(10_000)))
    thin = Series.of(rows, stage="autoencoder", name="train/loss", label="sum").thinned()
    assert len(thin.values) == len(thin.seconds) < 200
    assert thin.values.mean() == pytest.approx(0.5, abs=0.01)


def test_pictures_are_self_contained_small_and_take_the_colour_of_the_page(journal: list[dict[str, str]]):
    counts = torch.arange(1024).view(1, -1)
    for plot in (*training_curves(journal), *usage_plots([counts])):
        root = ElementTree.fromstring(plot.svg)
        references = [value for e in root.iter() for key, value in e.attrib.items() if key.endswith("href")]
        assert all(reference.startswith("#") for reference in references)
        assert "currentColor" in plot.svg
        assert "prefers-color-scheme:dark" in plot.svg
        assert len(plot.svg) < 60_000


def test_the_same_journal_gives_the_same_picture(journal: list[dict[str, str]]):
    assert training_curves(journal) == training_curves(journal)


@pytest.mark.parametrize(
    ("counts", "used"),
    [
        (torch.zeros(1, 512, dtype=torch.int64), "0 of 512"),
        (torch.ones(2, 512, dtype=torch.int64), "1,024 of 1,024"),
        (torch.tensor([[0, 7, 0, 1]]), "2 of 4"),
    ],
)
def test_codebook_use_counts_the_words_in_use(counts: torch.Tensor, used: str):
    (plot,) = usage_plots([counts])
    assert used in plot.alt
    assert f"codebook {len(counts)}" in texts(plot)


def test_levels_are_told_apart(journal: list[dict[str, str]]):
    rows = [row for row in journal if row["name"] != "validation/perplexity"]
    rows += [
        *noted("validation/0.perplexity", (1, 5.0), (2, 6.0)),
        *noted("validation/1.perplexity", (1, 50.0), (2, 60.0)),
    ]
    (perplexity,) = [plot for plot in training_curves(rows) if plot.alt.startswith("Perplexity")]
    assert "validation images, level 0 6; validation images, level 1 60" in perplexity.alt
    coarse, fine = usage_plots([torch.ones(1, 8, dtype=torch.int64), torch.zeros(2, 16, dtype=torch.int64)])
    assert "codes of level 0" in coarse.alt
    assert "8 of 8" in coarse.alt
    assert "codes of level 1" in fine.alt
    assert "0 of 32" in fine.alt
