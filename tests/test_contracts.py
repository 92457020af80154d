"""What every quantizer promises, whatever its kind, in two and three dimensions, in float32 and bfloat16."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kinds import KINDS
from voxlex.errors import CodesError
from voxlex.quantizers import Quantizer

GRIDS = [(6, 5), (3, 4, 5)]
DTYPES = [torch.float32, torch.bfloat16]
FIXED = {"finite scalar", "lookup free", "lookup free, spherical"}
"""Kinds whose codewords follow a rule."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def quantizer(kind: str) -> Quantizer:
    return KINDS[kind]()


def latents(grid: tuple[int, ...], dtype: torch.dtype = torch.float32, batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, *grid).to(dtype)


def trained(quantizer: Quantizer, grid: tuple[int, ...] = (6, 5)) -> Quantizer:
    """Let a quantizer see a few batches, then put it into eval mode."""
    for _ in range(3):
        quantizer(latents(grid))
    return quantizer.eval()


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def unchanged(module: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("grid", GRIDS, ids=("2D", "3D"))
@pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "bfloat16"))
def test_decoding_the_codes_gives_the_quantized_latents_exactly(
    quantizer: Quantizer, grid: tuple[int, ...], dtype: torch.dtype
) -> None:
    z_e = latents(grid, dtype)
    quantized = trained(quantizer, grid)(z_e)
    assert quantized.codes.shape == (2, quantizer.num_codebooks, *grid)
    assert quantized.z_q.dtype == dtype
    decoded = quantizer.decode(quantized.codes)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded.to(dtype), quantized.z_q)
    assert torch.equal(quantizer.encode(z_e), quantized.codes)


@pytest.mark.parametrize("grid", GRIDS, ids=("2D", "3D"))
@pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "bfloat16"))
def test_the_gradient_reaches_the_encoder(quantizer: Quantizer, grid: tuple[int, ...], dtype: torch.dtype) -> None:
    z_e = latents(grid, dtype).requires_grad_()
    (gradient,) = torch.autograd.grad((quantizer(z_e).z_q.float() * torch.randn(2, 4, *grid)).sum(), z_e)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
    assert (gradient != 0).double().mean() > 0.3


def test_the_losses_have_finite_gradients(quantizer: Quantizer) -> None:
    for _ in range(3):
        z_e = latents((6, 5)).requires_grad_()
        quantized = quantizer(z_e)
        (quantized.z_q.sum() + quantized.loss).backward()
        assert z_e.grad is not None
        assert z_e.grad.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in quantizer.parameters())


def train_a_step(quantizer: Quantizer) -> None:
    """One step of gradient descent, if there is anything to descend on."""
    parameters = list(quantizer.parameters())
    quantized = quantizer(latents((6, 5)).requires_grad_())
    ((quantized.z_q * torch.randn_like(quantized.z_q)).sum() + quantized.loss).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
    if parameters:
        torch.optim.SGD(parameters, lr=0.1).step()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - FIXED))
def test_every_parameter_gets_a_gradient_and_every_codebook_moves(quantizer: Quantizer) -> None:
    quantizer(latents((6, 5)))  # codewords start
    before = quantizer.codewords().clone()
    train_a_step(quantizer)
    assert (quantizer.codewords() != before).any(dim=2).any(dim=1).all()


@pytest.mark.parametrize("kind", sorted(FIXED))
def test_kinds_without_a_codebook_have_nothing_that_moves(quantizer: Quantizer) -> None:
    before = {name: buffer.clone() for name, buffer in quantizer.named_buffers()}
    train_a_step(quantizer)
    assert not list(quantizer.parameters())
    assert all(torch.equal(buffer, before[name]) for name, buffer in quantizer.named_buffers())


def test_codes_and_codewords_are_in_range(quantizer: Quantizer) -> None:
    quantized = trained(quantizer)(latents((8, 8), batch=8))
    assert int(quantized.codes.min()) >= 0
    assert int(quantized.codes.max()) < quantizer.num_embeddings
    codewords = quantizer.codewords()
    assert codewords.shape[:2] == (quantizer.num_codebooks, quantizer.num_embeddings)
    assert codewords.isfinite().all()
    torch.testing.assert_close(quantizer.codeword_norms(), codewords.norm(dim=2))


def test_eval_changes_nothing_and_repeats_itself(quantizer: Quantizer) -> None:
    quantizer.eval()  # before any training: not even the start may happen here
    before, z_e = state(quantizer), latents((6, 5))
    assert torch.equal(quantizer(z_e).z_q, quantizer(z_e).z_q)
    quantizer.encode(z_e)
    assert unchanged(quantizer, before)


def test_encoding_changes_nothing_in_training_mode(quantizer: Quantizer) -> None:
    quantizer(latents((6, 5)))
    before = state(quantizer)
    quantizer.encode(latents((6, 5)))
    quantizer.continuous(latents((6, 5)))
    assert unchanged(quantizer, before)


def test_a_saved_quantizer_comes_back(kind: str, quantizer: Quantizer, tmp_path: Path) -> None:
    trained(quantizer)
    save_file({name: value.contiguous() for name, value in quantizer.state_dict().items()}, tmp_path / "q.safetensors")
    torch.manual_seed(1)
    other = KINDS[kind]().eval()
    other.load_state_dict(load_file(tmp_path / "q.safetensors"))
    z_e = latents((6, 5))
    assert torch.equal(other(z_e).z_q, quantizer(z_e).z_q)


def test_losses_do_not_depend_on_the_batch_size(quantizer: Quantizer) -> None:
    trained(quantizer)
    z_e = latents((6, 5))
    torch.testing.assert_close(quantizer(torch.cat([z_e, z_e, z_e])).loss, quantizer(z_e).loss)


def test_autocast_does_not_reach_inside(quantizer: Quantizer) -> None:
    trained(quantizer)
    z_e = latents((6, 5))
    expected = quantizer(z_e)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quantized = quantizer(z_e)
        assert torch.equal(quantizer.encode(z_e), expected.codes)
    assert torch.equal(quantized.z_q, expected.z_q)
    torch.testing.assert_close(quantized.loss, expected.loss)


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float16, 1e4), (torch.bfloat16, 1e18), (torch.float32, 1e18), (torch.float32, 0.0)]
)
@pytest.mark.parametrize("training", [False, True], ids=("eval", "training"))
def test_extreme_latents_give_numbers(quantizer: Quantizer, dtype: torch.dtype, size: float, training: bool) -> None:
    trained(quantizer).train(training)
    quantized = quantizer((latents((6, 5)) * size).to(dtype))
    assert quantized.z_q.isfinite().all()
    assert not quantized.loss.isnan()
    assert 0 <= int(quantized.codes.min()) <= int(quantized.codes.max()) < quantizer.num_embeddings


def test_half_precision_modules_work(quantizer: Quantizer) -> None:
    trained(quantizer).to(torch.bfloat16)
    quantized = quantizer(latents((6, 5), torch.bfloat16))
    assert torch.equal(quantizer.decode(quantized.codes).bfloat16(), quantized.z_q)


def test_refuses_codes_that_are_not_its_own(quantizer: Quantizer) -> None:
    good = torch.zeros(1, quantizer.num_codebooks, 2, 2, dtype=torch.int64)
    for bad in (good + quantizer.num_embeddings, good - 1, good.repeat(1, 2, 1, 1)):
        with pytest.raises(CodesError, match="expected"):
            quantizer.decode(bad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_refuses_codes_of_another_type(quantizer: Quantizer, dtype: torch.dtype) -> None:
    with pytest.raises(CodesError, match=f"codes: expected int64, got {dtype}"):
        quantizer.check_codes(torch.zeros(1, quantizer.num_codebooks, 2, 2, dtype=dtype))


def test_refuses_latents_that_are_no_real_numbers(quantizer: Quantizer) -> None:
    with pytest.raises(ValueError, match=r"latents: expected a floating-point type, got torch\.int64"):
        quantizer.check_latents(torch.zeros(1, 4, 2, 2, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (1, 4)])
def test_refuses_latents_of_another_shape(quantizer: Quantizer, shape: tuple[int, ...]) -> None:
    for verb in (quantizer, quantizer.encode, quantizer.continuous):
        with pytest.raises(ValueError, match=r"latents: expected shape \(b, 4, \*grid\)"):
            verb(torch.randn(shape))
