"""What every quantizer promises, whatever its kind, in two and three dimensions, and in every floating-point type."""

import warnings
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
EVERY_DTYPE = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FIXED = {"finite scalar", "finite scalar, sigmoid", "residual finite scalar", "lookup free", "lookup free, spherical"}
"""Kinds whose codewords follow a rule."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


_BAD = (1e4, 1e10, 1e30, torch.inf, torch.nan)
_PARTS = ("one latent", "one image", "all")

BAD_LATENTS = [
    (kind, bad, _PARTS[(row + column) % 3], 3 * ((row + column) % 2))
    for row, kind in enumerate(KINDS)
    for column, bad in enumerate(_BAD)
]
"""What is bad, how much of a batch, and how many good batches come before it: chosen so that any two settings meet."""


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
@pytest.mark.filterwarnings("ignore:latents")
def test_extreme_latents_give_numbers(quantizer: Quantizer, dtype: torch.dtype, size: float, training: bool) -> None:
    trained(quantizer).train(training)
    quantized = quantizer((latents((6, 5)) * size).to(dtype))
    assert quantized.z_q.isfinite().all()
    assert not quantized.loss.isnan()
    assert 0 <= int(quantized.codes.min()) <= int(quantized.codes.max()) < quantizer.num_embeddings


@pytest.mark.parametrize("dtype", EVERY_DTYPE, ids=str)
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16], ids=str)
def test_modules_of_every_type_learn_and_work(
    kind: str, quantizer: Quantizer, dtype: torch.dtype, autocast: torch.dtype | None
) -> None:
    quantizer.to(dtype)
    for _ in range(3):
        z_e = latents((6, 5), dtype).requires_grad_()
        with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
            quantized = quantizer(z_e)
        assert quantized.z_q.dtype == dtype
        assert quantized.loss.isfinite()
        (quantized.z_q.float().square().mean() + quantized.loss).backward()
        assert z_e.grad is not None
        assert z_e.grad.isfinite().all()
    quantizer.eval()
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        z_e = latents((6, 5), dtype)
        quantized, codes = quantizer(z_e), quantizer.encode(z_e)
        decoded, continuous = quantizer.decode(quantized.codes), quantizer.continuous(z_e)
    assert torch.equal(codes, quantized.codes)
    assert torch.equal(decoded.to(dtype), quantized.z_q)
    assert continuous.dtype == dtype
    other = KINDS[kind]().to(dtype).eval()
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other(z_e).z_q, quantized.z_q)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_running_statistics_keep_their_precision(quantizer: Quantizer, dtype: torch.dtype) -> None:
    quantizer(latents((6, 5)))
    before = state(quantizer)
    quantizer.to(dtype)
    for name, buffer in quantizer.named_buffers():
        assert name not in before or torch.equal(buffer, before[name])
    quantizer.double()
    assert all(buffer.dtype == torch.float64 for buffer in quantizer.buffers() if buffer.is_floating_point())


def spoilt(z_e: Tensor, bad: float, part: str) -> Tensor:
    """Return a batch of latents in which one number, one image or all are bad."""
    z_e = z_e.clone()
    place = {"one latent": (0, 0, 0, 0), "one image": (0,), "all": ()}[part]
    z_e[place] = bad
    return z_e


@pytest.mark.parametrize(("kind", "bad", "part", "before"), BAD_LATENTS, ids=str)
@pytest.mark.filterwarnings("ignore:latents")
def test_bad_latents_do_not_spoil_what_comes_after(
    kind: str, quantizer: Quantizer, bad: float, part: str, before: int
) -> None:
    for _ in range(before):
        quantizer(latents((6, 5), batch=8))
    quantized = quantizer(spoilt(latents((6, 5), batch=8), bad, part))
    assert quantized.z_q.isfinite().all()
    assert 0 <= int(quantized.codes.min()) <= int(quantized.codes.max()) < quantizer.num_embeddings
    for _ in range(1 if kind in FIXED else 40):
        assert quantizer(latents((6, 5), batch=8)).loss.isfinite()
    assert quantizer.codewords().isfinite().all()
    codes = quantizer.eval().encode(latents((6, 5), batch=64))
    in_use = [len(level.unique()) for level in codes.unbind(dim=1)]
    assert min(in_use) >= 0.5 * quantizer.num_embeddings


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30], ids=str)
def test_a_bad_latent_does_not_change_the_codes_of_others(quantizer: Quantizer, bad: float) -> None:
    z_e = latents((6, 5))
    expected = trained(quantizer).encode(z_e).flatten(2)[:, :, 1:]
    found = quantizer(spoilt(z_e, bad, "one latent")).codes
    assert torch.equal(found.flatten(2)[:, :, 1:], expected)


def test_latents_that_are_left_out_are_counted_and_said_once(quantizer: Quantizer) -> None:
    quantizer(latents((6, 5)))
    assert quantizer.left_out == 0
    for bad in (torch.nan, torch.inf):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            quantizer(spoilt(latents((6, 5)), bad, "one latent"))
        texts = [str(warning.message) for warning in said]
        assert all(text.startswith("latents: expected finite") and "got 1 of 60" in text for text in texts)
        assert bool(texts) == (bad is torch.nan)
    assert quantizer.left_out >= 2
    quantizer.eval()
    before = quantizer.left_out
    quantizer(spoilt(latents((6, 5)), torch.nan, "one latent"))
    assert quantizer.left_out == before


@pytest.mark.filterwarnings("ignore:latents")
def test_nothing_learns_while_all_latents_are_bad(quantizer: Quantizer) -> None:
    trained(quantizer).train()
    before = state(quantizer)
    for _ in range(40):  # beyond the patience with latents that are only far away
        quantizer(torch.full((1, 4, 2, 2), torch.nan))
    assert unchanged(quantizer, before)


@pytest.mark.parametrize("shape", [(0, 4, 2, 2), (2, 4, 0, 2)])
@pytest.mark.parametrize("training", [False, True], ids=("eval", "training"))
def test_refuses_nothing_at_all(quantizer: Quantizer, shape: tuple[int, ...], training: bool) -> None:
    quantizer.train(training)
    for verb in (quantizer, quantizer.encode, quantizer.continuous):
        with pytest.raises(ValueError, match="latents: expected at least one image and one cell, got"):
            verb(torch.zeros(shape))
    with pytest.raises(CodesError, match="codes: expected the codes of at least one image, got"):
        quantizer.decode(torch.zeros(shape[0], quantizer.num_codebooks, *shape[2:], dtype=torch.int64))


def test_refuses_codes_that_are_not_its_own(quantizer: Quantizer) -> None:
    good = torch.zeros(1, quantizer.num_codebooks, 2, 2, dtype=torch.int64)
    for bad in (good + quantizer.num_embeddings, good - 1, good.repeat(1, 2, 1, 1)):
        with pytest.raises(CodesError, match="expected"):
            quantizer.decode(bad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_refuses_codes_that_are_not_whole_numbers(quantizer: Quantizer, dtype: torch.dtype) -> None:
    with pytest.raises(CodesError, match=f"codes: expected whole numbers such as int64, got {dtype}"):
        quantizer.decode(torch.zeros(1, quantizer.num_codebooks, 2, 2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32])
def test_decodes_every_type_of_whole_numbers(quantizer: Quantizer, dtype: torch.dtype) -> None:
    codes = torch.randint(16, (2, quantizer.num_codebooks, 3, 4))
    assert torch.equal(quantizer.decode(codes.to(dtype)), quantizer.decode(codes))


def test_refuses_latents_that_are_no_real_numbers(quantizer: Quantizer) -> None:
    with pytest.raises(ValueError, match=r"latents: expected a floating-point type, got torch\.int64"):
        quantizer.check_latents(torch.zeros(1, 4, 2, 2, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (1, 4)])
def test_refuses_latents_of_another_shape(quantizer: Quantizer, shape: tuple[int, ...]) -> None:
    for verb in (quantizer, quantizer.encode, quantizer.continuous):
        with pytest.raises(ValueError, match=r"latents: expected shape \(b, 4, \*grid\)"):
            verb(torch.randn(shape))
