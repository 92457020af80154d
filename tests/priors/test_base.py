import math

import pytest
import torch

from voxlex.errors import CodesError
from voxlex.priors import GatedPixelCNN, MaskedPrior, TransformerPrior


def test_loss_is_the_mean_of_code_log_probs_and_log_prob_their_sum(make_pixelcnn, random_codes):
    prior = make_pixelcnn()
    codes = random_codes(prior, 3)
    per_code = prior.code_log_probs(codes)
    assert per_code.shape == codes.shape
    torch.testing.assert_close(prior.log_prob(codes), per_code.sum(dim=(1, 2, 3)))
    torch.testing.assert_close(prior.loss(codes), -per_code.mean())


def test_loss_does_not_change_with_the_batch(make_pixelcnn, random_codes):
    prior = make_pixelcnn()
    codes = random_codes(prior, 4)
    singles = torch.stack([prior.loss(image[None]) for image in codes])
    torch.testing.assert_close(prior.loss(codes), singles.mean())
    torch.testing.assert_close(prior.loss(codes.repeat(3, 1, 1, 1)), prior.loss(codes))


@pytest.mark.parametrize("bad", [-1, 5])
def test_codes_out_of_range_are_refused(make_pixelcnn, random_codes, bad):
    prior = make_pixelcnn()
    codes = random_codes(prior, 2)
    codes[1, 0, 2, 3] = bad
    for score in (prior, prior.log_prob, prior.loss):
        with pytest.raises(CodesError, match=r"codes in \[0, 5\).*got"):
            score(codes)


@pytest.mark.parametrize("shape", [(1, 1, 6, 5), (1, 2, 5, 6), (1, 1, 5, 6, 1)])
def test_codes_of_another_grid_are_refused(make_pixelcnn, shape):
    with pytest.raises(CodesError, match=r"1, 5, 6.*got"):
        make_pixelcnn().loss(torch.zeros(shape, dtype=torch.int64))


def test_a_batch_of_no_images_is_refused(make_pixelcnn):
    with pytest.raises(CodesError, match="at least one image"):
        make_pixelcnn().loss(torch.zeros(0, 1, 5, 6, dtype=torch.int64))


@pytest.mark.parametrize("condition", [[[0.0], [3.0]], [[-1.0], [0.0]], [[0.0]], [[0.0, 1.0]] * 2])
def test_a_condition_that_does_not_fit_is_refused(make_pixelcnn, labelled, condition):
    prior = make_pixelcnn(conditions=labelled)
    with pytest.raises(ValueError, match="expected"):
        prior.sample(2, condition=torch.tensor(condition))


def test_an_unconditional_prior_refuses_a_condition(make_pixelcnn, random_codes):
    prior = make_pixelcnn()
    condition = torch.zeros(2, 1)
    with pytest.raises(ValueError, match="expected a condition"):
        prior.log_prob(random_codes(prior, 2), condition)
    with pytest.raises(ValueError, match="expected a condition"):
        prior.sample(2, condition=condition)
    assert prior.sample(2, condition=torch.zeros(2, 0)).shape == (2, 1, 5, 6)


def test_sample_refuses_what_makes_no_sense(make_pixelcnn):
    prior = make_pixelcnn()
    with pytest.raises(ValueError, match="at least 1, not 0"):
        prior.sample(0)
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature"):
            prior.sample(1, temperature=temperature)


@pytest.mark.parametrize(
    "changes",
    [{"num_embeddings": 0}, {"grid": ()}, {"grid": (0, 4)}, {"condition_dropout": 1.0}],
)
def test_a_prior_of_nothing_is_refused(make_pixelcnn, changes):
    with pytest.raises(ValueError, match="not"):
        make_pixelcnn(**changes)


@pytest.mark.parametrize("kind", [GatedPixelCNN, MaskedPrior, TransformerPrior])
@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, math.nan])
@pytest.mark.parametrize("name", ["dropout", "condition_dropout"])
def test_a_share_out_of_range_is_refused_by_its_name(kind, share, name):
    with pytest.raises(ValueError, match=rf"^{name} must lie in \[0, 1\), not {share}$"):
        kind(num_embeddings=5, grid=(4, 5), width=8, layers=1, **{name: share})


def test_no_condition_is_the_same_as_unknown_for_all(make_pixelcnn, random_codes, labelled):
    prior = make_pixelcnn(conditions=labelled)
    codes = random_codes(prior, 2)
    assert torch.equal(prior.log_prob(codes), prior.log_prob(codes, labelled.encode({"label": ["", ""]})))
    mixed = prior.log_prob(codes, labelled.encode({"label": ["", "c"]}))
    torch.testing.assert_close(mixed[0], prior.log_prob(codes)[0])
    assert not torch.isclose(mixed[1], prior.log_prob(codes)[1])


def test_condition_dropout_hides_conditions_in_training_only(make_pixelcnn, random_codes, labelled):
    prior = make_pixelcnn(conditions=labelled, condition_dropout=0.25, grid=(1, 2))
    codes, condition = random_codes(prior, 1).expand(4000, -1, -1, -1), labelled.encode({"label": ["b"] * 4000})
    given, none = prior.log_prob(codes, condition), prior.log_prob(codes)
    prior.train()
    trained = prior.log_prob(codes, condition)
    hidden = (trained - none).abs() < (trained - given).abs()
    assert hidden.double().mean().item() == pytest.approx(0.25, abs=0.03)


def test_sampling_leaves_the_mode_of_the_prior_as_it_was(make_pixelcnn):
    prior = make_pixelcnn(dropout=0.5)
    for mode in (True, False):
        prior.train(mode)
        prior.sample(1)
        assert all(module.training is mode for module in prior.modules())


def test_progress_counts_the_cells(make_pixelcnn):
    seen: list[tuple[int, int]] = []
    make_pixelcnn().sample(2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (30, 30)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
