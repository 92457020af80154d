import pytest
import torch
from vector_quantize_pytorch import FSQ

from voxlex.quantizers.finite_scalar import FiniteScalarQuantizer

LEVELS = [(8, 5, 5, 5), (8, 8, 8, 6, 5), (3, 4), (7,)]


@pytest.mark.parametrize("levels", LEVELS)
def test_forward_backward_and_codes_are_those_of_vector_quantize_pytorch(levels: tuple[int, ...]) -> None:
    z_e = (3 * torch.randn(2, len(levels), 6, 7)).requires_grad_()
    weight = torch.randn(2, len(levels), 6, 7)
    quantized = FiniteScalarQuantizer(levels=levels)(z_e)
    gradient = torch.autograd.grad((quantized.z_q * weight).sum(), z_e)[0]
    expected, codes = FSQ(levels=list(levels))(z_e)
    expected_gradient = torch.autograd.grad((expected * weight).sum(), z_e)[0]
    torch.testing.assert_close(quantized.z_q, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(gradient, expected_gradient)
    assert torch.equal(quantized.codes[:, 0], codes.long())


@pytest.mark.parametrize(("levels", "expected"), [((8,), 0.858), ((5,), 1.001)])
def test_gradient_at_zero(levels: tuple[int, ...], expected: float) -> None:
    z_e = torch.zeros(1, 1, 1, 1, requires_grad=True)
    FiniteScalarQuantizer(levels=levels)(z_e).z_q.sum().backward()
    assert z_e.grad is not None
    assert z_e.grad.item() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("levels", [*LEVELS, (2, 2, 3), (1000,)])
def test_every_code_is_reached_and_decodes_to_its_own_levels(levels: tuple[int, ...]) -> None:
    quantizer = FiniteScalarQuantizer(levels=levels)
    axes = [torch.atanh(torch.linspace(-0.9999, 0.9999, 50 * count).double()).float() for count in levels]
    for channel, (axis, count) in enumerate(zip(axes, levels, strict=True)):
        z_e = torch.zeros(1, len(levels), len(axis))
        z_e[0, channel] = axis
        quantized = quantizer(z_e)
        assert len(quantized.codes.unique()) == count
        assert torch.equal(quantizer.decode(quantized.codes), quantized.z_q)
    codewords = quantizer.codewords()
    assert codewords.shape == (1, quantizer.num_embeddings, len(levels))
    assert len(codewords[0].unique(dim=0)) == quantizer.num_embeddings
    assert codewords.abs().max() == 1


@pytest.mark.parametrize("levels", [(17, 17), (3, 5, 7, 9), (4, 8), (2,)])
def test_the_sigmoid_bound_is_that_of_ifsq(levels: tuple[int, ...]) -> None:
    z_e, weight = (2 * torch.randn(2, len(levels), 9, 9)).requires_grad_(), torch.randn(2, len(levels), 9, 9)
    quantizer = FiniteScalarQuantizer(levels=levels, bound="sigmoid")
    count = torch.tensor(levels).double().view(-1, 1, 1)
    exact = z_e.detach().double().requires_grad_()
    # Even numbers of levels, which the paper does not use, are moved by half a step. The margin is that of FSQ.
    steps = (2 * torch.sigmoid(1.6 * exact) - 1) * (count - 1) * 1.001 / 2 - (count % 2 == 0) * 0.5
    far = ((steps - steps.floor() - 0.5).abs() > 1e-4).detach()
    half = count // 2
    quantized = quantizer(z_e)
    torch.testing.assert_close(quantized.z_q.double()[far], (steps.round() / half)[far].detach())
    torch.testing.assert_close(quantizer.continuous(z_e).double(), (steps / half).detach(), rtol=0, atol=1e-6)
    (found,) = torch.autograd.grad((quantized.z_q * weight).sum(), z_e)
    (expected,) = torch.autograd.grad((steps / half * weight).sum(), exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


def test_the_sigmoid_bound_spreads_normal_latents_more_evenly_than_tanh() -> None:
    shares = torch.linspace(0, 1, 10_001, dtype=torch.float64)[1:-1]
    normal = torch.special.ndtri(shares).float().view(1, 1, -1)  # as if drawn from N(0, 1)
    distances = {}
    for bound in ("sigmoid", "tanh"):
        values = FiniteScalarQuantizer(levels=(17,), bound=bound).continuous(normal).flatten()
        distances[bound] = ((values.double() + 1) / 2 - shares).abs().max()  # Kolmogorov-Smirnov, from even values
    assert distances["sigmoid"] < 0.02
    assert distances["tanh"] > 0.04
    codes = FiniteScalarQuantizer(levels=(8,), bound="sigmoid").encode(normal)
    uses = torch.bincount(codes.flatten(), minlength=8) * 7 / len(shares)
    torch.testing.assert_close(uses[1:-1], torch.ones(6), rtol=0, atol=0.1)


def test_two_levels_part_at_zero() -> None:
    z_e = torch.tensor([-1.0, -0.1, 0.1, 1.0]).view(1, 1, 4).requires_grad_()
    quantized = FiniteScalarQuantizer(levels=(2,))(z_e)
    assert quantized.codes.flatten().tolist() == [0, 0, 1, 1]
    quantized.z_q.sum().backward()
    assert z_e.grad is not None
    assert z_e.grad.min() > 0.2


def test_the_unrounded_values_round_to_the_quantized_ones() -> None:
    quantizer = FiniteScalarQuantizer(levels=(8, 5, 5, 5))
    z_e = torch.randn(2, 4, 3, 4, 5).mul(2).requires_grad_()
    continuous, z_q = quantizer.continuous(z_e), quantizer(z_e).z_q
    half_steps = 0.5 / torch.tensor([4, 2, 2, 2]).view(4, 1, 1, 1)
    assert ((continuous - z_q).abs() <= half_steps + 1e-6).all()
    gradients = [torch.autograd.grad(values.square().sum(), z_e)[0] for values in (continuous, z_q)]
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_precision_survives_a_cast_of_the_module() -> None:
    z_e = torch.randn(2, 2, 50, dtype=torch.bfloat16)
    quantizer = FiniteScalarQuantizer(levels=(999, 1000))
    expected = quantizer.encode(z_e)
    assert torch.equal(quantizer.bfloat16().encode(z_e), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quantizer(z_e).codes, expected)


@pytest.mark.parametrize("levels", [(), (8, 1), (8, 0), (1001,), (1000,) * 7])
def test_refuses_levels_out_of_range(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="levels: expected one number from 2 to 1000"):
        FiniteScalarQuantizer(levels=levels)
