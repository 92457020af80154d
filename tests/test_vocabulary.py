"""A vocabulary in a notebook: conditions and images of any kind of array, and samples that do not depend on others."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import voxlex
from voxlex.priors.conditions import Categorical

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(params=["transformer", "masked", "pixelcnn", "volumes"])
def vocabulary(request: pytest.FixtureRequest) -> voxlex.Vocabulary:
    """A vocabulary with a prior in float64, so that rounding tips no draw."""
    loaded = voxlex.load(GOLDEN / request.param)
    assert loaded.prior is not None
    loaded.prior.double()
    return loaded


@pytest.fixture
def asked() -> voxlex.Vocabulary:
    """A vocabulary whose prior can be asked for a label and an age."""
    return voxlex.load(GOLDEN / "transformer")


def test_a_sample_does_not_depend_on_how_many_are_drawn_or_in_what_batches(
    vocabulary: voxlex.Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = vocabulary.sample_codes(5, seed=1)
    assert len(together.flatten(1).unique(dim=0)) == 5
    assert torch.equal(vocabulary.sample_codes(1, seed=1), together[:1])
    assert torch.equal(vocabulary.sample_codes(2, seed=1, first=3), together[3:])
    monkeypatch.setattr("voxlex.vocabulary._BATCH_SIZE", 2)
    assert torch.equal(vocabulary.sample_codes(5, seed=1), together)
    assert not torch.equal(vocabulary.sample_codes(5, seed=2), together)
    assert not torch.equal(vocabulary.sample_codes(2), vocabulary.sample_codes(2))


def test_a_sample_does_not_depend_on_the_conditions_of_others(vocabulary: voxlex.Vocabulary) -> None:
    column = vocabulary.conditions.columns[0]
    one, other = column.values if isinstance(column, Categorical) else (column.low, column.high)
    both = vocabulary.sample_codes(2, condition={column.name: [one, other]}, seed=0)
    assert torch.equal(vocabulary.sample_codes(1, condition={column.name: one}, seed=0), both[:1])


def test_an_inpainted_result_does_not_depend_on_the_others(
    vocabulary: voxlex.Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = vocabulary.space
    image, mask = np.full(space, 0.5), np.zeros(space, bool)
    mask[tuple(slice(side // 2) for side in space)] = True
    together = vocabulary.inpaint(image, mask, count=3, seed=4)
    monkeypatch.setattr("voxlex.vocabulary._BATCH_SIZE", 8)
    torch.testing.assert_close(vocabulary.inpaint(image, mask, count=3, seed=4), together, rtol=0, atol=1e-5)
    torch.testing.assert_close(vocabulary.inpaint(image, mask, count=1, seed=4), together[:1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [
        tuple,
        np.array,
        pd.Series,
        lambda values: pd.Series(values, index=[7, 9]),
        lambda values: np.array(values, dtype=object),
        lambda values: {0: values}[0],
        lambda values: torch.tensor(values) if isinstance(values[0], int) else pd.Series(values, dtype="category"),
        lambda values: pd.Series(values, dtype="string" if isinstance(values[0], str) else "Int64"),
        lambda values: [np.array(value) for value in values],
    ],
    ids=["tuple", "array", "series", "index", "objects", "list", "tensor", "nullable", "arrays without axes"],
)
def test_conditions_may_be_any_kind_of_column(asked: voxlex.Vocabulary, kind: Any) -> None:
    labels, ages = ["healthy", "tumour"], [30, 50]
    expected = asked.sample_codes(2, condition={"label": labels, "age": ages}, seed=0)
    assert torch.equal(asked.sample_codes(2, condition={"label": kind(labels), "age": kind(ages)}, seed=0), expected)
    table = pd.DataFrame({"age": ages, "label": labels})
    assert torch.equal(asked.sample_codes(2, condition=table, seed=0), expected)


@pytest.mark.parametrize(
    "kind", [np.float32, np.int64, np.array, torch.tensor, str], ids=["float32", "int64", "array", "tensor", "text"]
)
def test_one_condition_for_all_may_be_any_kind_of_value(asked: voxlex.Vocabulary, kind: Any) -> None:
    expected = asked.sample_codes(2, condition={"age": [45, 45]}, seed=0)
    assert torch.equal(asked.sample_codes(2, condition={"age": kind(45)}, seed=0), expected)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"age": np.array([30, 40, 50])}, "age: expected one value for each of 2 images, got 3"),
        ({"age": np.array([[30, 40]])}, r"age: expected a list of values, one for each image, got the shape \(1, 2\)"),
        ({"age": {30, 40}}, "age: expected a list of values, one for each image, got a set"),
        ({"label": np.array(["healthy", "well"])}, "label: unknown value 'well'; known are healthy, tumour"),
        ({"weight": np.array([30, 40])}, "unknown condition 'weight'; known are label, age"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(
    asked: voxlex.Vocabulary, condition: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        asked.sample_codes(2, condition=condition)


def test_an_empty_condition_imposes_nothing(asked: voxlex.Vocabulary) -> None:
    expected = asked.sample_codes(1, seed=0)
    assert torch.equal(asked.sample_codes(1, condition={}, seed=0), expected)
    assert torch.equal(asked.sample_codes(1, condition=pd.DataFrame(), seed=0), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_loaded_vocabulary_works_in_another_type(vocabulary: voxlex.Vocabulary, dtype: torch.dtype) -> None:
    assert vocabulary.prior is not None
    vocabulary.prior.to(dtype)
    vocabulary.autoencoder.to(dtype)
    images = vocabulary.sample(2, seed=0)
    assert images.dtype == torch.float32
    assert vocabulary.reconstruct(images).shape == images.shape
