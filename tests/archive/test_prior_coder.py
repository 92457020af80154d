"""The prior as a coder: codes come back in any batch size, and another prior is noticed."""

from pathlib import Path

import numpy as np
import pytest
import torch

import voxlex
from voxlex.archive.coders import Coded, PriorCoder
from voxlex.archive.fitting import fit_tables
from voxlex.codes import CodeLayout
from voxlex.errors import ArchiveError, CodesError
from voxlex.priors import HierarchicalPrior, MaskedPrior, Prior, TransformerPrior

GOLDEN = Path(__file__).parent.parent / "golden"
LAYOUT = CodeLayout(num_embeddings=11, num_codebooks=2, grid=(4, 6))
COARSE = CodeLayout(num_embeddings=6, grid=(2, 3))


def prior_of(kind: str) -> Prior:
    sizes = {"width": 16, "layers": 1, "heads": 2}
    if kind == "halton":
        return MaskedPrior(layout=LAYOUT, order="halton", steps=5, **sizes).eval()
    if kind == "hierarchical":
        fine = TransformerPrior(layout=LAYOUT, context=[COARSE], **sizes)
        return HierarchicalPrior(levels=[TransformerPrior(layout=COARSE, **sizes), fine]).eval()
    return TransformerPrior(layout=LAYOUT, **sizes).eval()


def codes_of(prior: Prior, images: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, own.num_embeddings, (images, *own.shape)) for own in prior.layouts]


def coder_of(prior: Prior, *, batch: int = 32) -> PriorCoder:
    codes = codes_of(prior, 30)
    words = [np.random.default_rng(1).normal(size=(own.num_codebooks, own.num_embeddings, 3)) for own in prior.layouts]
    return PriorCoder(prior, fit_tables(codes, words), batch=batch)


@pytest.mark.parametrize("kind", ["transformer", "halton", "hierarchical"])
def test_codes_come_back_in_any_batch_size(kind: str) -> None:
    prior = prior_of(kind)
    coder = coder_of(prior)
    codes = codes_of(prior, 5)
    scans = [[level[:2] for level in codes], [level[2:] for level in codes]]
    coded = coder.encode(scans)
    grids = [layout.grid for layout in prior.layouts]
    for batch in (5, 2, 1):
        found = PriorCoder(prior, coder.tables, batch=batch).decode(coded, [grids, grids])
        for scan, own in zip(scans, found, strict=True):
            for one, other in zip(scan, own, strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_coarse_level_is_decoded_alone() -> None:
    prior = prior_of("hierarchical")
    coder, codes = coder_of(prior), codes_of(prior, 2)
    grids = [layout.grid for layout in prior.layouts]
    (found,) = coder.decode(coder.encode([codes]), [grids], levels=1)
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], codes[0])


def test_it_takes_about_as_many_bits_as_the_prior_says() -> None:
    vocabulary = voxlex.load(GOLDEN / "transformer")
    with np.load(GOLDEN / "expected" / "transformer.npz") as arrays:
        codes = arrays["encoded"]
    words = vocabulary.autoencoder.quantizers[0].codewords().numpy()
    assert vocabulary.prior is not None
    coder = PriorCoder(vocabulary.prior, fit_tables([codes], [words]))
    took = sum(len(own.streams[0][0]) for own in coder.encode([[codes[i : i + 1]] for i in range(len(codes))]))
    bits = -float(vocabulary.prior.log_prob(torch.from_numpy(codes)).detach().sum()) / np.log(2)
    assert took < 1.02 * bits / 8 + 3 * len(codes)


def test_other_probabilities_are_refused() -> None:
    prior = prior_of("transformer")
    coder, codes = coder_of(prior), codes_of(prior, 3)
    coded = coder.encode([codes])
    with torch.no_grad():
        for weight in prior.parameters():
            weight.mul_(1.01)
    with pytest.raises(CodesError, match="the prior does not compute the same here"):
        coder.decode(coded, [[LAYOUT.grid]])


def test_rounding_errors_change_nothing() -> None:
    prior = prior_of("transformer")
    coder, codes = coder_of(prior), codes_of(prior, 3)
    coded = coder.encode([codes])
    with torch.no_grad():
        for weight in prior.parameters():
            weight.mul_(1 + 1e-7)
    np.testing.assert_array_equal(coder.decode(coded, [[LAYOUT.grid]])[0][0], codes[0])


def test_a_prior_without_an_order_is_refused() -> None:
    prior = MaskedPrior(layout=LAYOUT, order="confidence", width=16, layers=1)
    with pytest.raises(ArchiveError, match="use --coder table"):
        coder_of(prior)


def test_damaged_bytes_are_refused() -> None:
    prior = prior_of("transformer")
    coder, codes = coder_of(prior), codes_of(prior, 1)
    ((_, images, streams, side),) = coder.encode([codes])
    for broken in (
        Coded("prior", images, streams, side[:-1]),
        Coded("prior", images, ((),), side),
        Coded("prior", images, ((streams[0][0][:4],),), side),
        Coded("prior", images, streams, bytes([side[0] ^ 128]) + side[1:]),
    ):
        with pytest.raises(CodesError):
            coder.decode([broken], [[LAYOUT.grid]])
