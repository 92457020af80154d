"""Planted lesions: they are where their masks say, as large as asked for, and differ as their kind says."""

import math

import pytest
import torch

from voxlex.data.phantoms.lesions import CONTRASTS, LESION_KINDS, LesionKind, plant, smoothed
from voxlex.data.phantoms.phantom import generate_subject, generate_volume

SLICES = generate_subject(0, size=64)[4:8]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", LESION_KINDS)
def test_nothing_changes_outside_the_lesion(kind: LesionKind) -> None:
    planted = plant(SLICES, kind=kind, size_mm=26, pixel_mm=3.25, contrast=0.4, generator=seeded())
    outside = planted.shapes == 0
    torch.testing.assert_close(planted.images[outside], SLICES[outside], rtol=0, atol=1e-5)
    assert ((planted.images - SLICES).abs() * planted.masks).flatten(1).amax(dim=1).min() > 0.05
    assert planted.images.min() >= 0
    assert planted.images.max() <= 1
    again = plant(SLICES, kind=kind, size_mm=26, pixel_mm=3.25, contrast=0.4, generator=seeded())
    assert torch.equal(planted.images, again.images)


def test_sizes_are_diameters_in_millimetres() -> None:
    masks = plant(SLICES, kind="bright", size_mm=40, pixel_mm=2.0, generator=seeded()).masks
    assert masks.flatten(1).sum(dim=1).float().mean().item() == pytest.approx(math.pi * 10**2, rel=0.05)
    volume = generate_volume(0, size=32, spacing_mm=6.0)[None]
    ball = plant(volume, kind="dark", size_mm=48, pixel_mm=6.0, generator=seeded())
    assert ball.masks.sum().item() == pytest.approx(4 / 3 * math.pi * 4**3, rel=0.1)
    assert (ball.images <= volume).all()


def test_kinds_differ_as_they_say() -> None:
    made = {
        kind: plant(SLICES, kind=kind, size_mm=20, pixel_mm=3.25, contrast=CONTRASTS["medium"], generator=seeded())
        for kind in LESION_KINDS
    }
    change = {kind: ((of.images - SLICES)[of.masks]) for kind, of in made.items()}
    assert change["bright"].mean() > 0.1
    assert change["dark"].mean() < -0.1
    assert change["missing"].mean() < -0.1
    assert change["texture"].mean().abs() < 0.03
    assert change["texture"].std() > 0.1
    bounds = SLICES[made["mass"].shapes > 0].aminmax()
    moved = made["mass"].images[made["mass"].masks]
    assert bounds.min - 0.02 <= moved.min()
    assert moved.max() <= bounds.max + 0.02  # grey values move and do not change


def test_fainter_lesions_change_less() -> None:
    for kind in LESION_KINDS:
        sizes = [
            (plant(SLICES, kind=kind, size_mm=26, pixel_mm=3.25, contrast=c, generator=seeded()).images - SLICES).abs()
            for c in (0.05, 0.1, 0.2)
        ]
        assert sizes[0].mean() < sizes[1].mean() < sizes[2].mean()


def test_lesions_lie_in_the_head() -> None:
    for seed in range(4):
        planted = plant(SLICES, kind="bright", size_mm=20, pixel_mm=3.25, generator=seeded(seed))
        head = smoothed(SLICES, 3.0) > 0.08
        assert (head & planted.masks).sum() > 0.85 * planted.masks.sum()


def test_what_makes_no_lesion_is_refused() -> None:
    with pytest.raises(ValueError, match="size_mm: expected a positive number, got 0"):
        plant(SLICES, kind="dark", size_mm=0, generator=seeded())
