"""A quantizer of voxlex inside a network of MONAI, trained for some steps on phantom brains.

pip install voxlex monai
python examples/monai_network.py --steps 300 --quantizer finite-scalar
"""

import argparse

import torch
from monai.networks.nets import AutoEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from voxlex.data.phantoms.phantom import generate_subject
from voxlex.metrics import psnr_db
from voxlex.quantizers import FiniteScalarQuantizer, Quantized, Quantizer, ResidualQuantizer, VectorQuantizer

QUANTIZERS = {
    "vector": lambda: VectorQuantizer(num_embeddings=256, embedding_dim=4),
    "finite-scalar": lambda: FiniteScalarQuantizer(levels=(8, 5, 5, 5)),
    "residual": lambda: ResidualQuantizer(
        stages=[VectorQuantizer(num_embeddings=64, embedding_dim=4) for _ in range(2)]
    ),
}


class QuantizedAutoEncoder(nn.Module):
    """MONAI's autoencoder, with a quantizer between its encoder and its decoder."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.network = AutoEncoder(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            channels=(16, 32, quantizer.embedding_dim),
            strides=(2, 2, 1),
            norm="batch",
        )
        self.quantizer = quantizer

    def forward(self, x: Tensor) -> tuple[Tensor, Quantized]:
        quantized = self.quantizer(self.network.encode(x))  # z_q, codes and the losses of the quantizer
        return self.network.decode(quantized.z_q), quantized


def train(model: QuantizedAutoEncoder, images: Tensor, *, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        x = images[torch.randint(len(images), (16,))]
        x_hat, quantized = model(x)
        loss = F.l1_loss(x_hat, x) + quantized.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.quantizer.anneal(step / steps)  # for quantizers with a schedule
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--quantizer", choices=QUANTIZERS, default="vector")
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.cat([generate_subject(number, size=64) for number in range(6)])  # (n, 1, 64, 64) in [0, 1]
    held_out = generate_subject(6, size=64)
    model = QuantizedAutoEncoder(QUANTIZERS[options.quantizer]())
    train(model, images, steps=options.steps)
    with torch.no_grad():
        x_hat, quantized = model.eval()(held_out)
    quality_db = float(psnr_db(x_hat.clamp(0, 1), held_out).mean())
    print(f"held out: PSNR {quality_db:.1f} dB, {len(quantized.codes.unique())} codes used")


if __name__ == "__main__":
    main()
