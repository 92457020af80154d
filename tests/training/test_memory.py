"""The estimate of memory beside what a step on the CPU really takes."""

from collections.abc import Callable

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from voxlex.models import VQVAE, Decoder, Encoder, PaperDecoder, PaperEncoder
from voxlex.quantizers import VectorQuantizer
from voxlex.training.memory import estimate_step_memory


def _model(kind: str) -> VQVAE:
    networks = {"residual": (Encoder, Decoder), "paper": (PaperEncoder, PaperDecoder)}[kind]
    encoder, decoder = (network(embedding_dim=8, spatial_dims=3, width=32, downsampling=4) for network in networks)
    quantizer = VectorQuantizer(num_embeddings=64, embedding_dim=8)
    return VQVAE(encoder=encoder, quantizer=quantizer, decoder=decoder, spatial_dims=3, downsampling=4).train()


def _peak(step: Callable[[], None]) -> int:
    """Most bytes that tensors held during a step, beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    assert profiler.profiler is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("kind", ["residual", "paper"])
def test_the_estimate_is_within_a_factor_of_two(kind: str, checkpointed: bool, autocast: torch.dtype | None) -> None:
    if autocast is not None and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor computes bfloat16 in float32, which takes copies of everything")
    model = _model(kind)
    model.checkpoint_activations = checkpointed
    optimizer = torch.optim.AdamW(model.parameters())
    x = torch.rand(2, 1, 32, 32, 32)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast is not None):
            outputs = model(x)
        ((outputs.x_hat.float() - x).abs().mean() + sum(outputs.losses.values())).backward()
        optimizer.step()

    weights = sum(parameter.nbytes for parameter in model.parameters())
    measured = _peak(step) + weights
    estimated = estimate_step_memory(model, space=(32, 32, 32), batch_size=2, autocast=autocast).total
    assert measured / 2 < estimated < measured * 2


def test_checkpointing_is_estimated_and_gives_the_same_gradients() -> None:
    model = _model("residual")
    x = torch.rand(1, 1, 16, 16, 16)

    def gradients(*, checkpointed: bool) -> list[torch.Tensor]:
        model.checkpoint_activations = checkpointed
        model.zero_grad()
        (model(x, quantize=False).x_hat - x).square().mean().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    for plain, checkpointed in zip(gradients(checkpointed=False), gradients(checkpointed=True), strict=True):
        torch.testing.assert_close(plain, checkpointed)
    with_it = estimate_step_memory(model, space=(64, 64, 64), batch_size=1).activations
    model.checkpoint_activations = False
    assert with_it < 0.85 * estimate_step_memory(model, space=(64, 64, 64), batch_size=1).activations


def test_memory_grows_with_the_voxels() -> None:
    model = _model("residual")
    once = estimate_step_memory(model, space=(32, 32, 32), batch_size=1)
    assert estimate_step_memory(model, space=(64, 64, 32), batch_size=2).activations == 8 * once.activations
