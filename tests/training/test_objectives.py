"""The held-out images that objectives validate with."""

import pytest

from voxlex import Frame, open_source
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.training import objectives
from voxlex.training.objectives import held_out_images


def test_a_validation_looks_at_few_large_images(monkeypatch: pytest.MonkeyPatch) -> None:
    images = open_source(PhantomSource(PhantomOptions(subjects=5, slices=4)), Frame(size=16))
    assert len(held_out_images(images, at_most=64)) == 20
    assert len(held_out_images(images, at_most=12)) == 12
    monkeypatch.setattr(objectives, "_VALIDATION_PIXELS", 10 * 16**2)
    assert len(held_out_images(images, at_most=12)) == 10
    monkeypatch.setattr(objectives, "_VALIDATION_PIXELS", 16**2)
    assert len(held_out_images(images, at_most=12)) == 8
