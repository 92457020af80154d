"""Make a trained run one of the vocabularies that come with the package.

    python tools/ship.py RUN SOURCE --name brain-mri-128 --commands FILE

The weights are written in half precision, which is what users load. So the figures in `scores.json` are measured on
what is written, on the held-out part of SOURCE. `provenance.json` says where the weights come from.
"""

import argparse
import platform
import shutil
from datetime import UTC, datetime
from pathlib import Path

import torch

import voxlex
from voxlex.files import write_json
from voxlex.models.weights import save_weights
from voxlex.run_folder import RunFolder, versions
from voxlex.shipped import located
from voxlex.workflows.evaluate import evaluate, finite
from voxlex.workflows.opening import open_for

LARGEST = 12e6
"""Bytes of the files of a vocabulary, all together."""


def write_halves(run: Path, out: Path) -> None:
    """Copy the settings and the metadata of a run, and its weights in half precision."""
    source, target = RunFolder.open(run), RunFolder(out)
    vocabulary = voxlex.load(run)
    shutil.copyfile(source.config_file, target.config_file)
    shutil.copyfile(source.metadata_file, target.metadata_file)
    about = {"precision": "float16"}
    save_weights(target.autoencoder_file, vocabulary.autoencoder.half(), about=about)
    if vocabulary.texture is not None:
        save_weights(target.texture_file, vocabulary.texture.half(), about=about)
    if vocabulary.prior is not None:
        save_weights(target.prior_file, vocabulary.prior.half(), about=about)


def provenance(run: Path, commands: list[str]) -> dict[str, object]:
    """Say on what data, by which commands, for how long and with which versions a run was trained."""
    metadata = RunFolder.open(run).metadata()
    return {
        "data": metadata["data"],
        "commands": commands,
        "stages": metadata["stages"],
        "versions": versions() | {"python": platform.python_version()},
        "made": datetime.now(UTC).date().isoformat(),
    }


def scores(name: str, source: str) -> dict[str, dict[str, float | None]]:
    """Measure a shipped vocabulary on held-out images, by both sets of features."""
    vocabulary = voxlex.load(name)
    dataset = open_for(vocabulary.config, source)
    measured = {
        features: evaluate(vocabulary, dataset, samples=300, features=features).figures
        for features in ("default", "deep")
    }
    return {features: finite(figures) for features, figures in measured.items()}


def main() -> None:
    """Write the folder of the vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("source")
    parser.add_argument("--name", required=True)
    parser.add_argument("--commands", type=Path, required=True, help="file with the commands that trained the run")
    options = parser.parse_args()
    torch.set_num_threads(2)
    out = Path(voxlex.__file__).parent / "shipped" / options.name
    out.mkdir(parents=True, exist_ok=True)
    write_halves(options.run, out)
    commands = [line for line in options.commands.read_text(encoding="utf-8").splitlines() if line[:1] not in ("#", "")]
    write_json(out / "provenance.json", provenance(options.run, commands))
    assert located(Path(options.name)) == out
    write_json(out / "scores.json", scores(options.name, options.source))
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / 1e6:.1f} MB")
    if size > LARGEST:
        raise SystemExit(f"expected at most {LARGEST / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
