"""Compare priors on the codes of one autoencoder after the same training time, as a Markdown table.

    python benchmarks/priors.py RUN SOURCE [--minutes 4] [--jobs 2] [--out runs/priors]

RUN is a run folder with an autoencoder that was trained on SOURCE. It is copied for each prior. The prior is
then trained and evaluated in the copy by the same commands that users run, each in a process with one core.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from voxlex.config import dump_config, load_recipe, read_config, with_prior_of
from voxlex.run_folder import RunFolder

PRIORS: dict[str, tuple[str, dict[str, Any]]] = {
    "transformer": ("default", {}),
    "pixelcnn": ("pixelcnn", {}),
    "masked": ("masked", {}),
    "masked-halton": ("masked", {"order": "halton"}),
}
"""The recipe of each prior, and what is changed in its settings."""
PRIOR_FILES = ("prior.safetensors", "prior.state.pt", "report.html", "samples.png")


def voxlex(*words: str | Path | float) -> None:
    """Run a voxlex command on one core, and print its output only if it fails."""
    command = [sys.executable, "-m", "voxlex.cli", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def run(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Train and evaluate a prior, and return its figures."""
    out = options.out / name
    recipe, changes = PRIORS[name]
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(options.run, out, ignore=lambda _, names: [name for name in names if name in PRIOR_FILES])
    config = with_prior_of(read_config(out / "config.yaml"), load_recipe(recipe))
    config = replace(config, prior=replace(config.prior, **changes))
    (out / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    voxlex("train", options.source, "--out", out, "--stage", "prior", "--minutes", options.minutes)
    voxlex("evaluate", out, options.source, "--json", options.out / f"{name}.json")
    stage = RunFolder.open(out).metadata()["stages"]["prior"]
    print(f"done: {name}", file=sys.stderr, flush=True)
    return json.loads((options.out / f"{name}.json").read_text()) | {"steps": stage["steps"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/priors"))
    options = parser.parse_args()
    with ThreadPoolExecutor(options.jobs) as pool:
        found = dict(zip(PRIORS, pool.map(lambda name: run(name, options), PRIORS), strict=True))
    columns = ("swd", "frechet", "precision", "recall", "coverage", "copies")
    print("| prior | bits per code | steps | " + " | ".join(columns) + " |")
    print("|---|---:|---:|" + "---:|" * len(columns))
    for name, figures in found.items():
        bits = figures.get("prior.bits_per_code")
        written = f"≤ {figures['prior.bits_per_code_at_most']:.2f}" if bits is None else f"{bits:.2f}"
        cells = [f"{figures[f'generation.{column}']:.3f}" for column in columns]
        print(f"| {name} | {written} | {figures['steps']:,} | " + " | ".join(cells) + " |")
    first = next(iter(found.values()))
    print(f"| the marginal of the codes | {first['prior.marginal_bits_per_code']:.2f} | |" + " |" * len(columns))
    cells = [f"{first[f'generation.{column}_floor']:.3f}" for column in columns]
    print("| real images | | | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
