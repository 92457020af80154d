"""Code layouts: shapes, rates and refusals."""

import pytest
import torch

from voxlex.codes import CodeLayout, concatenate, for_each_level, from_levels, levels_of, rate_bpp, take
from voxlex.errors import CodesError

FINE = CodeLayout(num_embeddings=16, num_codebooks=2, grid=(4, 6))
COARSE = CodeLayout(num_embeddings=4, grid=(2, 3))


def test_a_layout_counts() -> None:
    assert FINE.shape == (2, 4, 6)
    assert (FINE.cells, FINE.codes_per_image, FINE.raw_bits) == (24, 48, 192.0)


def test_rates_sum_over_levels() -> None:
    assert rate_bpp([COARSE, FINE], pixels_per_image=96) == (6 * 2 + 192) / 96


@pytest.mark.parametrize("wrong", [{"num_embeddings": 0}, {"num_codebooks": 0}, {"grid": ()}, {"grid": (4, 0)}])
def test_an_empty_layout_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        CodeLayout(**({"num_embeddings": 2, "num_codebooks": 1, "grid": (2, 2)} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(1, 1, 4, 6, dtype=torch.int64), r"\(b, 2, 4, 6\)"),
        (torch.zeros(1, 2, 4, 6), r"whole numbers such as int64, got torch\.float32"),
        (torch.zeros(1, 2, 4, 6, dtype=torch.bool), r"whole numbers such as int64, got torch\.bool"),
        (torch.zeros(0, 2, 4, 6, dtype=torch.int64), "at least one"),
        (torch.full((1, 2, 4, 6), 16), "from 0 to 15, got 16"),
        (torch.full((1, 2, 4, 6), -1), "from 0 to 15, got -1"),
    ],
)
def test_codes_of_another_layout_are_refused(codes: torch.Tensor, message: str) -> None:
    with pytest.raises(CodesError, match=message):
        FINE.check(codes)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32, torch.int64])
def test_codes_of_every_type_of_whole_numbers_become_int64(dtype: torch.dtype) -> None:
    codes = torch.randint(16, (3, 2, 4, 6))
    checked = FINE.check(codes.to(dtype))
    assert checked.dtype == torch.int64
    assert torch.equal(checked, codes)


def test_one_level_stays_one_tensor() -> None:
    coarse, fine = torch.zeros(1, 1, 2, 3, dtype=torch.int64), torch.zeros(1, 2, 4, 6, dtype=torch.int64)
    FINE.check(fine)
    assert levels_of(fine) == (fine,)
    assert from_levels(levels_of(fine)) is fine
    assert from_levels([coarse, fine]) == (coarse, fine)


def test_batches_are_joined_and_taken_apart_level_by_level() -> None:
    codes = torch.arange(18).view(3, 1, 2, 3), torch.arange(144).view(3, 2, 4, 6)
    parts = [take(codes, slice(0, 1)), take(codes, [1, 2])]
    assert [tuple(level.shape) for level in parts[1]] == [(2, 1, 2, 3), (2, 2, 4, 6)]
    for level, expected in zip(concatenate(parts), codes, strict=True):
        assert torch.equal(level, expected)
    assert torch.equal(concatenate([take(codes[0], slice(0, 2)), take(codes[0], [2])]), codes[0])
    assert [int(level.max()) for level in for_each_level(lambda level: level + 1, codes)] == [18, 144]
