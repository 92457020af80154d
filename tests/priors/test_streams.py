"""Random numbers of an image depend on the seed and on its key alone."""

import pytest
import torch

from voxlex.streams import Streams, streams_for

from .kinds import seeded


def test_the_numbers_of_an_image_are_the_same_whichever_images_are_beside_it():
    together = Streams(5, range(4)).take(3000)
    assert torch.equal(Streams(5, [2]).take(3000), together[2:3])
    assert torch.equal(Streams(5, [3, 1]).take(3000), together[[3, 1]])


def test_numbers_come_in_order_however_many_are_taken_at_a_time():
    expected = Streams(0, range(2)).take(5000)
    streams = Streams(0, range(2))
    taken = [streams.take(count) for count in (1, 1022, 3, 0, 2900, 1074)]
    assert torch.equal(torch.cat(taken, dim=1), expected)


def test_streams_of_other_seeds_keys_and_parts_differ():
    seeds = [Streams(seed, [0, 1]) for seed in (0, 1, 2**32, 2**63, -1)]
    divided = [Streams(0, [0, 1]).divided(3), Streams(0, [0, 1]).divided(3).divided(2)]
    numbers = torch.cat([streams.take(1) for streams in (*seeds, *divided)])
    assert len(numbers.unique()) == 10 + 6 + 12
    assert torch.equal(Streams(0, [4]).divided(1).take(1), Streams(0, [4]).take(1))


def test_numbers_are_uniform_and_independent():
    # 40 000 pairs in 256 fields: χ² of 255 degrees of freedom has mean 255 and standard deviation 22.6.
    for pairs in (Streams(0, range(200)).take(400).reshape(-1, 2), Streams(0, range(40_000)).take(2)):
        fields = torch.bincount((16 * (16 * pairs[:, 0]).floor() + (16 * pairs[:, 1]).floor()).long(), minlength=256)
        expected = len(pairs) / 256
        assert 160 < ((fields - expected).square() / expected).sum() < 350


def test_a_generator_seeds_streams_and_moves_on():
    generator = seeded(3)
    first, second = (streams_for(3, generator, device=torch.device("cpu")).take(4) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(streams_for(2, seeded(3), device=torch.device("cpu")).take(4), first[:2])


def test_another_number_of_streams_is_refused():
    with pytest.raises(ValueError, match="generator: expected a stream for each of 3 images, got 2"):
        streams_for(3, Streams(0, range(2)), device=torch.device("cpu"))
