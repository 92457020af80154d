import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from voxlex.priors.conditions import Categorical, ConditionEmbedding, Conditions, Numeric, hide

TABLE = pd.DataFrame(
    {
        "label": ["glioma", "", "healthy", "glioma"],
        "age": [20, None, 60, 40.0],
        "scanner": ["", "", "", ""],
    }
)


@pytest.fixture
def conditions() -> Conditions:
    return Conditions.of(TABLE, ["label", "age", "scanner"])


def test_kinds_and_values_come_from_the_table(conditions):
    assert conditions.columns == (
        Categorical("label", ("glioma", "healthy")),
        Numeric("age", low=20.0, high=60.0),
    )
    assert conditions.names == ["label", "age"]


def test_a_data_frame_with_its_own_kinds_of_missing_values_is_understood():
    frame = pd.DataFrame({"slice": pd.array([3, None, 7], dtype="Int64"), "sex": ["f", np.nan, "m"]})
    conditions = Conditions.of(frame, ["slice", "sex"])
    assert conditions.columns == (Numeric("slice", 3.0, 7.0), Categorical("sex", ("f", "m")))
    expected = torch.tensor([[-1.0, 0.0], [math.nan, math.nan], [1.0, 1.0]])
    torch.testing.assert_close(conditions.look_up(frame), expected, equal_nan=True)


def test_numbers_among_empty_text_are_numbers():
    table = pd.DataFrame({"age": [20, "", 60]})
    assert Conditions.of(table, ["age"]).columns == (Numeric("age", 20.0, 60.0),)


def test_truth_values_are_names():
    assert Conditions.of(pd.DataFrame({"lesion": [True, False]}), ["lesion"]).columns == (
        Categorical("lesion", ("False", "True")),
    )


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no column 'sex' to condition on; there are label, age, scanner"):
        Conditions.of(TABLE, ["label", "sex"])


def test_infinite_numbers_are_refused():
    with pytest.raises(ValueError, match="age: expected a finite range"):
        Conditions.of(pd.DataFrame({"age": [1.0, math.inf]}), ["age"])


def test_wishes_are_encoded_with_what_they_leave_open_unknown(conditions):
    encoded = conditions.encode({"age": ["30", 60, ""]})
    expected = torch.tensor([[math.nan, -0.5], [math.nan, 1.0], [math.nan, math.nan]])
    torch.testing.assert_close(encoded, expected, equal_nan=True)
    assert conditions.encode({"label": ["healthy"]})[0, 0] == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"lable": ["glioma"]}, "unknown condition 'lable'; known are label, age"),
        ({"label": ["cat"]}, "label: unknown value 'cat'; known are glioma, healthy"),
        ({"age": [61]}, "age: expected a number from 20 to 60, got '61'"),
        ({"age": ["old"]}, "age: expected a number from 20 to 60, got 'old'"),
        ({"age": [30], "label": ["glioma"] * 2}, "as many values for each column, got"),
    ],
)
def test_strange_wishes_are_refused_and_told_what_is_known(conditions, wanted, message):
    with pytest.raises(ValueError, match=message):
        conditions.encode(wanted)


def test_a_prior_without_conditions_knows_none():
    with pytest.raises(ValueError, match="unknown condition 'label'; known are none"):
        Conditions().encode({"label": ["glioma"]})


def test_strange_values_of_another_table_are_unknown(conditions):
    encoded = conditions.look_up(pd.DataFrame({"label": ["cat", "glioma"], "path": ["a", "b"]}))
    torch.testing.assert_close(encoded, torch.tensor([[math.nan, math.nan], [0.0, math.nan]]), equal_nan=True)
    assert conditions.look_up(pd.DataFrame({"age": [99.0]})).isnan().all()


def test_a_constant_number_is_the_middle():
    assert Conditions((Numeric("age", 7.0, 7.0),)).encode({"age": [7]}).item() == 0


def test_they_travel_as_json(conditions):
    assert Conditions.from_description(json.loads(json.dumps(conditions.describe()))) == conditions


def test_what_encode_gives_passes_the_check(conditions):
    conditions.check(conditions.look_up(TABLE), 4)
    Conditions().check(torch.zeros(4, 0), 4)


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        ([[0.0, 0.0]], "condition"),
        ([[0.0], [1.0]], "condition"),
        ([[2.0, 0.0]] * 2, "label"),
        ([[-1.0, 0.0]] * 2, "label"),
        ([[0.5, 0.0]] * 2, "label"),
        ([[0.0, 40.0]] * 2, "age"),
        ([[0.0, -math.inf]] * 2, "age"),
    ],
)
def test_what_does_not_fit_is_named(conditions, condition, name):
    with pytest.raises(ValueError, match=f"{name}.*got"):
        conditions.check(torch.tensor(condition), 2)


def test_a_dict_of_lists_is_a_table():
    table = {"label": ["b", "", None, "a"], "age": [1, math.nan, 3, None]}
    conditions = Conditions.of(table, ["label", "age"])
    assert conditions.columns == (Categorical("label", ("a", "b")), Numeric("age", 1.0, 3.0))
    expected = torch.tensor([[1.0, -1.0], [math.nan, math.nan], [math.nan, 1.0], [0.0, math.nan]])
    torch.testing.assert_close(conditions.look_up(table), expected, equal_nan=True)


def test_priors_do_not_load_pandas():
    code = "import sys, voxlex.priors; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


CONDITIONS = Conditions((Categorical("label", ("a", "b", "c")), Numeric("age", 20.0, 60.0)))


@pytest.fixture
def embedding() -> ConditionEmbedding:
    embedding = ConditionEmbedding(CONDITIONS, width=16, dropout=0.5)
    torch.nn.init.normal_(embedding.columns[1].unknown)
    return embedding.double().eval()


def test_every_value_and_unknown_have_vectors_of_their_own(embedding):
    label, age = torch.tensor([0.0, 1.0, 2.0, math.nan]), torch.tensor([-1.0, 0.0, 0.9, 1.0, math.nan])
    vectors = embedding(torch.cartesian_prod(label, age))
    assert vectors.shape == (20, 16)
    assert torch.pdist(vectors).min() > 0.01


def test_near_numbers_have_near_vectors(embedding):
    at = [embedding(torch.tensor([[0.0, x]]))[0] for x in (0.3, 0.31, 0.6)]
    assert (at[0] - at[1]).norm() < 0.2 * (at[0] - at[2]).norm()


def test_unknown_conditions_give_finite_gradients(embedding):
    embedding(torch.tensor([[math.nan, math.nan], [1.0, 0.5]])).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in embedding.parameters())


def test_without_conditions_all_images_are_alike():
    vectors = ConditionEmbedding(Conditions(), width=4)(torch.zeros(3, 0))
    assert torch.equal(vectors, torch.zeros(3, 4))


def test_conditions_are_hidden_in_training_only(embedding):
    condition = torch.tensor([[1.0, 0.5]]).expand(200, -1)
    assert len(embedding(condition).round(decimals=6).unique(dim=0)) == 1
    embedding.train()
    assert len(embedding(condition).round(decimals=6).unique(dim=0)) == 4


@pytest.mark.parametrize("columns", [1, 3])
def test_each_is_hidden_with_the_share_and_all_together_in_half_the_cases(columns):
    hidden = hide(torch.zeros(40_000, columns), 0.3).isnan().double()
    torch.testing.assert_close(hidden.mean(dim=0), torch.full((columns,), 0.3).double(), atol=0.015, rtol=0)
    alone = 0.3 / 1.7
    expected = 0.15 + 0.85 * alone**columns
    assert hidden.all(dim=1).double().mean().item() == pytest.approx(expected, abs=0.015)


def test_a_number_is_learnt_as_a_smooth_function():
    torch.manual_seed(0)
    embedding = ConditionEmbedding(Conditions((Numeric("age", 0.0, 1.0),)), width=32)
    readout = torch.nn.Linear(32, 1)
    optimizer = torch.optim.Adam([*embedding.parameters(), *readout.parameters()], lr=1e-2)
    x = torch.linspace(-1, 1, 21).unsqueeze(1)
    for _ in range(300):
        optimizer.zero_grad()
        (readout(embedding(x)) - (3 * x).sin()).square().mean().backward()
        optimizer.step()
    between = torch.linspace(-0.93, 0.97, 20).unsqueeze(1)
    assert (readout(embedding(between)) - (3 * between).sin()).abs().max() < 0.1
