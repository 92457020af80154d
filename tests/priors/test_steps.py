"""Steps of sampling give the logits of the prior, from what a step is told alone."""

import pytest
import torch

from voxlex.codes import levels_of
from voxlex.priors.steps import CachedStep, UnmaskingStep, step_of

from .kinds import CASES, labels, random_codes

every_case = pytest.mark.parametrize("case", [case for case in CASES if case.kind != "halton"], ids=str)


def told_one_by_one(step, level, codes, condition, context):
    """Return the logits of all codes, each from a step that was told only the codes before it."""
    cache = []
    if isinstance(step, CachedStep):
        cache = [torch.zeros(len(codes), *step.cache_shape, dtype=torch.float64) for _ in range(2)]
    told = torch.zeros_like(codes)
    logits = torch.empty(*codes.flatten(2).shape, level.layout.num_embeddings, dtype=torch.float64)
    for cell in range(level.layout.cells):
        for codebook in range(level.layout.num_codebooks):
            found = step(told, torch.tensor([cell]), condition, *cache, *context)
            found, *cache = found if cache else (found,)
            logits[:, codebook, cell] = found[:, codebook]
            told.flatten(2)[:, codebook, cell] = codes.flatten(2)[:, codebook, cell]
    return logits.unflatten(2, codes.shape[2:])


@every_case
@torch.no_grad()
def test_steps_give_the_logits_of_the_prior(case):
    prior = case.prior()
    levels = levels_of(random_codes(prior, 2))
    condition = labels("b", "") if case.conditional else torch.empty(2, 0)
    for place, level in enumerate(prior.levels):
        codes, context, step = levels[place], levels[:place], step_of(level)
        if isinstance(step, UnmaskingStep):
            hidden = torch.rand(2, *level.layout.grid) < 0.5
            found = step(codes, hidden, condition, *context)
            expected = level(codes, condition, context, hidden=hidden.flatten(1))
        else:
            found = told_one_by_one(step, level, codes, condition, context)
            expected = level(codes, condition, context)
        torch.testing.assert_close(found.log_softmax(-1), expected.movedim(1, -1).log_softmax(-1))


def test_a_masked_step_does_not_see_hidden_cells():
    (level,) = next(case for case in CASES if case.kind == "masked" and case.levels == 1).prior().levels
    first, second = random_codes(level, 1, seed=0), random_codes(level, 1, seed=1)
    hidden = torch.ones(1, *level.layout.grid, dtype=torch.bool)
    condition = torch.full((1, len(level.conditions.columns)), torch.nan)
    with torch.no_grad():
        logits = [step_of(level)(codes, hidden, condition)[:, 0] for codes in (first, second)]
    torch.testing.assert_close(*logits)
