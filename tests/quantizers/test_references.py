"""One step, or a few, beside other libraries where they mean the same, and beside the formula where they are wrong."""

import pytest
import torch
from monai.networks.layers.vector_quantizer import EMAQuantizer
from torch import Tensor
from torch.nn import functional as F
from vector_quantize_pytorch import ResidualVQ, VectorQuantize
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

from voxlex.quantizers import ResidualQuantizer, VectorQuantizer
from voxlex.quantizers.gradients import rotation

K, D = 16, 4


def ours(codewords: Tensor, *, counts: float, decay: float) -> VectorQuantizer:
    """A quantizer with given codewords whose averages are as if they had run for long."""
    quantizer = VectorQuantizer(num_embeddings=K, embedding_dim=D, decay=decay, revival_threshold=0.0)
    codebook = quantizer.codebook
    codebook.started.fill_(True)
    codebook.steps.fill_(10**6)  # the decay has risen to its final value
    codebook.embeddings.copy_(codewords)
    codebook.sums.copy_(codewords)
    codebook.counts.fill_(counts)
    return quantizer


def test_ema_steps_equal_those_of_vector_quantize_pytorch() -> None:
    settings = {"decay": 0.8, "eps": 1e-12, "rotation_trick": False, "commitment_weight": 0.25}
    theirs = VectorQuantize(dim=D, codebook_size=K, **settings).train()
    quantizer = ours(theirs._codebook.embed[0], counts=1.0, decay=0.8)
    for _ in range(5):
        z_e = 0.3 * torch.randn(2, D, 20)
        quantized, (z_q, codes, loss) = quantizer(z_e), theirs(z_e.mT)
        assert torch.equal(quantized.codes[:, 0], codes)
        torch.testing.assert_close(quantized.z_q, z_q.mT)
        torch.testing.assert_close(quantized.losses["commitment"], loss.squeeze())
        torch.testing.assert_close(quantizer.codewords()[0], theirs._codebook.embed[0], rtol=1e-4, atol=1e-5)


def test_an_ema_step_equals_that_of_monai_for_codewords_in_use() -> None:
    theirs = EMAQuantizer(
        spatial_dims=2, num_embeddings=K, embedding_dim=D, decay=0.99, epsilon=1e-12, commitment_cost=0.25
    ).train()
    before = theirs.embedding.weight.detach().clone()
    quantizer = ours(before, counts=0.0, decay=0.99)
    z_e = 0.1 * torch.randn(2, D, 6, 5)
    quantized, (z_q, loss, codes) = quantizer(z_e), theirs(z_e)
    assert torch.equal(quantized.codes[:, 0], codes)
    torch.testing.assert_close(quantized.z_q, z_q)
    torch.testing.assert_close(quantized.loss, loss)
    used = torch.bincount(codes.flatten(), minlength=K) > 0
    assert 0 < int(used.sum()) < K
    torch.testing.assert_close(quantizer.codewords()[0, used], theirs.embedding.weight[used], rtol=1e-4, atol=1e-5)
    # There the two part: MONAI divides the codewords that were not used by a count of almost nothing.
    assert torch.equal(quantizer.codewords()[0, ~used], before[~used])
    assert (theirs.embedding.weight[~used].norm(dim=1) > 1e6 * before[~used].norm(dim=1)).all()


def test_residual_codes_and_sums_equal_those_of_vector_quantize_pytorch() -> None:
    theirs = ResidualVQ(dim=D, num_quantizers=3, codebook_size=K).eval()
    stages = []
    for layer in theirs.layers:
        stages.append(VectorQuantizer(num_embeddings=K, embedding_dim=D))
        stages[-1].codebook.embeddings.copy_(layer._codebook.embed[0])
    z_e = torch.randn(2, 20, D)
    quantized, (z_q, codes, _) = ResidualQuantizer(stages=stages).eval()(z_e.mT), theirs(z_e)
    assert torch.equal(quantized.codes, codes.movedim(-1, 1))
    torch.testing.assert_close(quantized.z_q, z_q.mT)


def test_the_encoder_gets_the_gradient_of_a_residual_sum_once() -> None:
    quantizer = ResidualQuantizer(stages=[VectorQuantizer(num_embeddings=K, embedding_dim=D) for _ in range(3)])
    z_e, weight = torch.randn(2, D, 20, requires_grad=True), torch.randn(2, D, 20)
    (quantizer(z_e).z_q * weight).sum().backward()
    assert torch.equal(z_e.grad, weight)
    # vector-quantize-pytorch passes it once for each stage.
    theirs = ResidualVQ(dim=D, num_quantizers=3, codebook_size=K, rotation_trick=False).train()
    z_e = torch.randn(2, 20, D, requires_grad=True)
    theirs(z_e)[0].sum().backward()
    torch.testing.assert_close(z_e.grad, torch.full_like(z_e, 3.0))


def turned_gradient(z_e: Tensor, z_q: Tensor, gradient: Tensor) -> Tensor:
    """λRᵀg in float64, with the matrix R written out, for one vector."""
    z_e, z_q, gradient = z_e.double(), z_q.double(), gradient.double()
    e, q = F.normalize(z_e, dim=0), F.normalize(z_q, dim=0)
    r = F.normalize(e + q, dim=0)
    matrix = torch.eye(len(e)).double() - 2 * torch.outer(r, r) + 2 * torch.outer(q, e)
    torch.testing.assert_close(matrix @ e, q)
    return z_q.norm() / z_e.norm() * matrix.t() @ gradient


def test_the_rotation_gradient_equals_the_formula_and_vector_quantize_pytorch() -> None:
    z_e, z_q, weight = (torch.randn(50, D) for _ in range(3))
    z_e.requires_grad_()
    z_hat = rotation(z_e, z_q)
    assert torch.equal(z_hat, z_q)
    (gradient,) = torch.autograd.grad((z_hat * weight).sum(), z_e)
    expected = torch.stack([turned_gradient(*row) for row in zip(z_e.detach(), z_q, weight, strict=True)])
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-5)
    (theirs,) = torch.autograd.grad((rotate_to(z_e, z_q) * weight).sum(), z_e)
    torch.testing.assert_close(gradient, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotation_passes_zero_and_opposite_vectors(dtype: torch.dtype) -> None:
    z_e = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1e-20]], dtype=dtype, requires_grad=True)
    z_q = torch.tensor([[1.0, 2.0], [0.0, 0.0], [-2.0, 0.0], [-2.0, 1e-7], [0.0, 3e-20]], dtype=dtype)
    weight = torch.tensor([3.0, 4.0], dtype=dtype).expand_as(z_e)
    z_hat = rotation(z_e, z_q)
    assert torch.equal(z_hat, z_q)
    (gradient,) = torch.autograd.grad((z_hat * weight).sum(), z_e)
    straight = gradient[:2]
    assert torch.equal(straight, weight[:2])  # a zero vector has no direction to turn
    torch.testing.assert_close(gradient[2].float(), torch.tensor([-6.0, 8.0]))  # mirrored, twice as long
    torch.testing.assert_close(gradient[3:].float().norm(dim=1), torch.tensor([10.0, 15.0]), rtol=1e-2, atol=1e-2)


def test_a_quantizer_passes_its_gradient_as_it_was_told() -> None:
    z_e, weight = torch.randn(1, D, 9, requires_grad=True), torch.randn(1, D, 9)
    gradients = {}
    for gradient in ("straight_through", "rotation"):
        quantizer = VectorQuantizer(num_embeddings=K, embedding_dim=D, gradient=gradient).eval()
        (gradients[gradient],) = torch.autograd.grad((quantizer(z_e).z_q * weight).sum(), z_e)
    assert torch.equal(gradients["straight_through"], weight)
    assert not torch.allclose(gradients["rotation"], weight)
