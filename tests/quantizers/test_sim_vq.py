import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from voxlex.quantizers.sim_vq import SimVQ


def correlated(n: int, *, scale: float = 1.0) -> Tensor:
    """Latents (1, 4, n) with a mean far from 0 and different variances along oblique axes."""
    mixing = torch.tensor([[1.0, 0.5, 0.0, 0.0], [0.0, 2.0, 0.0, 0.3], [0.0, 0.0, 0.1, 0.0], [0.2, 0.0, 0.0, 1.0]])
    return scale * (mixing @ torch.randn(1, 4, n) + torch.tensor([5.0, -3.0, 0.0, 1.0]).view(4, 1))


def test_codewords_are_an_affine_map_of_the_frozen_codebook() -> None:
    quantizer = SimVQ(num_embeddings=32, embedding_dim=4)
    quantizer(correlated(100))
    expected = quantizer.frozen @ quantizer.weight + quantizer.offset
    torch.testing.assert_close(quantizer.codewords()[0], expected.detach())
    assert {name for name, _ in quantizer.named_parameters()} == {"weight", "offset"}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_starts_with_the_mean_and_covariance_of_the_latents(scale: float) -> None:
    z_e = correlated(4096, scale=scale)
    quantizer = SimVQ(num_embeddings=4096, embedding_dim=4)
    quantizer(z_e)
    covariance = quantizer.weight.detach().t() @ quantizer.weight.detach()
    torch.testing.assert_close(covariance / scale**2, torch.cov(z_e[0], correction=0) / scale**2, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(quantizer.offset.detach(), z_e.mean(dim=(0, 2)), atol=1e-4 * scale, rtol=1e-4)


def test_starts_once_and_in_training_only() -> None:
    quantizer = SimVQ(num_embeddings=32, embedding_dim=4).eval()
    before = quantizer.codewords()
    quantizer(correlated(100))
    quantizer.encode(correlated(100))
    assert torch.equal(quantizer.codewords(), before)
    quantizer.train()(correlated(100))
    started = quantizer.codewords()
    assert not torch.equal(started, before)
    quantizer(correlated(100))
    assert torch.equal(quantizer.codewords(), started)
    restored = SimVQ(num_embeddings=32, embedding_dim=4)
    restored.load_state_dict(quantizer.state_dict())
    restored(correlated(100))
    assert torch.equal(restored.codewords(), started)


@pytest.mark.filterwarnings("ignore:latents")
@pytest.mark.parametrize("z_e", [torch.zeros(1, 4, 10), torch.ones(1, 4, 1), torch.full((1, 4, 10), 1e30)])
def test_waits_for_latents_that_differ(z_e: Tensor) -> None:
    quantizer = SimVQ(num_embeddings=32, embedding_dim=4)
    assert quantizer(z_e).z_q.isfinite().all()
    assert not quantizer.started
    quantizer(correlated(100))
    assert quantizer.started
    assert quantizer.codewords().isfinite().all()


def test_start_leaves_no_direction_flat() -> None:
    z_e = correlated(100)
    z_e[:, 2] = 7.0
    quantizer = SimVQ(num_embeddings=32, embedding_dim=4)
    quantizer(z_e)
    deviations = torch.linalg.svdvals(quantizer.weight.detach())
    assert deviations[-1] == pytest.approx(0.01 * float(deviations[0]), rel=1e-3)


def test_losses_are_those_of_the_paper() -> None:
    quantizer = SimVQ(num_embeddings=32, embedding_dim=4, commitment_cost=0.5, codebook_cost=2.0).eval()
    z_e = torch.randn(2, 4, 3, 3, requires_grad=True)
    quantized = quantizer(z_e)
    vectors = z_e.detach().movedim(1, -1).reshape(-1, 4)
    nearest = torch.cdist(vectors.double(), quantizer.frozen.double()).argmin(dim=1)
    assert torch.equal(quantized.codes.flatten(), nearest)
    distance = F.mse_loss(vectors, quantizer.frozen[nearest])
    torch.testing.assert_close(quantized.losses["commitment"], 0.5 * distance)
    torch.testing.assert_close(quantized.losses["codebook"], 2.0 * distance)
    gradients = torch.autograd.grad(quantized.losses["commitment"], [z_e, quantizer.weight], allow_unused=True)
    torch.testing.assert_close(gradients[0], 0.5 * 2 * (z_e - quantized.z_q).detach() / z_e.numel())
    assert gradients[1] is None
    gradients = torch.autograd.grad(quantized.losses["codebook"], [quantizer.weight, z_e], allow_unused=True)
    residuals = quantizer.frozen[nearest] - vectors
    torch.testing.assert_close(gradients[0], 2.0 * 2 * quantizer.frozen[nearest].t() @ residuals / z_e.numel())
    assert gradients[1] is None


@pytest.mark.parametrize("gradient", ["straight_through", "rotation"])
def test_keeps_most_codewords_in_use_while_latents_drift(gradient: str) -> None:
    centres = 2 * torch.randn(64, 8)
    quantizer = SimVQ(num_embeddings=256, embedding_dim=8, gradient=gradient)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=5e-3)

    def latents(step: int) -> Tensor:
        vectors = centres[torch.randint(64, (1024,))] + 0.7 * torch.randn(1024, 8)
        return ((1 + step / 100) * vectors + step / 100).t().unsqueeze(0)

    for step in range(100):
        optimizer.zero_grad()
        quantizer(latents(step)).loss.backward()
        optimizer.step()
    codes = torch.cat([quantizer.eval()(latents(99)).codes.flatten() for _ in range(8)])
    assert len(codes.unique()) >= 0.8 * 256


def test_refuses_negative_costs() -> None:
    with pytest.raises(ValueError, match="commitment_cost: expected at least 0"):
        SimVQ(commitment_cost=-1.0)
    with pytest.raises(ValueError, match="codebook_cost: expected at least 0"):
        SimVQ(codebook_cost=-1.0)
