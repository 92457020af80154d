"""A mixture of 256 clusters and 512 codewords; other libraries end with 4 to 219 clusters found, or lose live ones."""

import pytest
import torch
from torch import Tensor

from voxlex.quantizers import VectorQuantizer

CLUSTERS, DIM, NOISE = 256, 64, 0.1

SETTINGS: dict[str, dict[str, str]] = {
    "defaults": {},
    "k-means start": {"start": "kmeans"},
    "learnt by loss": {"codebook": "loss"},
    "cosine": {"distance": "cosine"},
    "cosine, learnt by loss": {"distance": "cosine", "codebook": "loss"},
}


class Mixture:
    """Gaussian clusters; vectors as latents `(1, d, n)`."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.centres = torch.randn(CLUSTERS, DIM, generator=self.generator)

    def draw(self, count: int) -> Tensor:
        chosen = self.centres[torch.randint(CLUSTERS, (count,), generator=self.generator)]
        return (chosen + NOISE * torch.randn(count, DIM, generator=self.generator)).t().unsqueeze(0)


@pytest.mark.parametrize("vectors_per_step", [4096, 256])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_cluster_keeps_a_codeword(settings: dict[str, str], vectors_per_step: int) -> None:
    mixture = Mixture()
    quantizer = VectorQuantizer(num_embeddings=512, embedding_dim=DIM, **settings)
    parameters = list(quantizer.parameters())
    optimizer = torch.optim.Adam(parameters, lr=3e-3) if parameters else None
    for _ in range(200):
        loss = quantizer(mixture.draw(vectors_per_step)).loss
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    quantizer.eval()
    z_e = mixture.draw(4096)
    error = (quantizer.continuous(z_e) - quantizer(z_e).z_q).square().mean()
    # On the unit sphere, where 63 of 64 dimensions are left, a cluster's noise is divided by its distance from 0.
    cosine = quantizer.distance == "cosine"
    floor = NOISE**2 * (63 / 64 / mixture.centres.square().sum(dim=1)).mean() if cosine else NOISE**2
    assert error <= (1.15 if cosine else 1.05) * floor
    assert len(quantizer.encode(mixture.centres.t().unsqueeze(0)).unique()) == CLUSTERS
