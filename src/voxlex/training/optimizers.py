"""The optimizers: AdamW, and Muon for the matrices of a network."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.adamw import adamw as adamw_step

from voxlex.config import StageConfig
from voxlex.priors.depth import DepthHead
from voxlex.priors.neighbours import EarlierNeighbours
from voxlex.training.devices import automatic_precision
from voxlex.training.sharding import as_whole, divided, local

_KERNELS = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def optimizer_of(module: nn.Module, schedule: StageConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a schedule for a module. Only kernels and matrices have weight decay.

    Biases, scales, embeddings and codebooks do not decay, since decay towards zero would not make sense for them.
    """
    decayed = {id(part.weight) for part in module.modules() if isinstance(part, _KERNELS)}
    hidden = {id(matrix) for matrix in hidden_matrices(module)} if schedule.optimizer == "muon" else set()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if (id(p) in decayed) == decays and (id(p) in hidden) == orthogonal],
            "weight_decay": schedule.weight_decay if decays else 0.0,
            "orthogonal": orthogonal,
        }
        for orthogonal in (True, False)
        for decays in (True, False)
    ]
    filled = [group for group in groups if group["params"]]
    if schedule.optimizer == "muon":
        return Muon(filled, lr=schedule.learning_rate, betas=schedule.betas)
    without = [{"params": group["params"], "weight_decay": group["weight_decay"]} for group in filled]
    return torch.optim.AdamW(without, lr=schedule.learning_rate, betas=schedule.betas, fused=True)


def hidden_matrices(module: nn.Module) -> Iterator[Tensor]:
    """Yield the kernels and matrices between features and features, without those that give logits of codes."""
    heads = [head for head in module.modules() if isinstance(head, DepthHead)]
    outputs = {id(list(output.children())[-1]) for head in heads for output in head.outputs}
    for part in module.modules():
        if isinstance(part, (*_KERNELS, EarlierNeighbours)) and id(part) not in outputs and part.weight.requires_grad:
            yield part.weight


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., kellerjordan.github.io/posts/muon, 2024) for matrices, AdamW for all other parameters.

    The update of a matrix is the running mean of its gradients with all singular values made nearly equal, so that the
    matrix learns rare directions as fast as common ones. Its root mean square is about that of an update of AdamW (Liu
    et al., 2502.16982, section 2.2), so that one learning rate fits both. A kernel counts as a matrix with a row for
    each of its first axis.

    Where processes hold parts of the parameters, matrices of one shape at a time are put together for the iteration,
    which all processes compute alike. Everything else is computed for each part alone.

    Args:
        groups: Groups of parameters, each with `orthogonal`: whether its parameters are updated as matrices.
        lr: Learning rate.
        betas: Decay rates of AdamW's running averages.
        weight_decay: Weight decay of groups that do not have their own.
        momentum: Decay rate of the running mean of the gradients of matrices.
        iterations: Newton-Schulz iterations that even out singular values.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        iterations: int = 5,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "momentum": momentum, "eps": 1e-8}
        super().__init__(groups, defaults | {"orthogonal": False})
        self.iterations = iterations

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                (self._step_matrices if group["orthogonal"] else self._step_others)(parameters, group)
        return loss

    def _step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [local(_gradient(parameter)) for parameter in parameters]
        means = [local(self._state(parameter, "momentum")) for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        ahead = list(torch._foreach_lerp(gradients, means, group["momentum"]))
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for place, parameter in enumerate(parameters):
            by_shape.setdefault(_wide_shape(parameter), []).append(place)
        for places in by_shape.values():
            wide = [_wide(as_whole(ahead[place], like=parameters[place])) for place in places]
            evened = orthogonalized(torch.stack(wide), iterations=self.iterations)
            for place, matrix in zip(places, evened * (0.2 * evened.shape[2] ** 0.5), strict=True):
                parameter = parameters[place]
                high = parameter.shape[0] == matrix.shape[0]
                update = (matrix if high else matrix.mT).reshape(parameter.shape)
                ahead[place] = local(divided(update, like=parameter))
        own = [local(parameter) for parameter in parameters]
        torch._foreach_mul_(own, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_mul_(ahead, group["lr"])
        torch._foreach_sub_(own, ahead)

    def _step_others(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        adamw_step(
            [local(parameter) for parameter in parameters],
            [local(_gradient(parameter)) for parameter in parameters],
            [local(self._state(parameter, "exp_avg")) for parameter in parameters],
            [local(self._state(parameter, "exp_avg_sq")) for parameter in parameters],
            [],
            [self._state(parameter, "step") for parameter in parameters],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _state(self, parameter: Tensor, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = (
                torch.zeros((), dtype=torch.float32, device=parameter.device)
                if name == "step"
                else torch.zeros_like(parameter, memory_format=torch.preserve_format)
            )
        return state[name]


def orthogonalized(matrices: Float[Tensor, "n r c"], *, iterations: int) -> Float[Tensor, "n r c"]:
    """Bring the singular values of matrices that are at least as wide as high near 1, between about 0.7 and 1.2.

    The iteration is that of Newton and Schulz, with the coefficients of Muon, which raise small values fastest.
    """
    fast = automatic_precision(matrices.device.type) == "bf16-mixed"
    x = matrices.to(torch.bfloat16 if fast else torch.float32)
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        products = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(products, products, products, beta=-4.775, alpha=2.0315), x, beta=3.4445)
    return x.to(matrices.dtype)


def _wide_shape(tensor: Tensor) -> tuple[int, int]:
    """Return the shape that `_wide` gives."""
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    return min(rows, columns), max(rows, columns)


def _wide(tensor: Tensor) -> Tensor:
    """View a tensor as a matrix that is at least as wide as high."""
    matrix = tensor.flatten(1)
    return matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
