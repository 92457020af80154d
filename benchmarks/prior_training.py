"""Compare what a step of the transformer prior costs and what it teaches, with earlier settings and the present ones.

    python benchmarks/prior_training.py RUN SOURCE [--steps 400] [--variants "default" "AdamW" ...]

RUN is a run folder with an autoencoder that was trained on SOURCE. The training and validation images are encoded
once. Each variant then trains a new prior for the same number of steps on one thread. Seconds are those of the
processor: they suffer less from other work on the machine than those of the clock.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

import voxlex
from voxlex.assembly import build_prior
from voxlex.codes import from_levels
from voxlex.config import PriorConfig, PriorStageConfig
from voxlex.config.priors import TransformerPriorConfig
from voxlex.metrics import bits
from voxlex.priors import Conditions
from voxlex.run_folder import RunFolder
from voxlex.training.batch_size import number_of
from voxlex.training.batches import Batches
from voxlex.training.budget import learning_rate_factor
from voxlex.training.devices import automatic_precision, keep_freed_memory
from voxlex.training.objectives import CodeBatch
from voxlex.training.optimizers import optimizer_of
from voxlex.workflows.opening import open_for
from voxlex.workflows.prior_data import prior_data

PRIOR, STAGE = TransformerPriorConfig(condition_columns=()), PriorStageConfig()
VARIANTS = {
    "default": (PRIOR, STAGE),
    "AdamW": (PRIOR, replace(STAGE, optimizer="adamw", learning_rate=8e-3)),
    "one softmax": (replace(PRIOR, grouped=False), STAGE),
    "4 layers": (replace(PRIOR, layers=4), STAGE),
    "0.1.0": (replace(PRIOR, grouped=False, layers=4), replace(STAGE, optimizer="adamw", learning_rate=4e-3)),
}


class Codes:
    """Training and validation codes of a run, and the vectors that they stand for."""

    def __init__(self, run: Path, source: str) -> None:
        vocabulary = voxlex.load(run)
        images = open_for(RunFolder.open(run).config(), source)
        self.autoencoder = vocabulary.autoencoder
        self.layouts = self.autoencoder.layouts(images.images.shape[2:])
        parts = [prior_data(self.autoencoder, images.subset(split), Conditions()) for split in ("train", "validation")]
        self.training, self.validation = parts


def train(codes: Codes, config: PriorConfig, stage: PriorStageConfig, steps: int) -> tuple[float, float]:
    """Train a prior; return its bits per code of validation images, and the seconds of the processor for a step."""
    torch.manual_seed(0)
    prior = build_prior(config, layouts=codes.layouts, conditions=Conditions())
    vectors = from_levels([quantizer.codewords() for quantizer in codes.autoencoder.quantizers])
    prior.start(codes.training.codes, vectors)
    optimizer = optimizer_of(prior, stage)
    order = Batches(
        rows=len(codes.training.condition), batch_size=number_of(stage), seed=0, rank=0, processes=1, setting=""
    )
    taken = 0.0
    for step in range(steps):
        started = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * learning_rate_factor(step / steps, warmup=stage.warmup)
        optimizer.zero_grad()
        loss(prior, codes.training.rows(order[step])).backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), stage.gradient_clip)
        optimizer.step()
        taken += time.process_time() - started
    return validate(prior.eval(), codes.validation), taken / steps


def loss(prior: torch.nn.Module, batch: CodeBatch) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=automatic_precision("cpu") == "bf16-mixed"):
        return prior.loss(*batch)


@torch.no_grad()
def validate(prior: torch.nn.Module, held_out: CodeBatch) -> float:
    rows = torch.linspace(0, len(held_out.condition) - 1, min(128, len(held_out.condition))).long()
    return bits(sum(float(loss(prior, held_out.rows(row[None]))) for row in rows) / len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("source")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    codes = Codes(options.run, options.source)
    print("| prior | bits per code | ms per step | processor seconds |\n|---|---:|---:|---:|", flush=True)
    for name in options.variants:
        found, seconds = train(codes, *VARIANTS[name], options.steps)
        print(f"| {name} | {found:.3f} | {1e3 * seconds:.0f} | {seconds * options.steps:.0f} |", flush=True)


if __name__ == "__main__":
    main()
