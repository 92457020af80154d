"""Measure on a GPU what training and sampling take there, with other libraries in the same run, in under five minutes.

    python benchmarks/gpu.py [SOURCE] [--only search quantizers steps sampling volumes training] [--seconds 30 120]

search: the nearest codeword, beside the matrix product that any search by scores needs, in TF32 and in bfloat16.
quantizers: a training step of the quantizer alone, beside vector-quantize-pytorch and MONAI.
steps: training steps and images a second of autoencoder and prior, plain and replayed from CUDA graphs, beside MONAI.
sampling: new code grids a second of each prior, beside MONAI's transformer, which its inferer runs anew for every code.
volumes: peak memory of encoding, decoding and training on a cube of 256³ voxels.
training: SSIM and coded bits of the test part of SOURCE after some seconds of the default recipe.

Times are medians, after a warm-up and with the device synchronized. MONAI's inferer is timed for some of the codes.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor

from voxlex.assembly import build_autoencoder
from voxlex.codes import CodeLayout
from voxlex.config import load_recipe
from voxlex.data.dataset import PreparedDataset
from voxlex.priors import GatedPixelCNN, HierarchicalPrior, MaskedPrior, Prior, TransformerPrior
from voxlex.quantizers import VectorQuantizer
from voxlex.quantizers.search import nearest
from voxlex.training.batch_size import sized
from voxlex.training.devices import choose_devices
from voxlex.training.objective import OnePlayer
from voxlex.training.objectives import AutoencoderObjective, CodeBatch, PriorObjective
from voxlex.training.recording import RecordedSteps
from voxlex.training.team import Team

DEVICE = torch.device("cuda")
GRID, NUM_EMBEDDINGS, SIDE = (32, 32), 8192, 128


def milliseconds(work: Callable[[], object], *, rounds: int = 20, warm_up: int = 3) -> float:
    """Return the median time of some work."""
    taken = []
    for turn in range(warm_up + rounds):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken += [1000 * (time.perf_counter() - started)] * (turn >= warm_up)
    return statistics.median(taken)


def replayed(work: Callable[[], object]) -> Callable[[], object]:
    """Record work as a CUDA graph, so that the time to launch it does not count."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        work()
    return graph.replay


def gigabytes(work: Callable[[], object]) -> float:
    """Return how far the memory in use rises during some work."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e9


def product(vectors: Tensor, codebook: Tensor) -> Callable[[], object]:
    """Return the product of vectors and codewords in tiles of 512 MiB at most, which are thrown away."""
    tiles = vectors.split(max(2**28 // len(codebook), 1))
    return lambda: [tile @ codebook.t() for tile in tiles]


def search() -> None:
    print("\nsearch, recorded: N, K, d; TF32 product; bfloat16 product; voxlex (over TF32); with penalties; memory")
    for n, k, d in ((32768, 1024, 8), (32768, 8192, 8), (131072, 65536, 8), (65536, 1024, 64), (131072, 65536, 64)):
        vectors, codebook = torch.randn(n, d, device=DEVICE), torch.randn(k, d, device=DEVICE)
        penalty = torch.rand(k, device=DEVICE)
        torch.set_float32_matmul_precision("high")
        tf32 = milliseconds(replayed(product(vectors, codebook)))
        torch.set_float32_matmul_precision("highest")
        bf16 = milliseconds(replayed(product(vectors.bfloat16(), codebook.bfloat16())))
        own = milliseconds(replayed(lambda v=vectors, c=codebook: nearest(v, c)))
        with_penalty = milliseconds(replayed(lambda v=vectors, c=codebook, p=penalty: nearest(v, c, p)))
        memory = gigabytes(lambda v=vectors, c=codebook: nearest(v, c))
        print(
            f"{n:8,} {k:7,} {d:3d}  {tf32:8.3f} {bf16:8.3f} {own:8.3f} ms ({own / tf32:.2f}x) {with_penalty:8.3f} ms"
            f"  {1000 * memory:.0f} MB",
            flush=True,
        )


def quantizers() -> None:
    from monai.networks.layers.vector_quantizer import EMAQuantizer
    from monai.networks.layers.vector_quantizer import VectorQuantizer as MonaiQuantizer
    from vector_quantize_pytorch import VectorQuantize

    print("\nquantizers, a training step of 32 grids of 32x32, d = 8, with the backward pass: ms, peak GB")
    for k in (1024, NUM_EMBEDDINGS):
        own = VectorQuantizer(num_embeddings=k, embedding_dim=8, rate_weight=0.15).to(DEVICE).train()
        other = VectorQuantize(dim=8, codebook_size=k, decay=0.99, accept_image_fmap=True).to(DEVICE).train()
        table = EMAQuantizer(spatial_dims=2, num_embeddings=k, embedding_dim=8, decay=0.99)
        monai = MonaiQuantizer(table).to(DEVICE).train()
        z_e = torch.randn(32, 8, *GRID, device=DEVICE, requires_grad=True)

        def step_of(loss: Callable[[Tensor], Tensor], z_e: Tensor = z_e) -> Callable[[], object]:
            return lambda: loss(z_e).backward()

        steps = {
            "voxlex": step_of(lambda z, q=own: (lambda out: out.z_q.sum() + out.loss)(q(z))),
            "vector-quantize-pytorch": step_of(lambda z, q=other: (lambda out: out[0].sum() + out[2].sum())(q(z))),
            "MONAI": step_of(lambda z, q=monai: (lambda out: out[1].sum() + out[0])(q(z))),
        }
        found = [f"{name} {milliseconds(step):.2f}, {gigabytes(step):.2f}" for name, step in steps.items()]
        print(f"K = {k:,}: " + "; ".join(found), flush=True)


def noise_images(count: int = 512) -> PreparedDataset:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 1, SIDE, SIDE), dtype=np.uint8)
    return PreparedDataset(images=pixels, manifest=pd.DataFrame({"label": [""] * count}), name="noise", fingerprint="")


def autoencoder_objective() -> AutoencoderObjective:
    config, data = load_recipe("default"), noise_images()
    return AutoencoderObjective(
        autoencoder=build_autoencoder(config.model),
        training=data,
        validation=data,
        schedule=config.training.autoencoder,
        loss_weights={"l1": config.losses.l1, "ssim": config.losses.ssim},
    )


def prior_objective(**size: int) -> PriorObjective:
    layout = CodeLayout(num_embeddings=NUM_EMBEDDINGS, grid=GRID)
    data = CodeBatch(torch.randint(NUM_EMBEDDINGS, (512, 1, *GRID)), torch.zeros(512, 0))
    prior = TransformerPrior(layout=layout, **size)
    return PriorObjective(prior=prior, training=data, validation=data, schedule=load_recipe("default").training.prior)


def step_of(objective: OnePlayer, fabric: Fabric, *, batch: int, record: bool) -> Callable[[], object]:
    for player in objective.players.values():
        player.set_up(fabric)
        player.on_devices.train()
    objective.keep_on(fabric.device)
    take = RecordedSteps(objective, Team(fabric)) if record else None

    def step() -> None:
        rows = fabric.to_device(objective.load(torch.randint(512, (batch,)), step=0))
        objective.player.set_rate(0.1)
        if take is None:
            objective.update(fabric, rows, progress=0.9)
        else:
            take(rows, progress=0.9)

    return step


def print_step(name: str, batch: int, way: str, step: Callable[[], object]) -> None:
    taken = milliseconds(step, warm_up=10)
    memory = "" if way == "replayed" else f"{gigabytes(step):6.2f}"  # a graph holds its memory between steps
    print(f"{name:24s} batch {batch:3d} {way:9s} {taken:7.2f} {1000 * batch / taken:8.0f} {memory}", flush=True)


def steps(batches: Sequence[int]) -> None:
    print("\nsteps: ms, images a second, peak GB")
    for batch in batches:
        for name, dtype in (("float32", None), ("bfloat16", torch.bfloat16)):
            print_step(f"MONAI VQVAE, {name}", batch, "plain", step_of_monai(batch, dtype))
    fabric = choose_devices(accelerator="gpu", precision="bf16-mixed")
    kinds: dict[str, Callable[[], OnePlayer]] = {
        "autoencoder": autoencoder_objective,
        "prior, default": prior_objective,
        "prior, 8 layers of 256": lambda: prior_objective(width=256, layers=8, heads=4),
    }
    for name, make in kinds.items():
        for batch in batches:
            for record in (True, False):
                torch.manual_seed(0)
                step = step_of(make(), fabric, batch=batch, record=record)
                print_step(name, batch, "replayed" if record else "plain", step)


def step_of_monai(batch: int, dtype: torch.dtype | None) -> Callable[[], object]:
    from monai_vqvae import monai_step, monai_vqvae

    torch.manual_seed(0)
    model = monai_vqvae(num_embeddings=NUM_EMBEDDINGS).to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    x = torch.rand(batch, 1, SIDE, SIDE, device=DEVICE)

    def step() -> None:
        with torch.autocast("cuda", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            monai_step(model, optimizer, x)

    return step


@torch.no_grad()
def sampling(images: int = 256) -> None:
    from monai.networks.nets import DecoderOnlyTransformer

    print(f"\nsampling {images} grids of 32x32 codes, K = {NUM_EMBEDDINGS:,}: images a second")
    size = {"width": 128, "layers": 4, "heads": 2}
    layouts = [CodeLayout(num_embeddings=NUM_EMBEDDINGS, grid=(side, side)) for side in (8, 16, 32)]
    by_scale = [
        MaskedPrior(layout=layout, context=layouts[:place], order="halton", steps=1, **size)
        for place, layout in enumerate(layouts)
    ]
    priors: dict[str, Prior] = {
        "transformer": TransformerPrior(layout=layouts[-1], **size),
        "masked": MaskedPrior(layout=layouts[-1], **size),
        "next scale": HierarchicalPrior(levels=by_scale),
        "PixelCNN": GatedPixelCNN(layout=layouts[-1]),
    }
    for name, prior in priors.items():
        prior = prior.to(DEVICE).eval()
        prior.sample(2)
        taken = milliseconds(lambda prior=prior: prior.sample(images), rounds=1, warm_up=0)
        print(f"{name:20s} {1000 * images / taken:9.1f}", flush=True)
    cells, timed = GRID[0] * GRID[1], 16
    transformer = DecoderOnlyTransformer(
        num_tokens=NUM_EMBEDDINGS + 1,
        max_seq_len=cells,
        attn_layers_dim=size["width"],
        attn_layers_depth=size["layers"],
        attn_layers_heads=size["heads"],
    )
    transformer = transformer.to(DEVICE).eval()

    def some_codes() -> None:
        for length in torch.linspace(1, cells, timed).long().tolist():
            logits = transformer(torch.zeros(images, length, dtype=torch.int64, device=DEVICE))
            torch.multinomial(logits[:, -1].softmax(dim=-1), 1)

    taken = milliseconds(some_codes, rounds=1, warm_up=1) * cells / timed
    print(f"{'MONAI transformer':20s} {1000 * images / taken:9.1f}", flush=True)


def volumes() -> None:
    print("\nvolumes: peak GB of a cube of 256^3 voxels, by the network of the recipe volumes")
    config = load_recipe("volumes")
    x = torch.rand(1, 1, 256, 256, 256, device=DEVICE)
    for checkpointing in (False, True):
        model = build_autoencoder(config.model).to(DEVICE)
        model.checkpoint_activations = checkpointing

        def step(model: torch.nn.Module = model) -> None:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                outputs = model(x)
            ((outputs.x_hat.float() - x).abs().mean() + sum(outputs.losses.values())).backward()

        if not checkpointing:
            model.eval()
            print(f"encoding {gigabytes(lambda model=model: model.encode(x)):.2f}")
            print(f"decoding {gigabytes(lambda model=model: model.decode(model.encode(x))):.2f}")
        model.train()
        step()
        print(f"a training step{', activations computed twice' * checkpointing} {gigabytes(step):.2f}", flush=True)


def training(source: str, seconds: list[float]) -> None:
    from voxlex import metrics
    from voxlex.data.sources import open_source
    from voxlex.images.frame import Frame
    from voxlex.models.batches import encode_dataset
    from voxlex.vocabulary import load
    from voxlex.workflows import train

    print("\ntraining: the autoencoder of the default recipe; test images")
    config = load_recipe("default")
    dataset = open_source(source, Frame(size=config.data.size))
    test = dataset.subset("test")
    stage = sized(config.training.autoencoder, device="cuda", pixels=SIDE * SIDE, rows=len(dataset.subset("train")))
    print(f"batch {stage.batch_size}, learning rate {stage.learning_rate:.4g}")
    for budget in seconds:
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            settings = replace(config.training, minutes=budget / 60, accelerator="gpu")
            with torch.enable_grad():
                run = train.train(
                    source, out=Path(folder) / "run", config=replace(config, training=settings), stage="autoencoder"
                )
            vocabulary = load(run.path, device=DEVICE)
            codes = encode_dataset(vocabulary.autoencoder, test)
            x = test.tensor()
            x_hat = torch.cat([vocabulary.decode(part).cpu() for part in codes.split(64)])
            used = torch.bincount(codes.flatten(), minlength=NUM_EMBEDDINGS)
            bits = metrics.entropy_bits(used.unsqueeze(0)) * GRID[0] * GRID[1] / SIDE**2
            steps = run.metadata()["stages"]["autoencoder"]["steps"]
            print(
                f"{budget:.0f} s: {steps} steps, SSIM {metrics.ssim(x_hat, x).mean():.4f}, "
                f"{metrics.psnr_db(x_hat, x).mean():.2f} dB at {bits:.3f} bit/pixel without a prior",
                flush=True,
            )


PARTS = {
    "search": search,
    "quantizers": quantizers,
    "sampling": sampling,
    "volumes": volumes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="without it, nothing is trained")
    parser.add_argument(
        "--only", nargs="+", choices=[*PARTS, "steps", "training"], default=[*PARTS, "steps", "training"]
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[4, 32, 64], help="of steps")
    parser.add_argument("--seconds", nargs="+", type=float, default=[30.0, 120.0])
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA GPU")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name, part in PARTS.items():
        if name in options.only:
            part()
    if "steps" in options.only:
        steps(options.batches)
    if options.source is not None and "training" in options.only:
        training(options.source, options.seconds)


if __name__ == "__main__":
    main()
