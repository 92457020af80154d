"""Exported graphs compute what the vocabulary computes, without voxlex."""

import pytest

from .conftest import Exported

pytestmark = pytest.mark.slow


def test_codes_are_those_of_the_vocabulary(exported: Exported) -> None:
    shares = {name: figure for name, figure in exported.figures.items() if name.endswith(("encoder", "codes"))}
    assert len(shares) >= 5
    # Where two codewords are as near, rounding may tip the choice.
    assert {name: share for name, share in shares.items() if share < 0.98} == {}


def test_codewords_images_and_logits_are_those_of_the_vocabulary(exported: Exported) -> None:
    errors = {name: figure for name, figure in exported.figures.items() if not name.endswith(("encoder", "codes"))}
    assert len(errors) >= 6
    assert {"pictures: decoder", "pictures: prior-step", "pictures in PyTorch: decoder"} <= errors.keys()
    assert {name: error for name, error in errors.items() if not error <= 1e-4} == {}
