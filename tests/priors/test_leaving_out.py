"""Codes that do not belong: their surprise from all sides, and what a prior would put in their place."""

import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.priors import Conditions, MaskedPrior, TransformerPrior
from voxlex.priors.leaving_out import blocks_left_out

LAYOUT = CodeLayout(num_embeddings=5, grid=(6, 8))


def masked(layout: CodeLayout = LAYOUT) -> MaskedPrior:
    prior = MaskedPrior(layout=layout, width=8, layers=1, kernel_size=3, steps=4, conditions=Conditions()).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return prior


def some_codes(layout: CodeLayout = LAYOUT, n: int = 2) -> torch.Tensor:
    return torch.randint(layout.num_embeddings, (n, *layout.shape))


@pytest.mark.parametrize(("grid", "side"), [((6, 8), 1), ((5, 7), 2), ((4, 4), 4), ((3, 4, 5), 1), ((1, 4), 1)])
def test_each_cell_is_hidden_once_and_its_neighbours_are_seen(grid: tuple[int, ...], side: int) -> None:
    masks = list(blocks_left_out(grid, side))
    assert len(masks) <= 2 ** len(grid)
    assert torch.equal(torch.stack(masks).sum(dim=0), torch.ones(masks[0].shape, dtype=torch.int64))
    if side == 1:
        for mask in masks:
            hidden = mask.view(grid).nonzero()
            apart = (hidden[:, None] - hidden[None]).abs().amax(dim=2)
            assert (apart[apart > 0] >= 2).all()
    with pytest.raises(ValueError, match="side: expected at least 1, got 0"):
        list(blocks_left_out(grid, 0))


def test_surprise_of_a_masked_prior_is_that_of_the_others_around() -> None:
    prior, codes = masked(), some_codes()
    surprise = prior.surprise(codes)
    assert surprise.shape == codes.shape
    for hidden in blocks_left_out(LAYOUT.grid, 1):
        logits = prior(codes, hidden=hidden.expand(2, -1))
        own = torch.nn.functional.cross_entropy(logits, codes, reduction="none")
        torch.testing.assert_close(surprise.flatten(2)[..., hidden], own.flatten(2)[..., hidden])


def test_surprise_does_not_depend_on_the_code_itself_but_on_what_comes_after_it() -> None:
    prior, codes = masked(), some_codes(n=1)
    other = codes.clone()
    other[..., 5, 7] = (other[..., 5, 7] + 1) % 5
    changed = (prior.surprise(codes) - prior.surprise(other)).abs() > 1e-6
    assert changed[..., 4, 6]  # an earlier cell sees it
    ordered = TransformerPrior(layout=LAYOUT, width=8, layers=1, kernel_size=3, embedding_dim=4).eval()
    torch.testing.assert_close(ordered.surprise(codes), -ordered.code_log_probs(codes))


@pytest.mark.parametrize("layout", [LAYOUT, CodeLayout(num_embeddings=4, num_codebooks=2, grid=(4, 4, 4))])
def test_likely_codes_are_kept_and_unlikely_ones_drawn_anew(layout: CodeLayout) -> None:
    codes = some_codes(layout)
    ordered = TransformerPrior(layout=layout, width=8, layers=1, kernel_size=3, embedding_dim=4).eval()
    for prior in (masked(layout), ordered):
        assert torch.equal(prior.restore(codes, threshold=1e-30), codes)
        drawn = prior.restore(codes, n=3, threshold=1.0, generator=torch.Generator().manual_seed(0))
        assert drawn.shape == (6, *layout.shape)
        assert not torch.equal(drawn[:2], drawn[2:4])
        again = prior.restore(codes, n=3, threshold=1.0, generator=torch.Generator().manual_seed(0))
        assert torch.equal(drawn, again)
    once = masked(layout)
    few = once.restore(codes, threshold=0.2)
    changed = few != codes
    if layout.num_codebooks == 1:
        assert not changed[once.surprise(codes) < -torch.tensor(0.2).log() - 1e-4].any()
    assert changed.any()
    with pytest.raises(ValueError, match="threshold: expected a probability"):
        once.restore(codes, threshold=0.0)


def test_expected_vectors_are_means_over_all_codes() -> None:
    prior, codes, vectors = masked(), some_codes(), torch.randn(5, 3)
    expected = prior.expected_vectors(codes, vectors)
    (hidden, *_) = blocks_left_out(LAYOUT.grid, 1)
    shares = prior(codes, hidden=hidden.expand(2, -1)).softmax(dim=1)[:, :, 0]
    means = torch.einsum("bkhw,kd->bdhw", shares, vectors)
    torch.testing.assert_close(expected.flatten(2)[..., hidden], means.flatten(2)[..., hidden])
    with pytest.raises(ValueError, match="expected one code in each cell and 5 vectors, got 1 and 4"):
        prior.expected_vectors(codes, vectors[:4])
