import pytest
import torch

from voxlex.assembly import build_prior
from voxlex.codes import CodeLayout
from voxlex.config.priors import MaskedPriorConfig, PixelCNNConfig, TransformerPriorConfig
from voxlex.errors import CodesError
from voxlex.priors import Conditions, GatedPixelCNN, HierarchicalPrior, TransformerPrior

from .kinds import LABELLED, Case, random_codes

COARSE, FINE = CodeLayout(num_embeddings=4, grid=(2, 3)), CodeLayout(num_embeddings=5, num_codebooks=2, grid=(4, 6))


def test_the_likelihood_is_that_of_the_levels_given_the_coarser():
    prior = Case("transformer", levels=2, conditional=True).prior()
    coarse, fine = codes = random_codes(prior, 3)
    condition = LABELLED.encode({"label": ["a", "b", ""]})
    first, second = prior.levels
    expected = first.log_prob(coarse, condition) + second.log_prob(fine, condition, (coarse,))
    torch.testing.assert_close(prior.log_prob(codes, condition), expected)


def test_a_level_alone_draws_below_codes_that_are_given():
    fine = Case("pixelcnn", levels=2).prior().levels[1]
    coarse = torch.zeros(3, 1, 2, 2, dtype=torch.int64)
    assert fine.sample(3, context=(coarse,)).shape == (3, 1, 3, 4)
    with pytest.raises(CodesError, match="context: expected codes of 1 coarser levels, got 0"):
        fine.sample(3)
    with pytest.raises(CodesError, match="context: expected the codes of 2 images, got 3"):
        fine.sample(2, context=(coarse,))
    with pytest.raises(CodesError, match="context: expected values from 0 to 3, got 4"):
        fine.sample(3, context=(coarse + 4,))


@pytest.mark.parametrize("config", [MaskedPriorConfig(), PixelCNNConfig(), TransformerPriorConfig()])
def test_a_configuration_builds_a_prior_for_each_level(config):
    prior = build_prior(config, layouts=[COARSE, FINE], conditions=Conditions())
    assert prior.layouts == (COARSE, FINE)
    assert [level.context for level in prior.levels] == [(), (COARSE,)]
    assert not isinstance(build_prior(config, layouts=[FINE], conditions=Conditions()), HierarchicalPrior)


def test_levels_that_do_not_fit_together_are_refused():
    coarse = GatedPixelCNN(layout=COARSE)
    with pytest.raises(ValueError, match=r"levels\[1\].context: expected"):
        HierarchicalPrior(levels=[coarse, TransformerPrior(layout=FINE)])
    with pytest.raises(ValueError, match=r"levels\[1\].conditions: expected \[\], got \['label'\]"):
        HierarchicalPrior(levels=[coarse, TransformerPrior(layout=FINE, context=[COARSE], conditions=LABELLED)])
    with pytest.raises(ValueError, match="one prior or more"):
        HierarchicalPrior(levels=[])
