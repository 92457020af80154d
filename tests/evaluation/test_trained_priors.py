"""The judging, on what priors draw: a good one, codes drawn one by one, and one that learned ten images by heart."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from voxlex.codes import CodeLayout
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import generate_subject
from voxlex.evaluation.generation import GenerationReport, judge_samples
from voxlex.models import VQVAE, Decoder, Encoder
from voxlex.priors import TransformerPrior
from voxlex.quantizers import VectorQuantizer

pytestmark = pytest.mark.slow

SIDE, SAMPLES, FEW = 32, 60, 10


def brains(subjects: range) -> Tensor:
    options = PhantomOptions(slices=4, lowest_mm=0, highest_mm=40)
    return torch.cat([generate_subject(subject, size=SIDE, options=options) for subject in subjects])


def optimised(module: nn.Module, rows: int, batch_size: int, steps: int, loss_of) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    module.train()
    for _ in range(steps):
        loss = loss_of(torch.randint(rows, (batch_size,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    module.eval()


@dataclass
class World:
    """Images, a vocabulary for them, and what priors over its codes draw."""

    training: Tensor
    held_out: Tensor
    vqvae: VQVAE

    def trained_autoencoder(self) -> None:
        def loss_of(rows: Tensor) -> Tensor:
            images = self.training[rows]
            reconstruction = self.vqvae(images)
            return (reconstruction.x_hat - images).abs().mean() + sum(reconstruction.losses.values())

        optimised(self.vqvae, len(self.training), 16, 300, loss_of)

    def drawn(self, images: Tensor, *, width: int, steps: int) -> Tensor:
        """Decode samples of a prior that was trained on some images."""
        codes = self.vqvae.encode(images)
        layout = CodeLayout(num_embeddings=64, grid=tuple(codes.shape[2:]))
        prior = TransformerPrior(layout=layout, width=width, layers=2, kernel_size=5, embedding_dim=16)
        prior.start(codes)
        optimised(prior, len(codes), 32, steps, lambda rows: prior.loss(codes[rows]))
        return self.vqvae.decode(prior.sample(SAMPLES, generator=torch.Generator().manual_seed(0)))

    def drawn_one_by_one(self) -> Tensor:
        """Decode codes that are drawn each on its own, as often as they occur."""
        codes = self.vqvae.encode(self.training)
        picked = torch.randint(codes.numel(), (SAMPLES, *codes.shape[1:]), generator=torch.Generator().manual_seed(0))
        return self.vqvae.decode(codes.flatten()[picked])


@pytest.fixture(scope="module")
def world() -> World:
    torch.manual_seed(0)
    sizes = {"width": 64, "stem_width": 16, "downsampling": 4}
    vqvae = VQVAE(
        encoder=Encoder(**sizes),
        quantizer=VectorQuantizer(num_embeddings=64),
        decoder=Decoder(**sizes),
    )
    world = World(training=brains(range(90)), held_out=brains(range(90, 120)), vqvae=vqvae)
    world.trained_autoencoder()
    return world


@pytest.fixture(scope="module")
def reports(world: World) -> dict[str, GenerationReport]:
    torch.manual_seed(1)
    samples = {
        "real": brains(range(120, 135)),
        "good": world.drawn(world.training, width=64, steps=300),
        "one by one": world.drawn_one_by_one(),
        "noise": torch.rand(SAMPLES, 1, SIDE, SIDE),
    }
    return {name: judge_samples(images, world.held_out, [world.training]) for name, images in samples.items()}


def of_each(reports: dict[str, GenerationReport], name: str) -> list[float]:
    return [reports[kind].figures[f"generation.{name}"] for kind in ("real", "good", "one by one", "noise")]


@pytest.mark.parametrize("name", ["swd", "frechet"])
def test_real_and_good_are_nearer_than_one_by_one_and_noise(reports: dict[str, GenerationReport], name: str) -> None:
    real, good, one_by_one, noise = of_each(reports, name)
    assert real < 1.5 * good
    assert good < one_by_one < noise


@pytest.mark.parametrize("name", ["precision", "coverage"])
def test_real_and_good_overlap_more_than_one_by_one_and_noise(reports: dict[str, GenerationReport], name: str) -> None:
    real, good, one_by_one, noise = of_each(reports, name)
    assert real > good - 0.1
    assert good > one_by_one + 0.2
    assert one_by_one >= noise


def test_a_good_prior_is_not_accused(reports: dict[str, GenerationReport]) -> None:
    assert reports["good"].copies == []
    assert reports["good"].figures["generation.closer_than_p1"] < 0.4


def test_a_prior_that_learned_ten_images_by_heart_is_caught(world: World) -> None:
    few = world.training[torch.arange(FEW) * 35]
    samples = world.drawn(few, width=64, steps=150)
    # So small a vocabulary blurs most images too far to be copies of themselves: compare with what it makes of them.
    blurred = judge_samples(samples, world.held_out, [world.vqvae.decode(world.vqvae.encode(few))]).figures
    assert blurred["generation.copies"] > 0.4
    assert blurred["generation.copies_floor"] < 0.1
    figures = judge_samples(samples, world.held_out, [few]).figures
    assert figures["generation.closer_than_p1"] > 0.3
    assert figures["generation.memorisation_auc"] > 0.7
