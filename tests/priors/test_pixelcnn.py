import itertools
import math

import pandas as pd
import pytest
import torch

from voxlex.priors import Conditions, GatedPixelCNN


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
def test_a_cell_depends_on_every_earlier_cell_and_on_no_other(make_pixelcnn, random_codes, kernel_size, grid):
    # Deep enough for the first cell's code to reach the last row: a blind spot would show as a zero.
    prior = make_pixelcnn(layers=6, kernel_size=kernel_size, grid=grid)
    codes = random_codes(prior, 1)
    order = torch.arange(math.prod(grid)).view(grid)
    corners = itertools.product(*[(0, side - 1) for side in grid])
    for cell in {*corners, tuple(side // 2 for side in grid), (1, *[0] * (len(grid) - 1))}:
        gradient = influence(prior, codes, cell)
        earlier = order < order[cell]
        assert (gradient[~earlier] == 0).all()
        assert (gradient[earlier] > 0).all()


def test_a_code_depends_on_the_earlier_codes_of_its_cell_and_on_no_other_of_it(make_pixelcnn, random_codes):
    prior = make_pixelcnn(layers=1, num_codebooks=3)
    codes = random_codes(prior, 1)
    before = prior(codes)
    for depth in range(3):
        changed = codes.clone()
        changed[0, depth, 2, 3] = (changed[0, depth, 2, 3] + 1) % prior.num_embeddings
        moved = (prior(changed) != before)[0].any(dim=0)
        assert moved[:, 2, 3].tolist() == [other > depth for other in range(3)]
        assert moved[:, 2, 4].all()
        assert not moved[:, :2].any()
        assert not moved[:, 2, :3].any()


def test_one_layer_already_sees_what_the_masked_pixelcnn_is_blind_to(make_pixelcnn, random_codes):
    prior = make_pixelcnn(layers=1, grid=(6, 12))
    gradient = influence(prior, random_codes(prior, 1), (3, 2))
    # Up and far to the right: the cells that stacked masked convolutions never reach.
    assert (gradient[2, :6] > 0).all()
    assert (gradient[1, :7] > 0).all()

    prior = make_pixelcnn(layers=1, grid=(3, 6, 6))
    gradient = influence(prior, random_codes(prior, 1), (2, 2, 2))
    # In the plane before: below and to the right.
    assert (gradient[1] > 0).all()


@pytest.mark.parametrize(
    ("num_codebooks", "grid"), [(1, (2, 3)), (2, (3, 1)), (3, (1, 2)), (1, (2, 1, 3)), (1, (1, 3, 2))]
)
def test_probabilities_of_all_grids_sum_to_one(make_pixelcnn, every_grid, labelled, num_codebooks, grid):
    prior = make_pixelcnn(num_embeddings=3, grid=grid, num_codebooks=num_codebooks, conditions=labelled)
    every = every_grid(prior)
    for condition in (None, torch.zeros(len(every), 1)):
        total = prior.log_prob(every, condition).exp().sum()
        assert total.item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("num_codebooks", [1, 3])
def test_log_prob_is_the_sum_of_teacher_forced_log_softmax(make_pixelcnn, random_codes, labelled, num_codebooks):
    prior = make_pixelcnn(conditions=labelled, num_codebooks=num_codebooks)
    codes, condition = random_codes(prior, 3), labelled.encode({"label": ["a", "b", ""]})
    logits = prior(codes, condition)
    assert logits.shape == (3, 5, num_codebooks, 5, 6)
    expected = torch.zeros(3, dtype=torch.float64)
    for image in range(3):
        for place in itertools.product(range(num_codebooks), range(5), range(6)):
            scores = logits[image, :, *place]
            expected[image] += scores[codes[image, *place]] - scores.exp().sum().log()
    torch.testing.assert_close(prior.log_prob(codes, condition), expected)


def test_images_of_a_batch_do_not_see_each_other(make_pixelcnn, random_codes, labelled):
    prior = make_pixelcnn(conditions=labelled)
    codes, condition = random_codes(prior, 3), labelled.encode({"label": ["a", "b", ""]})
    alone = torch.cat([prior.log_prob(codes[i : i + 1], condition[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(prior.log_prob(codes, condition), alone)


def test_a_class_changes_the_distribution(make_pixelcnn, random_codes, labelled):
    prior = make_pixelcnn(conditions=labelled)
    codes = random_codes(prior, 1)
    scores = [prior.log_prob(codes, labelled.encode({"label": [label]})).item() for label in ("a", "b", "")]
    assert len({round(score, 6) for score in scores}) == 3


def test_it_learns_how_codes_depend_on_a_label_and_a_number():
    # The share of ones grows with the number under one label, and falls with it under the other.
    torch.manual_seed(0)
    table = pd.DataFrame({"label": ["up", "down"], "age": [20, 80]})
    conditions = Conditions.of(table, ["label", "age"])
    prior = GatedPixelCNN(num_embeddings=2, grid=(4, 4), conditions=conditions, width=16, layers=1, embedding_dim=4)
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


def test_it_learns_the_pattern_of_each_class():
    # Rows of one class repeat along the row, those of the other down the columns; each code alone is uniform.
    torch.manual_seed(0)
    prior = GatedPixelCNN(
        num_embeddings=8,
        grid=(6, 6),
        conditions=Conditions.of(pd.DataFrame({"label": ["along", "down"]}), ["label"]),
        width=16,
        layers=2,
        embedding_dim=8,
        condition_dropout=0.1,
    )
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(150):
        condition = torch.randint(2, (32,))
        line = torch.randint(8, (32, 6))
        along, down = line[:, :, None].expand(-1, -1, 6), line[:, None, :].expand(-1, 6, -1)
        codes = torch.where(condition[:, None, None] == 0, along, down).unsqueeze(1)
        optimizer.zero_grad()
        loss = prior.loss(codes, condition.float().unsqueeze(1))
        loss.backward()
        optimizer.step()
    # Six free codes among the 36 of each image: 0.35 nats per code is all that is left to learn.
    assert loss.item() < 0.3 * math.log(8)
    condition = prior.conditions.encode({"label": ["along"] * 4 + ["down"] * 4})
    samples = prior.sample(8, condition=condition, generator=torch.Generator().manual_seed(0))
    along, down = (samples.diff(dim=axis).eq(0).double().mean(dim=(1, 2, 3)) for axis in (3, 2))
    assert (along[:4] > 0.8).all()
    assert (down[4:] > 0.8).all()


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_it_starts_from_the_marginals_and_the_codebook(random_codes, num_codebooks):
    prior = GatedPixelCNN(num_embeddings=8, grid=(6, 6), num_codebooks=num_codebooks, width=16, layers=2)
    codes = random_codes(prior, 50)
    codes[:, 0].clamp_(max=3)
    codebook = torch.randn(num_codebooks, 8, 4)
    codebook[:, 1] = codebook[:, 0] + 0.01
    prior.start(codes, codebook)

    nats = -prior.code_log_probs(codes).mean(dim=(0, 2, 3))
    for depth, chosen in enumerate(codes.unbind(dim=1)):
        frequencies = torch.bincount(chosen.flatten(), minlength=8) / chosen.numel()
        assert nats[depth].item() == pytest.approx(torch.special.entr(frequencies).sum().item(), rel=0.25)
    outputs = [output[-1].weight for output in prior.head.outputs]
    for vectors in (*prior.embedding.weight, *outputs, *(table.weight for table in prior.head.embeddings)):
        distances = torch.cdist(vectors, vectors)
        assert distances[0, 1] < 0.25 * distances[0, 2:].min()


def test_a_codebook_of_another_size_is_refused(make_pixelcnn, random_codes):
    prior = make_pixelcnn(num_codebooks=2)
    with pytest.raises(ValueError, match=r"codebook \(q, k, d\) = \(2, 5, d\), got"):
        prior.start(random_codes(prior, 1), torch.randn(2, 6, 4))


def test_weights_travel_by_state_dict(make_pixelcnn, random_codes, labelled):
    prior = make_pixelcnn(conditions=labelled)
    other = GatedPixelCNN(
        num_embeddings=5, grid=(5, 6), conditions=labelled, width=6, layers=2, kernel_size=3, embedding_dim=3
    ).double()
    other.load_state_dict(prior.state_dict())
    other.eval()
    codes = random_codes(prior, 2)
    assert torch.equal(other.log_prob(codes), prior.log_prob(codes))
    draws = [p.sample(2, generator=torch.Generator().manual_seed(0)) for p in (prior, other)]
    assert torch.equal(*draws)


def test_dropout_acts_in_training_only(make_pixelcnn, random_codes):
    prior = make_pixelcnn(dropout=0.5)
    codes = random_codes(prior, 1)
    assert prior.loss(codes).item() == prior.loss(codes).item()
    prior.train()
    assert prior.loss(codes).item() != prior.loss(codes).item()


@pytest.mark.parametrize(
    "changes",
    [
        {"grid": (4,)},
        {"grid": (4, 4, 4, 4)},
        {"num_codebooks": 0},
        {"kernel_size": 4},
        {"kernel_size": 1},
        {"width": 0},
        {"layers": 0},
        {"embedding_dim": 0},
    ],
)
def test_options_out_of_range_are_refused(make_pixelcnn, changes):
    with pytest.raises(ValueError, match="not"):
        make_pixelcnn(**changes)
