"""The optimiser of every stage."""

import torch
from torch import nn

_DECAYED = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def adamw(
    module: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter, 1711.05101) with weight decay on kernels and matrices alone.

    Biases, scales, embeddings and codebooks are exempt: pulling them to zero means nothing.
    """
    decayed = {id(part.weight) for part in module.modules() if isinstance(part, _DECAYED)}
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=learning_rate, betas=betas, fused=True)
