import itertools
import math

import pytest
import torch

from voxlex.codes import CodeLayout
from voxlex.priors import Conditions, GatedPixelCNN

from .kinds import random_codes, small


def influence(prior, codes, cell):
    """Size of the gradient of one cell's logits with respect to the embedded code of every cell."""
    embedded = []

    def keep(module, args, output):
        output.retain_grad()
        embedded.append(output)

    hook = prior.embedding.register_forward_hook(keep)
    logits = prior(codes)[0, :, 0, *cell]
    hook.remove()
    (logits * torch.randn(len(logits), dtype=logits.dtype)).sum().backward()
    return embedded[0].grad[0].abs().sum(dim=-1)


@pytest.mark.parametrize(("kernel_size", "grid"), [(3, (5, 6)), (5, (5, 6)), (3, (3, 4, 5)), (5, (4, 3, 3))])
def test_a_cell_depends_on_every_earlier_cell_and_on_no_other(kernel_size, grid):
    # Deep enough for the first cell's code to reach the last row: a blind spot would show as a zero.
    prior = small(GatedPixelCNN, layers=6, kernel_size=kernel_size, grid=grid)
    codes = random_codes(prior, 1)
    order = torch.arange(math.prod(grid)).view(grid)
    corners = itertools.product(*[(0, side - 1) for side in grid])
    for cell in {*corners, tuple(side // 2 for side in grid), (1, *[0] * (len(grid) - 1))}:
        gradient = influence(prior, codes, cell)
        earlier = order < order[cell]
        assert (gradient[~earlier] == 0).all()
        assert (gradient[earlier] > 0).all()


def test_one_layer_already_sees_what_the_masked_pixelcnn_is_blind_to():
    prior = small(GatedPixelCNN, layers=1, grid=(6, 12))
    gradient = influence(prior, random_codes(prior, 1), (3, 2))
    # Up and far to the right: the cells that stacked masked convolutions never reach.
    assert (gradient[2, :6] > 0).all()
    assert (gradient[1, :7] > 0).all()

    prior = small(GatedPixelCNN, layers=1, grid=(3, 6, 6))
    gradient = influence(prior, random_codes(prior, 1), (2, 2, 2))
    # In the plane before: below and to the right.
    assert (gradient[1] > 0).all()


def test_it_learns_how_codes_depend_on_a_label_and_a_number():
    # The share of ones grows with the number under one label, and falls with it under the other.
    torch.manual_seed(0)
    conditions = Conditions.of({"label": ["up", "down"], "age": [20, 80]}, ["label", "age"])
    layout = CodeLayout(num_embeddings=2, grid=(4, 4))
    prior = GatedPixelCNN(layout=layout, conditions=conditions, width=16, layers=1, embedding_dim=4)
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(300):
        label, age = torch.randint(2, (64,)), torch.rand(64) * 2 - 1
        share = 0.5 + 0.4 * torch.where(label == 1, age, -age)
        codes = (torch.rand(64, 1, 4, 4) < share.view(-1, 1, 1, 1)).long()
        optimizer.zero_grad()
        prior.loss(codes, torch.stack([label.float(), age], dim=1)).backward()
        optimizer.step()
    wanted = {"label": ["up"] * 3 + ["down"] * 3, "age": [20, 50, 80] * 2}
    condition = conditions.encode(wanted).repeat_interleave(100, dim=0)
    shares = prior.sample(600, condition=condition, generator=torch.Generator().manual_seed(0)).double()
    expected = torch.tensor([0.1, 0.5, 0.9, 0.9, 0.5, 0.1]).double()
    torch.testing.assert_close(shares.view(6, -1).mean(dim=1), expected, atol=0.2, rtol=0)
