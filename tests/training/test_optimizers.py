import copy

import pytest
import torch
from torch import nn

from voxlex.codes import CodeLayout
from voxlex.config import PriorStageConfig, StageConfig
from voxlex.priors import TransformerPrior
from voxlex.training.optimizers import Muon, hidden_matrices, optimizer_of, orthogonalized


def with_gradients(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        parameter.grad = torch.randn_like(parameter)
    return module


def test_singular_values_become_nearly_equal():
    torch.manual_seed(0)
    uneven = torch.randn(3, 8, 16) * torch.logspace(0, -1, 8)[:, None]
    values = torch.linalg.svdvals(orthogonalized(uneven, iterations=5))
    assert values.min() > 0.5
    assert values.max() < 1.3


@pytest.mark.parametrize("module", [nn.Linear(16, 64, bias=False), nn.Conv2d(3, 8, 3, bias=False)])
def test_a_matrix_moves_about_as_far_as_with_adamw(module):
    torch.manual_seed(0)
    module.to(memory_format=torch.channels_last)
    before = module.weight.detach().clone()
    Muon([{"params": [with_gradients(module).weight], "orthogonal": True}], lr=0.1).step()
    moved = (module.weight.detach() - before).square().mean().sqrt().item()
    assert moved == pytest.approx(0.1 * 0.2, rel=0.3)
    assert ((module.weight.detach() - before) * module.weight.grad).sum() < 0


def test_what_is_not_a_matrix_moves_as_with_adamw():
    torch.manual_seed(0)
    own, other = nn.Linear(4, 8), nn.Linear(4, 8)
    other.load_state_dict(own.state_dict())
    optimizers = [
        Muon([{"params": own.parameters()}], lr=0.1, betas=(0.9, 0.95), weight_decay=0.01),
        torch.optim.AdamW(other.parameters(), lr=0.1, betas=(0.9, 0.95), weight_decay=0.01),
    ]
    for _ in range(3):
        with_gradients(own)
        for parameter, same in zip(other.parameters(), own.parameters(), strict=True):
            parameter.grad = same.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(own.state_dict(), other.state_dict())


def test_embeddings_and_outputs_of_a_prior_are_left_to_adamw():
    for grouped in (True, False):
        prior = TransformerPrior(layout=CodeLayout(num_embeddings=50, grid=(4, 4)), width=8, heads=2, grouped=grouped)
        names = {id(parameter): name for name, parameter in prior.named_parameters()}
        hidden = {names[id(matrix)] for matrix in hidden_matrices(prior)}
        assert {"neighbours.weight", "segments.blocks.0.attention.qkv.weight", "head.outputs.0.1.weight"} <= hidden
        assert not hidden & {"embedding.weight", "head.outputs.0.3.weight", "segments.cell_position"}
        optimizer = optimizer_of(prior, PriorStageConfig())
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def test_it_goes_on_from_its_saved_state():
    torch.manual_seed(0)
    layout = CodeLayout(num_embeddings=20, grid=(4, 4))
    modules = [TransformerPrior(layout=layout, width=8, heads=2) for _ in range(2)]
    gradients = [[torch.randn_like(parameter) for parameter in modules[0].parameters()] for _ in range(4)]
    optimizers = [optimizer_of(module, PriorStageConfig()) for module in modules]

    def step(which: int, number: int) -> None:
        for parameter, gradient in zip(modules[which].parameters(), gradients[number], strict=True):
            parameter.grad = gradient
        optimizers[which].step()

    for number in range(2):
        step(0, number)
    modules[1].load_state_dict(modules[0].state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for number in range(2, 4):
        for which in range(2):
            step(which, number)
    torch.testing.assert_close(modules[0].state_dict(), modules[1].state_dict())


def test_only_kernels_and_matrices_decay():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.LayerNorm(4), nn.Embedding(5, 4))
    for name in ("adamw", "muon"):
        optimizer = optimizer_of(module, StageConfig(optimizer=name, weight_decay=0.1))
        decayed = [p for group in optimizer.param_groups for p in group["params"] if group["weight_decay"]]
        assert {id(p) for p in decayed} == {id(module[0].weight), id(module[1].weight)}
