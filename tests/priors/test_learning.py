"""What priors learn in a short training, and where they begin."""

import math

import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.priors import GatedPixelCNN, HierarchicalPrior, MaskedPrior, TransformerPrior
from voxlex.priors.grouped import GroupedSoftmax

from .kinds import LABELLED, labels, random_codes, seeded

SIZES = {
    GatedPixelCNN: {"width": 16, "layers": 2, "embedding_dim": 8},
    TransformerPrior: {"width": 32, "layers": 1, "heads": 2, "kernel_size": 3},
    MaskedPrior: {"width": 32, "layers": 1, "heads": 2, "kernel_size": 3},
}


def trained(prior, make_batch, steps):
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = prior.loss(*make_batch())
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GatedPixelCNN, TransformerPrior])
def test_it_learns_the_pattern_of_each_class(kind):
    # Rows of one class repeat along the row, those of the other down the columns; each code alone is uniform.
    def make_batch():
        condition = torch.randint(2, (32,))
        line = torch.randint(8, (32, 6))
        along, down = line[:, :, None].expand(-1, -1, 6), line[:, None, :].expand(-1, 6, -1)
        codes = torch.where(condition[:, None, None] == 0, along, down).unsqueeze(1)
        return codes, condition.float().unsqueeze(1)

    prior = kind(layout=CodeLayout(num_embeddings=8, grid=(6, 6)), conditions=LABELLED, **SIZES[kind])
    # Six free codes among the 36 of each image: 0.35 nats per code is all that is left to learn.
    assert trained(prior, make_batch, 150) < 0.3 * math.log(8)
    samples = prior.sample(8, condition=labels(*["a"] * 4, *["b"] * 4), generator=seeded())
    along, down = (samples.diff(dim=axis).eq(0).double().mean(dim=(1, 2, 3)) for axis in (3, 2))
    assert (along[:4] > 0.8).all()
    assert (down[4:] > 0.8).all()


@pytest.mark.parametrize("kind", SIZES)
def test_it_learns_what_the_coarse_level_says_of_the_fine_one(kind):
    # Each coarse code is repeated in the 2×2 fine cells below it.
    coarse, fine = CodeLayout(num_embeddings=8, grid=(2, 3)), CodeLayout(num_embeddings=8, grid=(4, 6))

    def make_batch():
        codes = torch.randint(8, (32, 1, 2, 3))
        return codes, codes.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    levels = [kind(layout=coarse, **SIZES[kind]), kind(layout=fine, context=[coarse], **SIZES[kind])]
    prior = HierarchicalPrior(levels=levels)
    # The six coarse codes are free, and the 24 fine ones follow from them.
    assert trained(prior, lambda: (make_batch(),), 100) < 0.3 * math.log(8)
    drawn, follows = prior.sample(20, generator=seeded())
    expected = drawn.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert (follows == expected).double().mean() > 0.9


def vectors_of(output):
    """Return the vector by which the logit of each code depends on the features."""
    if not isinstance(output, GroupedSoftmax):
        return output.weight
    return (output.weight + output.to_groups.weight.unsqueeze(1)).flatten(0, 1)[output.place]


@pytest.mark.parametrize("kind", SIZES)
def test_it_starts_with_codes_alike_that_have_similar_vectors(kind):
    layout = CodeLayout(num_embeddings=8, num_codebooks=2, grid=(6, 6))
    prior = kind(layout=layout, **SIZES[kind])
    codebook = torch.randn(2, 8, 4)
    codebook[:, 1] = codebook[:, 0] + 0.01
    prior.start(random_codes(prior, 5), codebook)
    outputs = [vectors_of(output[-1]) for output in prior.head.outputs]
    for vectors in (*prior.embedding.weight, *outputs, *(table.weight for table in prior.head.embeddings)):
        distances = torch.cdist(vectors, vectors)
        assert distances[0, 1] < 0.25 * distances[0, 2:].min()
