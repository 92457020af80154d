"""Compare the quality on held-out images with MONAI's VQVAE after the same training time.

    python benchmarks/time_to_quality.py SOURCE [--minutes 5] [--out runs/time-to-quality]

Both models train on the same prepared images and split. They are evaluated on validation images during training, and on
all test images at the end. MONAI's VQVAE trains as in its tutorials, with Adam, L1 plus quantization loss, float32 and
batches of 32. --monai-learning-rate sets its learning rate, so that you can choose the better one of 1e-4 and 1e-3.
"""

import argparse
import time
from pathlib import Path

import torch
from monai_vqvae import monai_step, monai_vqvae
from torch import nn

from voxlex import metrics
from voxlex.config import load_recipe, with_budget
from voxlex.data.dataset import PreparedDataset
from voxlex.data.sources import open_source
from voxlex.evaluation.reconstruction import evaluate_reconstruction
from voxlex.images.frame import Frame
from voxlex.rows import evenly_spaced
from voxlex.training.batches import Batches
from voxlex.training.journal import read_journal
from voxlex.vocabulary import load
from voxlex.workflows.train import train


@torch.no_grad()
def quality(model: nn.Module, images: PreparedDataset, rows: list[int]) -> tuple[float, float]:
    """Return the mean SSIM and the mean PSNR in dB of MONAI's reconstructions."""
    model.eval()
    ssim, psnr_db = [], []
    for start in range(0, len(rows), 32):
        x = images.tensor(rows[start : start + 32])
        x_hat = model(x)[0].clamp(0, 1)
        ssim.append(metrics.ssim(x_hat, x))
        psnr_db.append(metrics.psnr_db(x_hat, x))
    model.train()
    return float(torch.cat(ssim).mean()), float(torch.cat(psnr_db).mean())


def train_monai(dataset: PreparedDataset, *, minutes: float, learning_rate: float, looks: int = 10) -> nn.Module:
    """Train MONAI's VQVAE for some minutes and print its figures on the way."""
    torch.manual_seed(0)
    training, validation = dataset.subset("train"), dataset.subset("validation")
    batches = Batches(rows=len(training), batch_size=32, seed=0)
    model = monai_vqvae()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    started, step, seen = time.perf_counter(), 0, 0
    while (elapsed := time.perf_counter() - started) < 60 * minutes:
        monai_step(model, optimizer, training.tensor(batches[step]))
        step += 1
        if elapsed >= 60 * minutes * seen / looks:
            seen += 1
            ssim, psnr_db = quality(model, validation, evenly_spaced(len(validation), 64))
            print(f"MONAI   {elapsed:6.1f} s  step {step:6d}  SSIM {ssim:.4f}  PSNR {psnr_db:5.2f} dB", flush=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--monai-learning-rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("runs/time-to-quality"))
    options = parser.parse_args()

    config = with_budget(load_recipe(options.recipe), minutes=options.minutes, steps=None)
    dataset = open_source(options.source, Frame(size=config.data.size), seed=config.training.seed)
    test = dataset.subset("test")
    run = train(options.source, out=options.out, config=config, stage="autoencoder", overwrite=True)
    for row in read_journal(run.journal_file):
        if row["name"] in ("validation/ssim", "validation/psnr_db"):
            print(f"voxlex  {float(row['elapsed_s']):6.1f} s  step {row['step']:>6s}  {row['name']} {row['value']}")
    ours = evaluate_reconstruction(load(run.path).autoencoder, test).figures
    monai = train_monai(dataset, minutes=options.minutes, learning_rate=options.monai_learning_rate)
    theirs = quality(monai, test, list(range(len(test))))
    print(f"{len(test)} test images after {options.minutes:g} minutes each")
    print(f"MONAI   SSIM {theirs[0]:.4f}  PSNR {theirs[1]:.2f} dB")
    print(f"voxlex  SSIM {ours['reconstruction.ssim']:.4f}  PSNR {ours['reconstruction.psnr_db']:.2f} dB", end="  ")
    print(f"usage {ours['codebook.usage']:.3f}  {ours['rate_bpp']:.3f} bit/pixel")


if __name__ == "__main__":
    main()
