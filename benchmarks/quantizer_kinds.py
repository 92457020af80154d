"""Compare kinds of quantizers at the same bits per pixel and training time, as a Markdown table.

    python benchmarks/quantizer_kinds.py SOURCE [--minutes 4.5] [--jobs 2] [--out runs/kinds] [--recipes default cosine]

Each recipe is trained and evaluated by the same commands that users run, in its own process with one core. --jobs sets
how many run at a time. All recipes train on the same split, and are evaluated on its test part. A run that is already
complete in --out is not trained again.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log2
from pathlib import Path

from voxlex.assembly import build_quantizer
from voxlex.config import load_recipe, recipe_names
from voxlex.run_folder import RunFolder


def differs_in_quantizer_alone(recipe: str) -> bool:
    """Return whether a recipe differs from the default in its quantizer at most."""
    config, default = load_recipe(recipe), load_recipe("default")
    return replace(config, model=replace(config.model, quantizer=default.model.quantizer)) == default


KINDS = sorted(name for name in recipe_names() if differs_in_quantizer_alone(name))


def voxlex(*words: str | Path | float) -> None:
    """Run a voxlex command on one core, and print its output only if it fails."""
    command = [sys.executable, "-m", "voxlex.cli", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def run(recipe: str, source: Path, options: argparse.Namespace) -> dict[str, float]:
    """Train and evaluate a recipe, and return its figures."""
    out, figures = options.out / recipe, options.out / f"{recipe}.json"
    if not figures.exists():
        settings = ["--minutes", options.minutes, "--training.prior-share", options.prior_share]
        voxlex("train", source, "--out", out, "--recipe", recipe, "--overwrite", *settings)
        voxlex("evaluate", out, source, "--samples", 0, "--json", figures)
    quantizer = build_quantizer(load_recipe(recipe).model.quantizer)
    found = json.loads(figures.read_text())
    found["bits_per_cell"] = quantizer.num_codebooks * log2(quantizer.num_embeddings)
    found["prior.bits_per_cell"] = quantizer.num_codebooks * found["prior.bits_per_code"]
    stages = RunFolder.open(out).metadata()["stages"]
    found["steps"], found["prior.steps"] = stages["autoencoder"]["steps"], stages["prior"]["steps"]
    print(f"done: {recipe}", file=sys.stderr, flush=True)
    return found


COLUMNS = {
    "bit/pixel": ("rate_bpp", ".3f"),
    "SSIM": ("reconstruction.ssim", ".4f"),
    "PSNR (dB)": ("reconstruction.psnr_db", ".2f"),
    "usage": ("codebook.usage", ".1%"),
    "perplexity": ("codebook.perplexity", ",.0f"),
    "bits per cell": ("bits_per_cell", ".2f"),
    "with prior": ("prior.bits_per_cell", ".2f"),
    "steps": ("steps", ",d"),
    "prior steps": ("prior.steps", ",d"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--minutes", type=float, default=4.5)
    parser.add_argument("--prior-share", type=float, default=1 / 3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/kinds"))
    parser.add_argument("--recipes", nargs="+", default=KINDS)
    options = parser.parse_args()
    prepared = options.out / "data"
    if not prepared.exists():
        voxlex("prepare", options.source, "--out", prepared)
    with ThreadPoolExecutor(options.jobs) as pool:
        figures = dict(
            zip(options.recipes, pool.map(lambda r: run(r, prepared, options), options.recipes), strict=True)
        )
    print("| recipe | " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---:|" * len(COLUMNS))
    for recipe in sorted(figures, key=lambda name: -figures[name]["reconstruction.ssim"]):
        cells = [format(figures[recipe][key], form) for key, form in COLUMNS.values()]
        print(f"| `{recipe}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
