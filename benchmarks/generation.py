"""Compare new images of voxlex, MONAI and medlatents after equal minutes of training.

    python benchmarks/generation.py SOURCE [--minutes 10] [--only NAME ...] [--out runs/generation]

Each model trains in one thread on the training part of SOURCE for the same time, draws images at temperature 1 without
a condition, and all images are kept. The same judge compares them, and reconstructions of the test part, with the test
part. The first line of the output has the same figures of real images. Each model also writes a sheet of its first 64
images. Minutes are those that the process has spent on a processor, so that other work on the machine favours no one.

The models of others have the settings of their tutorials, with channels and batches that a CPU can train in minutes:
half of the time is for the model that encodes, and half for the one that draws. MONAI's tutorials add a perceptual and
an adversarial loss to latent diffusion; both need more minutes than there are here, and are left out. medlatents and
medtokenizers are compared if they are installed: `pip install medlatents==0.1.2`.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from monai.inferers import LatentDiffusionInferer, VQVAETransformerInferer
from monai.networks.nets import VQVAE, AutoencoderKL, DecoderOnlyTransformer, DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler
from monai.utils.ordering import Ordering
from torch import Tensor, nn
from torch.nn import functional

from voxlex import metrics
from voxlex.config import beginning_with, load_recipe
from voxlex.data.sources import open_source
from voxlex.evaluation.generation import judge_samples, load_features
from voxlex.images.frame import Frame
from voxlex.models.batches import image_batches
from voxlex.pages.pictures import sample_sheet
from voxlex.training import loop
from voxlex.training.batches import Batches
from voxlex.vocabulary import load
from voxlex.workflows.train import train

SIDE = 128
AT_ONCE = 50
"""Images that are drawn at a time."""

RECIPES = ["default", "generation", "scales", "vqvae2"]

PRETRAINED = "pretrained"
"""The recipe `generation`, which begins with the weights of the vocabulary that comes with the package."""

FIGURES = ["c2st", "precision", "coverage", "swd", "frechet"]


@dataclass(frozen=True)
class Trained:
    """A trained model, by what it does.

    Attributes:
        reconstruct: Encodes and decodes images `(b, 1, h, w)` in [0, 1].
        sample: Draws that many new images.
    """

    reconstruct: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]


def fit(model: nn.Module, loss: Callable[[Tensor], Tensor], data: Tensor, *, minutes: float, rate: float) -> None:
    """Train with Adam on batches of 8 rows for some minutes, as the tutorials do."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    batches = Batches(rows=len(data), batch_size=8, seed=0)
    model.train()
    step, end = 0, time.process_time() + 60 * minutes
    while time.process_time() < end:
        optimizer.zero_grad(set_to_none=True)
        loss(data[batches[step]]).backward()
        optimizer.step()
        step += 1
    model.eval()
    print(f"  {type(model).__name__}: {step} steps, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M weights")


@torch.no_grad()
def in_parts(work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    return torch.cat([work(part) for part in rows.split(AT_ONCE)])


def ours(recipe: str, *, source: str, minutes: float, out: Path, pretrained: str | None = None) -> Trained:
    config = load_recipe(recipe)
    if pretrained is not None:
        config = beginning_with(config, pretrained, load(pretrained).config)
    config = replace(config, training=replace(config.training, minutes=minutes, threads=1))
    place = out / (recipe if pretrained is None else PRETRAINED)
    train(source, out=place, config=config, overwrite=True)
    vocabulary = load(place)
    decoding = vocabulary.best_decoding
    return Trained(
        reconstruct=lambda x: vocabulary.reconstruct(x, decoding=decoding),
        sample=lambda count: vocabulary.sample(count, seed=0),
    )


def monai_transformer(images: Tensor, *, minutes: float) -> Trained:
    """Train MONAI's VQVAE, then its transformer by its inferer."""
    codewords, grid = 256, (SIDE // 8, SIDE // 8)
    autoencoder = VQVAE(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(64, 64, 64),
        num_res_layers=2,
        num_res_channels=(64, 64, 64),
        downsample_parameters=((2, 4, 1, 1),) * 3,
        upsample_parameters=((2, 4, 1, 1, 0),) * 3,
        num_embeddings=codewords,
        embedding_dim=32,
    )

    def reconstruction_loss(x: Tensor) -> Tensor:
        x_hat, quantization_loss = autoencoder(x)
        loss: Tensor = functional.l1_loss(x_hat, x) + quantization_loss
        return loss

    fit(autoencoder, reconstruction_loss, images, minutes=minutes / 2, rate=3e-4)
    transformer = DecoderOnlyTransformer(
        num_tokens=codewords + 1,
        max_seq_len=grid[0] * grid[1],
        attn_layers_dim=96,
        attn_layers_depth=12,
        attn_layers_heads=8,
    )
    inferer, ordering = VQVAETransformerInferer(), Ordering("raster_scan", 2, (1, *grid))

    def likelihood(x: Tensor) -> Tensor:
        logits, target, _ = inferer(x, autoencoder, transformer, ordering, return_latent=True)
        return functional.cross_entropy(logits.mT, target)

    fit(transformer, likelihood, images, minutes=minutes / 2, rate=5e-4)

    def sample(count: int) -> Tensor:
        start = torch.full((count, 1), codewords)
        return in_parts(
            lambda first: inferer.sample(grid, first, autoencoder, transformer, ordering, verbose=False), start
        )

    return Trained(reconstruct=lambda x: autoencoder(x)[0], sample=sample)


def monai_diffusion(images: Tensor, *, minutes: float) -> Trained:
    """Train MONAI's AutoencoderKL, then a diffusion model of its latents, which draws by 50 steps of DDIM."""
    autoencoder = AutoencoderKL(
        spatial_dims=2,
        num_res_blocks=(1, 1, 1),
        channels=(32, 64, 64),
        attention_levels=(False, False, False),
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
        norm_num_groups=16,
    )

    def reconstruction_loss(x: Tensor) -> Tensor:
        x_hat, mean, sigma = autoencoder(x)
        divergence = 0.5 * (mean.square() + sigma.square() - sigma.square().log() - 1).sum(dim=(1, 2, 3)).mean()
        return functional.l1_loss(x_hat, x) + 1e-6 * divergence

    fit(autoencoder, reconstruction_loss, images, minutes=minutes / 2, rate=5e-4)
    unet = DiffusionModelUNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=3,
        num_res_blocks=1,
        channels=(64, 128, 192),
        attention_levels=(False, True, True),
        num_head_channels=(0, 64, 64),
        norm_num_groups=32,
    )
    noise = {"num_train_timesteps": 1000, "schedule": "scaled_linear_beta", "beta_start": 0.0015, "beta_end": 0.0195}
    with torch.no_grad():
        factor = 1 / float(autoencoder.encode_stage_2_inputs(images[:64]).std())
    inferer = LatentDiffusionInferer(DDPMScheduler(**noise), scale_factor=factor)

    def denoising_loss(x: Tensor) -> Tensor:
        drawn = torch.randn(len(x), 3, SIDE // 4, SIDE // 4)
        when = torch.randint(1000, (len(x),))
        predicted = inferer(inputs=x, autoencoder_model=autoencoder, diffusion_model=unet, noise=drawn, timesteps=when)
        return functional.mse_loss(predicted, drawn)

    fit(unet, denoising_loss, images, minutes=minutes / 2, rate=2.5e-4)
    schedule = DDIMScheduler(**noise)
    schedule.set_timesteps(50)

    def sample(count: int) -> Tensor:
        drawn = torch.randn(count, 3, SIDE // 4, SIDE // 4)
        return in_parts(partial(inferer.sample, **_parts(autoencoder, unet, schedule)), drawn)

    return Trained(reconstruct=lambda x: autoencoder(x)[0], sample=sample)


def _parts(autoencoder: nn.Module, unet: nn.Module, schedule: DDIMScheduler) -> dict[str, object]:
    return {"autoencoder_model": autoencoder, "diffusion_model": unet, "scheduler": schedule, "verbose": False}


def medlatents(images: Tensor, *, minutes: float) -> Trained:
    """Train a tokenizer of medtokenizers, then discrete diffusion of medlatents, as in the example of its authors."""
    from medlatents.diffusion import D3PM
    from medlatents.networks import DiscreteDiT
    from medtokenizers import DiscreteTokenizer

    codewords, side = 1024, SIDE // 8
    tokenizer = DiscreteTokenizer(
        dim=2,
        quantizer="LFQ",
        codebook_size=codewords,
        codebook_dim=10,
        resolution=SIDE,
        spatial_compression=8,
        channels=32,
        channels_mult=(1, 2, 4),
        num_res_blocks=1,
    )

    def reconstruction_loss(x: Tensor) -> Tensor:
        made = tokenizer(x)
        loss: Tensor = functional.mse_loss(made["reconstructions"], x) + made["quant_loss"].mean()
        return loss

    fit(tokenizer, reconstruction_loss, images, minutes=minutes / 2, rate=3e-4)
    tokens = in_parts(lambda x: tokenizer.tokenize(x).flatten(1).long(), images)
    settings = {"num_classes": codewords, "schedule_type": "cosine", "transition_type": "absorbing", "device": "cpu"}
    process = D3PM(num_timesteps=1000, **settings)
    network = DiscreteDiT(
        seq_length=side * side, vocab_size=process.effective_num_classes, hidden_size=128, depth=4, num_heads=4
    )
    fit(
        network,
        lambda rows: process.compute_loss(network, rows, loss_type="hybrid"),
        tokens,
        minutes=minutes / 2,
        rate=3e-4,
    )
    sampler = D3PM(num_timesteps=100, **settings)

    def draw(part: Tensor) -> Tensor:
        drawn = sampler.sample(network, shape=(len(part), side * side)).clamp_max(codewords - 1)
        return tokenizer.detokenize(drawn.reshape(len(part), side, side))

    return Trained(
        reconstruct=lambda x: tokenizer.detokenize(tokenizer.tokenize(x)),
        sample=lambda count: in_parts(draw, torch.zeros(count)),
    )


def judged(
    samples: Tensor, real: Tensor, again: Tensor | None, training: Iterable[Tensor], groups: list[str], features: str
) -> dict[str, float]:
    reconstructed = {} if again is None else {"_reconstructed": again}
    report = judge_samples(
        samples, real, training, groups=groups, reconstructed=reconstructed, features=load_features(features)
    )
    return {name.removeprefix("generation."): value for name, value in report.figures.items()}


def row(name: str, figures: dict[str, float], end: str) -> str:
    return f"{name:34s}" + "".join(f"{figures[f'{key}{end}']:10.3f}" for key in FIGURES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--features", nargs="+", default=["default", "deep"])
    parser.add_argument("--only", nargs="+", help=f"{', '.join(RECIPES)}, {PRETRAINED}, monai, diffusion, medlatents")
    parser.add_argument("--out", type=Path, default=Path("runs/generation"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    loop.time = SimpleNamespace(perf_counter=time.process_time)  # minutes of our trainings, too
    dataset = open_source(options.source, frame=Frame(size=SIDE))
    training, test = dataset.subset("train"), dataset.subset("test")
    images, real = training.tensor(), test.tensor()
    groups = [str(group) for group in test.manifest["group"]]
    mine = partial(ours, source=options.source, minutes=options.minutes, out=options.out)
    contenders: dict[str, Callable[[], Trained]] = {
        **{recipe: partial(mine, recipe) for recipe in RECIPES},
        PRETRAINED: partial(mine, "generation", pretrained="brain-mri-128"),
        "monai": lambda: monai_transformer(images, minutes=options.minutes),
        "diffusion": lambda: monai_diffusion(images, minutes=options.minutes),
        "medlatents": lambda: medlatents(images, minutes=options.minutes),
    }
    if importlib.util.find_spec("medlatents") is None:
        del contenders["medlatents"]
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only or contenders:
        print(f"{name}, {options.minutes:g} minutes", flush=True)
        torch.manual_seed(0)
        model = contenders[name]()
        again = in_parts(model.reconstruct, real).clamp(0, 1)
        started = time.process_time()
        samples = model.sample(options.images).clamp(0, 1)
        speed = options.images / (time.process_time() - started)
        sample_sheet(options.out / f"{name}.png", samples[:64])
        ssim, psnr_db = metrics.ssim(again, real).mean(), metrics.psnr_db(again, real).mean()
        print(f"  SSIM {ssim:.4f}  PSNR {psnr_db:.2f} dB  {speed:.2f} images/s")
        for features in options.features:
            figures = judged(samples, real, again, image_batches(training, at_most=256), groups, features)
            print("  " + f"{features:34s}" + "".join(f"{key:>10s}" for key in FIGURES))
            for end, what in {"_floor": "real images", "_reconstructed": "reconstructions", "": "samples"}.items():
                print("  " + row(what, figures, end), flush=True)


if __name__ == "__main__":
    main()
