"""MONAI's VQ-VAE with the same grid, codebook and width as the default model, for comparisons."""

import torch
from monai.networks.nets import VQVAE
from torch import Tensor, nn
from torch.nn import functional as F


def monai_vqvae(*, width: int = 128, num_embeddings: int = 1024, embedding_dim: int = 8) -> nn.Module:
    """Return MONAI's network with two halvings and two residual layers of `width` channels."""
    return VQVAE(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(width, width),
        num_res_layers=2,
        num_res_channels=(width, width),
        downsample_parameters=((2, 4, 1, 1),) * 2,
        upsample_parameters=((2, 4, 1, 1, 0),) * 2,
        num_embeddings=num_embeddings,
        embedding_dim=embedding_dim,
    )


def monai_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    """Take one training step as MONAI's tutorials do: L1 plus the quantization loss, float32."""
    optimizer.zero_grad(set_to_none=True)
    x_hat, quantization_loss = model(x)
    (F.l1_loss(x_hat, x) + quantization_loss).backward()
    optimizer.step()
