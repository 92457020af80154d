"""The stages in float64 and by another library; together they are one uniform grid."""

import pytest
import torch
from torch import Tensor
from vector_quantize_pytorch import ResidualFSQ

from voxlex.errors import CodesError
from voxlex.quantizers import ResidualFiniteScalarQuantizer

CASES = [((5, 5, 5, 5), 3), ((4, 4, 2), 2), ((3, 8), 1), ((2,), 10), ((7, 2, 6), 4)]
MANY = pytest.mark.parametrize(("levels", "stages"), CASES)


def stage_by_stage(z_e: Tensor, levels: tuple[int, ...], stages: int) -> tuple[Tensor, Tensor, Tensor]:
    """The level of each channel in each stage, their sum, and how far the nearest threshold is, in steps."""
    count = torch.tensor(levels).double().view(-1, *[1] * (z_e.ndim - 2))
    reach = count / (count - 1)
    rest = reach * torch.tanh(z_e.double() / reach)
    chosen, total, margin = [], torch.zeros_like(rest), torch.ones_like(rest)
    for stage in range(stages):
        scale = count**-stage
        place = (rest / scale + 1) * (count - 1) / 2
        index = place.round().clamp(min=0).minimum(count - 1)
        value = (2 * index / (count - 1) - 1) * scale
        chosen.append(index.long())
        total, rest = total + value, rest - value
        margin = margin.minimum((place - place.floor() - 0.5).abs() * scale)
    return torch.stack(chosen, dim=1), total, margin


def joined(levels: tuple[int, ...], chosen: Tensor) -> Tensor:
    basis = torch.tensor([1, *levels[:-1]]).cumprod(dim=0).view(-1, *[1] * (chosen.ndim - 3))
    return (chosen * basis).sum(dim=2)


@MANY
def test_codes_and_sums_are_those_of_each_stage_in_float64(levels: tuple[int, ...], stages: int) -> None:
    quantizer = ResidualFiniteScalarQuantizer(levels=levels, num_codebooks=stages)
    z_e = 2 * torch.randn(3, len(levels), 8, 9)
    chosen, total, margin = stage_by_stage(z_e, levels, stages)
    z_e = torch.where(margin > 1e-5, z_e, 0.3)  # no test may depend on the last bit
    chosen, total, margin = stage_by_stage(z_e, levels, stages)
    assert margin.min() > 1e-5
    quantized = quantizer(z_e)
    assert torch.equal(quantized.codes, joined(levels, chosen))
    torch.testing.assert_close(quantized.z_q.double(), total, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("levels", "stages"), [((5, 5, 5, 5), 3), ((4, 4, 2), 2), ((7, 2, 6), 4)])
def test_codes_and_sums_equal_those_of_vector_quantize_pytorch(levels: tuple[int, ...], stages: int) -> None:
    theirs = ResidualFSQ(levels=list(levels), num_quantizers=stages, dim=len(levels)).eval()
    quantizer = ResidualFiniteScalarQuantizer(levels=levels, num_codebooks=stages)
    z_e = 2 * torch.randn(1, len(levels), 40)
    margin = stage_by_stage(z_e, levels, stages)[2].amin(dim=1)[0]
    z_e = z_e[:, :, margin > 1e-5]
    z_q, codes = theirs(z_e.mT)
    quantized = quantizer(z_e)
    assert torch.equal(quantized.codes, codes.movedim(-1, 1).long())
    torch.testing.assert_close(quantized.z_q, z_q.mT, rtol=0, atol=1e-5)


@MANY
def test_the_gradient_is_that_of_the_bounded_values(levels: tuple[int, ...], stages: int) -> None:
    quantizer = ResidualFiniteScalarQuantizer(levels=levels, num_codebooks=stages)
    z_e, weight = torch.randn(2, len(levels), 6, requires_grad=True), torch.randn(2, len(levels), 6)
    (found,) = torch.autograd.grad((quantizer(z_e).z_q * weight).sum(), z_e)
    count = torch.tensor(levels).double().unsqueeze(1)
    expected = weight.double() * (1 - torch.tanh(z_e.detach().double() * (count - 1) / count).square())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@MANY
def test_the_sums_of_a_channel_are_one_uniform_grid_without_repetition(levels: tuple[int, ...], stages: int) -> None:
    quantizer = ResidualFiniteScalarQuantizer(levels=levels, num_codebooks=stages)
    count = levels[0]
    places = torch.cartesian_prod(*[torch.arange(count)] * stages).view(-1, stages)
    grid = quantizer.decode(places.mT.unsqueeze(0))[0, 0].double()
    top = count / (count - 1) * (1 - count**-stages)
    torch.testing.assert_close(grid, torch.linspace(-top, top, count**stages).double(), rtol=0, atol=1e-6)


@MANY
def test_every_level_of_every_stage_is_reached(levels: tuple[int, ...], stages: int) -> None:
    quantizer = ResidualFiniteScalarQuantizer(levels=levels, num_codebooks=stages)
    z_e = torch.zeros(1, len(levels), 20 * levels[0] ** stages)
    reach = levels[0] / (levels[0] - 1)
    z_e[0, 0] = reach * torch.linspace(-0.9999, 0.9999, z_e.shape[2]).double().atanh().float()
    codes = quantizer.encode(z_e)
    assert len(codes[0].unique(dim=1).t()) == levels[0] ** stages
    assert torch.equal(quantizer.decode(codes), quantizer(z_e).z_q)


def test_each_further_code_brings_the_result_nearer() -> None:
    quantizer = ResidualFiniteScalarQuantizer(levels=(5, 5, 5, 5), num_codebooks=4)
    z_e = torch.randn(2, 4, 7, 7)
    bounded, codes = quantizer.continuous(z_e), quantizer.encode(z_e)
    for count in range(1, 5):
        error = (quantizer.decode(codes[:, :count]) - bounded).abs()
        assert error.max() <= 5.0 ** (1 - count) / 4 + 1e-5  # half a cell


def test_examples_that_stop_early_decode_to_their_first_codes() -> None:
    quantizer = ResidualFiniteScalarQuantizer(levels=(5, 4, 3), num_codebooks=3, dropout=1.0)
    z_e = torch.randn(64, 3, 5)
    quantized = quantizer(z_e)
    assert torch.equal(quantized.codes, quantizer.encode(z_e))
    depths = [
        next(n for n in (1, 2, 3) if torch.allclose(quantizer.decode(codes[None, :n])[0], z_q, atol=1e-6))
        for codes, z_q in zip(quantized.codes, quantized.z_q, strict=True)
    ]
    assert set(depths) == {1, 2, 3}
    assert torch.equal(quantizer.eval()(z_e).z_q, quantizer.decode(quantized.codes))


@pytest.mark.parametrize(
    "changes", [{"levels": ()}, {"levels": (4, 1)}, {"levels": (2, 5), "num_codebooks": 9}, {"levels": (1000,) * 7}]
)
def test_refuses_levels_out_of_range(changes: dict) -> None:
    with pytest.raises(ValueError, match="levels: expected one number from 2 to"):
        ResidualFiniteScalarQuantizer(**({"num_codebooks": 1} | changes))


def test_refuses_other_arguments_out_of_range() -> None:
    for count in (0, 21):
        with pytest.raises(ValueError, match=f"num_codebooks: expected from 1 to 20, got {count}"):
            ResidualFiniteScalarQuantizer(num_codebooks=count)
    with pytest.raises(ValueError, match="dropout: expected a share from 0 to 1, got"):
        ResidualFiniteScalarQuantizer(dropout=1.5)
    with pytest.raises(CodesError, match=r"codes: expected shape \(b, 1 to 2, \*grid\)"):
        ResidualFiniteScalarQuantizer().decode(torch.zeros(1, 3, 2, dtype=torch.int64))
