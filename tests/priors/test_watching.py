"""Looking on while images are drawn: it shows what is drawn, and changes nothing."""

import pytest
import torch

from voxlex.codes import levels_of

from .kinds import CASES, FEW, Case, labels, seeded


class Onlooker:
    """Keeps what it sees: the codes of each level that has begun, and which of them are drawn."""

    def __init__(self):
        self.seen = []

    def __call__(self, levels, known):
        copied = [[one.clone() for one in all_of] for all_of in (levels, known)]
        self.seen.append(list(zip(*copied, strict=True)))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_seen_is_what_comes_out(case: Case) -> None:
    prior, onlooker = case.prior(), Onlooker()
    drawn = levels_of(prior.sample(2, generator=seeded(), watch=onlooker))
    alone = levels_of(prior.sample(2, generator=seeded()))
    assert all(map(torch.equal, drawn, alone))
    counts = []
    for seen in onlooker.seen:
        for (codes, known), result in zip(seen, drawn, strict=False):
            assert codes.shape == result.shape
            assert known.shape == (2, *result.shape[2:])
            assert torch.equal(codes * known.unsqueeze(1), result * known.unsqueeze(1))
        counts.append(sum(int(known.sum()) for _, known in seen))
    assert counts == sorted(set(counts))
    assert len(counts) > 1
    assert counts[-1] == sum(level[:, 0].numel() for level in drawn)


@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_guided_image_is_seen_once(case: Case) -> None:
    prior, onlooker = case.prior(), Onlooker()
    options = {"condition": labels("a", "b"), "guidance": 2.0}
    drawn = levels_of(prior.sample(2, **options, generator=seeded(), watch=onlooker))
    assert all(map(torch.equal, drawn, levels_of(prior.sample(2, **options, generator=seeded()))))
    for (codes, known), result in zip(onlooker.seen[-1], drawn, strict=True):
        assert known.all()
        assert torch.equal(codes, result)
