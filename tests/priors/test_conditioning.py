import math

import pytest
import torch

from voxlex.priors.conditioning import ConditionEmbedding, hide
from voxlex.priors.conditions import Categorical, Conditions, Numeric

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
