"""The judging itself is judged here: what is known to be better or worse, and copies that were planted."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import generate_subject
from voxlex.evaluation.generation import GenerationReport, judge_samples, log_scattering
from voxlex.pages import generation_measures

SIDE = 64


@dataclass(frozen=True)
class Brains:
    """Slices of different pseudo-subjects."""

    training: Tensor
    held_out: Tensor
    new: Tensor


def again(images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return reconstructions as the judge takes them."""
    return {"_reconstructed": images}


@cache
def brains() -> Brains:
    options = PhantomOptions(slices=4)
    subjects = [generate_subject(number, size=SIDE, options=options) for number in range(50)]
    return Brains(*(torch.cat(part) for part in (subjects[:24], subjects[24:40], subjects[40:])))


def draws(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bent(images: Tensor) -> Tensor:
    """Warp images a little, as a good prior gets shapes slightly wrong, and soften them."""
    field = functional.interpolate(torch.randn(len(images), 2, 6, 6, generator=draws()), size=images.shape[2:])
    still = functional.affine_grid(torch.eye(2, 3).expand(len(images), 2, 3), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, still + field.movedim(1, -1) * 1.5 / SIDE, align_corners=False)
    return functional.avg_pool2d(functional.pad(moved, (0, 1, 0, 1)), 2, stride=1)


def shuffled(images: Tensor, *, patch: int = 8) -> Tensor:
    """Put the patches of each image in random order, as codes drawn one by one from their frequencies would lie."""
    columns = functional.unfold(images, patch, stride=patch)
    mixed = torch.stack(
        [column[:, torch.randperm(column.shape[1], generator=draws(seed))] for seed, column in enumerate(columns)]
    )
    return functional.fold(mixed, images.shape[2:], patch, stride=patch)


def noisy(images: Tensor, strength: float) -> Tensor:
    return (images + strength * torch.randn(images.shape, generator=draws())).clamp(0, 1)


@cache
def report(kind: str) -> GenerationReport:
    new, training = brains().new, brains().training
    samples = {
        "real": new,
        "good": bent(new),
        "shuffled": shuffled(new),
        "noise": torch.rand(new.shape, generator=draws()),
        "copies": noisy(training[torch.randint(50, (40,), generator=draws())], 0.03),
        "one copy": torch.cat([new[:20], training[33:34].roll((1, -1), (2, 3)) * 0.7 + 0.15, new[20:]]),
    }[kind]
    return judge_samples(samples, brains().held_out, training.split(64))


def figure(kind: str, name: str) -> float:
    return report(kind).figures[f"generation.{name}"]


@pytest.mark.parametrize("name", ["swd", "frechet", "c2st"])
def test_distances_rank_real_good_and_others(name: str):
    real, good, mixed, noise = (figure(kind, name) for kind in ("real", "good", "shuffled", "noise"))
    assert real < good <= min(mixed, noise)
    if name != "c2st":
        assert good < 0.5 * mixed
    if name == "swd":
        assert noise > 1.5 * mixed


@pytest.mark.parametrize("name", ["precision", "recall", "density", "coverage"])
def test_overlaps_rank_real_good_shuffled_noise(name: str):
    real, good, mixed, noise = (figure(kind, name) for kind in ("real", "good", "shuffled", "noise"))
    assert real > mixed + 0.3
    assert real >= good - 0.1
    assert good > mixed
    assert mixed >= noise == 0


def test_real_images_are_near_their_floor():
    assert figure("real", "swd") < 2 * figure("real", "swd_floor")
    assert figure("real", "frechet") < 2 * figure("real", "frechet_floor")
    assert figure("real", "coverage") > figure("real", "coverage_floor") - 0.15
    assert abs(figure("real", "ms_ssim") - figure("real", "ms_ssim_floor")) < 0.1
    assert figure("shuffled", "c2st_p_value") < 1e-6


def test_every_figure_has_its_floor_and_all_sets_one_size():
    figures = report("real").figures
    alone = {"generation.c2st_p_value", "generation.n_samples", "generation.n_compared"}
    limits = {f"generation.{name}_{end}" for name in ("precision", "coverage", "c2st") for end in ("low", "high")}
    limits |= {limit[: limit.rindex("_")] + "_floor" + limit[limit.rindex("_") :] for limit in limits}
    measured = {name for name in figures if not name.endswith("_floor")} - alone - limits
    assert len(measured) == 13
    assert {f"{name}_floor" for name in measured} == set(figures) - measured - alone - limits
    assert figures["generation.n_samples"] == 40
    assert figures["generation.n_compared"] == 32, "half of 64 held-out images"
    assert all(value == value and abs(value) != float("inf") for value in figures.values())


def test_reconstructions_are_judged_like_samples():
    smooth = functional.avg_pool2d(brains().held_out, 5, stride=1, padding=2)
    figures = judge_samples(
        brains().new, brains().held_out, brains().training.split(64), reconstructed=again(smooth)
    ).figures
    equal = judge_samples(
        brains().new,
        brains().held_out,
        brains().training.split(64),
        reconstructed=again(brains().held_out),
    ).figures
    for name in ("swd", "frechet", "precision", "coverage", "c2st", "ms_ssim"):
        floor = figures[f"generation.{name}_floor"]
        assert equal[f"generation.{name}_reconstructed"] == pytest.approx(floor, rel=0.3), name
    assert figures["generation.c2st_reconstructed"] > figures["generation.c2st_floor"] + 0.2
    assert figures["generation.frechet_reconstructed"] > 2 * figures["generation.frechet_floor"]


def patchwork(images: Tensor) -> Tensor:
    """Lose the texture within patches of 4 pixels, as a small vocabulary of patches does."""
    return 0.5 * images + 0.5 * functional.interpolate(functional.avg_pool2d(images, 4), scale_factor=4)


@pytest.mark.parametrize("spoil", [functional.avg_pool2d, patchwork], ids=["blur", "patches"])
def test_lost_texture_costs_precision_and_coverage(spoil):
    images = brains().held_out
    lost = spoil(images, 3, stride=1, padding=1) if spoil is functional.avg_pool2d else spoil(images)
    figures = judge_samples(brains().new, images, brains().training.split(64), reconstructed=again(lost)).figures
    for name in ("precision", "coverage"):
        assert figures[f"generation.{name}_reconstructed"] < figures[f"generation.{name}_floor"] - 0.3
    assert figures["generation.c2st_reconstructed"] > figures["generation.c2st_floor"] + 0.2


def test_halves_of_two_heads_are_less_precise_than_whole_heads():
    images = brains().held_out
    halves = torch.cat([images[..., : SIDE // 2], images.roll(10, 0)[..., SIDE // 2 :]], dim=3)
    figures = judge_samples(brains().new, images, brains().training.split(64), reconstructed=again(halves)).figures
    assert figures["generation.precision_reconstructed"] < figures["generation.precision_floor"] - 0.1


def test_intervals_hold_their_figures_and_shrink_with_the_number_of_images():
    few = judge_samples(brains().new[:20], brains().held_out, brains().training.split(64)).figures
    many = report("real").figures
    for name in ("precision", "coverage", "c2st"):
        for end in ("", "_floor"):
            key = f"generation.{name}{end}"
            assert many[f"{key}_low"] <= many[key] <= many[f"{key}_high"]
    widths = [found["generation.c2st_high"] - found["generation.c2st_low"] for found in (few, many)]
    assert widths[1] < widths[0]


def test_images_of_one_subject_count_together():
    """Sixteen subjects of four slices tell less than 64 subjects would."""
    images, subjects = brains().held_out, [f"subject {row // 4}" for row in range(64)]
    mirrored = images.flip(0)
    made, known = images[:32] + 0.01, brains().training.split(64)
    alone, together = (judge_samples(made, mirrored, known, groups=groups).figures for groups in (None, subjects))
    assert alone["generation.n_compared"] == 32
    assert together["generation.n_compared"] == 30, "so that no subject need be in both halves"
    with pytest.raises(ValueError, match="groups: expected one for each of 64 held-out images, got 3"):
        judge_samples(made, mirrored, known, groups=["a", "b", "c"])


def test_near_duplicates_of_one_group_are_not_compared_with_each_other():
    """Pairs of equal images would make the floor perfect if they were divided between the halves."""
    pairs = brains().held_out[::4].repeat_interleave(4, dim=0)
    known, groups = brains().training.split(64), [str(row // 4) for row in range(64)]
    torn, whole = (judge_samples(brains().new, pairs, known, groups=given).figures for given in (None, groups))
    assert torn["generation.precision_floor"] > 0.7
    assert whole["generation.precision_floor"] < 0.5, "the nearest images of most are their equals"


def test_one_subject_against_another_is_not_given_to_a_classifier():
    images, subjects = brains().held_out, ["one"] * 32 + ["other"] * 32
    figures = judge_samples(brains().new, images, brains().training.split(64), groups=subjects).figures
    assert figures["generation.c2st"] != figures["generation.c2st"]
    assert "generation.c2st_low" not in figures
    assert "classifier" not in generation_measures.sentences(figures)[0]


def test_a_planted_copy_is_reported_though_moved_and_of_other_contrast():
    found = report("one copy")
    assert [(pair.sample, pair.training) for pair in found.copies] == [(20, 33)]
    assert found.pairs[0] == found.copies[0]
    assert found.figures["generation.copies"] == pytest.approx(1 / 41)
    distances = [pair.distance for pair in found.pairs]
    assert distances == sorted(distances)
    assert len(distances) == 41


def test_a_generator_that_copies_fifty_images_is_caught():
    for name in ("copies", "closer_than_p1", "memorisation_auc"):
        assert figure("copies", name) > 0.99
    assert {pair.training for pair in report("copies").copies} <= set(range(50))


def test_an_honest_generator_is_not_accused():
    assert report("real").copies == []
    assert figure("real", "copies") == figure("real", "copies_floor") == 0
    assert 0.25 < figure("real", "memorisation_auc") < 0.75
    assert figure("real", "closer_than_p5") < 0.4


def test_words_name_copies_and_leaking_data():
    figures = report("real").figures
    assert {measure.key for measure in generation_measures.MEASURES} == {
        name.removesuffix("_floor") for name in figures if name.endswith("_floor")
    }
    assert generation_measures.sentences(figures)[1] == "None of 40 samples is a near copy of a training image."
    assert generation_measures.warnings(figures) == []
    assert generation_measures.sentences(report("one copy").figures)[1].startswith("1 of 41 samples is a near copy")
    assert "are near copies" in generation_measures.sentences(report("copies").figures)[1]
    (copied,) = generation_measures.warnings(report("one copy").figures)
    assert "before sharing" in copied
    (leaking,) = generation_measures.warnings({**figures, "generation.copies_floor": 0.2})
    assert leaking.startswith("20% of the held-out images")


def test_the_same_seed_gives_the_same_report():
    new, held_out, training = brains().new[:16], brains().held_out[:32], brains().training[:64]
    new, held_out, training = (images[..., ::2, ::2] for images in (new, held_out, training))
    first, again, other = (judge_samples(new, held_out, [training], seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.figures["generation.swd"] != other.figures["generation.swd"]


def test_features_can_be_given_and_progress_is_told():
    steps: list[tuple[int, int]] = []
    images = brains().held_out
    found = judge_samples(
        images[:16],
        images[16:48],
        [images[48:]],
        features=lambda batch: log_scattering(batch)[:, :8],
        progress=lambda done, total: steps.append((done, total)),
    )
    assert found.figures["generation.frechet"] < figure("real", "frechet")
    assert steps == [(done, 3) for done in range(4)]


def test_volumes_are_judged():
    volumes = torch.rand(64, 1, 16, 20, 18, generator=draws())
    made, held_out, training = volumes[:16], volumes[16:48], volumes[40:]
    found = judge_samples(made, held_out, [training])
    assert found.figures["generation.n_compared"] == 16
    assert found.pairs[0].distance > 0.5


@pytest.mark.parametrize(
    ("samples", "held_out", "message"),
    [
        (
            (15, 1, 32, 32),
            (40, 1, 32, 32),
            "at least 16 samples and 32 held-out images to judge samples, got 15 and 40",
        ),
        ((20, 1, 32, 32), (31, 1, 32, 32), "got 20 and 31"),
        ((20, 1, 32, 32), (40, 1, 32, 16), "same shape, got"),
    ],
)
def test_too_little_to_judge_is_one_clear_error(samples: tuple[int, ...], held_out: tuple[int, ...], message: str):
    with pytest.raises(ValueError, match=message):
        judge_samples(torch.rand(samples), torch.rand(held_out), [torch.rand(held_out)])
