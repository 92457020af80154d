"""Make the golden files with the voxlex that is installed: `python tests/golden/make.py NEW_FOLDER`.

It uses the command line and the public names of voxlex only, and takes about a minute on one core.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

import voxlex
from voxlex.cli import main

KEPT = ("config.yaml", "metadata.json", "autoencoder.safetensors", "prior.safetensors")
RESUMED_FROM = ("metrics.csv", "autoencoder.state.pt", "prior.state.pt")
SUBJECTS, STEPS = 10, 150

FLAT = {"size": 32}
CUBE = {"size": 16, "spacing_mm": 10.0}
RESIDUAL = {"kind": "residual", "width": 8, "stem_width": 4, "encoder_blocks": 1, "decoder_blocks": 1}
PAPER = {"kind": "paper", "width": 8, "blocks": 1, "block_width": 8}
TRANSFORMER = {"kind": "transformer", "width": 8, "layers": 1, "heads": 2, "kernel_size": 3, "embedding_dim": 8}
MASKED = {"kind": "masked", "width": 8, "layers": 1, "heads": 2, "kernel_size": 3, "steps": 3}
PIXELCNN = {"kind": "pixelcnn", "width": 4, "layers": 2, "kernel_size": 3, "embedding_dim": 4}

RUNS: dict[str, dict[str, Any]] = {
    "transformer": {
        "quantizer": {"kind": "vector", "num_embeddings": 16, "embedding_dim": 4},
        "prior": TRANSFORMER | {"condition_columns": ["label", "age"]},
    },
    "masked": {
        "quantizer": {"kind": "residual", "stage": {"num_embeddings": 8, "embedding_dim": 4}},
        "prior": MASKED,
    },
    "pixelcnn": {"quantizer": {"kind": "finite_scalar", "levels": [5, 3, 2]}, "prior": PIXELCNN},
    "volumes": {
        "data": CUBE,
        "quantizer": {"kind": "grouped", "group": {"num_embeddings": 8, "embedding_dim": 2}},
        "prior": PIXELCNN | {"condition_columns": ["age"]},
    },
    "paper": {
        "network": PAPER,
        "quantizer": {"kind": "vector", "num_embeddings": 16, "codebook": "loss", "distance": "cosine"},
    },
    "shared": {
        "quantizer": {"kind": "residual", "shared": True, "stage": {"num_embeddings": 8, "embedding_dim": 4}},
    },
    "lookup-free": {"quantizer": {"kind": "lookup_free", "num_bits": 4}},
    "sim-vq": {"quantizer": {"kind": "sim_vq", "num_embeddings": 16, "embedding_dim": 4}},
    "gumbel": {"quantizer": {"kind": "gumbel", "num_embeddings": 16, "embedding_dim": 4}},
}
"""Those without a prior have their first stage only."""

STOPPED_AT, LONGER = 20, 45
UNFINISHED: dict[str, Any] = {
    "steps": 30,
    "quantizer": {"kind": "vector", "num_embeddings": 8, "embedding_dim": 2},
    "network": RESIDUAL | {"width": 4},
    "prior": PIXELCNN | {"layers": 1},
}


def make(out: Path, work: Path) -> None:
    """Write all golden files into `out`; `work` is for what is not kept."""
    scans, volumes = write_pictures(work / "scans"), write_volumes(work / "heads")
    run("prepare", scans, "--out", out / "prepared", "--size", FLAT["size"])
    cube = ("--size", CUBE["size"], "--spacing-mm", CUBE["spacing_mm"])
    run("prepare", volumes, "--out", out / "prepared-volumes", *cube)
    for name, settings in RUNS.items():
        source = out / ("prepared-volumes" if "data" in settings else "prepared")
        stage = "all" if "prior" in settings else "autoencoder"
        recipe = write_recipe(work / f"{name}.yaml", settings)
        run("train", source, "--out", work / name, "--recipe", recipe, "--stage", stage)
        keep(work / name, out / name, KEPT)
        write_expected(out / name, out / "expected" / f"{name}.npz")
    run("evaluate", out / "transformer", out / "prepared", "--split", "all", "--json", out / "expected/evaluate.json")
    mixed = write_mixed(work / "mixed")
    for name, coded in (("transformer", mixed), ("masked", work / "scans" / "two"), ("volumes", mixed / "head.nii.gz")):
        write_codes(out, name, coded, work)
    write_unfinished(out, work)


def write_unfinished(out: Path, work: Path) -> None:
    """Interrupt a training in its second stage, and note what it comes to when it goes on."""
    train = ["train", out / "prepared", "--out", work / "unfinished"]
    with interrupted_after(UNFINISHED["steps"] + STOPPED_AT):
        run(*train, "--recipe", write_recipe(work / "unfinished.yaml", UNFINISHED), status=130)
    keep(work / "unfinished", out / "unfinished", (*KEPT, *RESUMED_FROM))
    run(*train, "--resume")
    write_expected(work / "unfinished", out / "expected" / "unfinished.npz")
    longer = ["train", out / "prepared", "--out", work / "longer", "--resume", "--stage", "autoencoder"]
    shutil.copytree(out / "unfinished", work / "longer")
    run(*longer, "--steps", LONGER)
    write_expected(work / "longer", out / "expected" / "unfinished-longer.npz")


def run(*words: object, status: int = 0) -> None:
    """Run a command of voxlex."""
    if main([str(word) for word in words]) != status:
        raise SystemExit(f"expected status {status} of voxlex {' '.join(map(str, words))}")


def write_recipe(path: Path, settings: Mapping[str, Any]) -> Path:
    """Write the recipe of a short training on the CPU."""
    data = settings.get("data", FLAT)
    recipe = {
        "data": data,
        "model": {
            "spatial_dims": 3 if data is CUBE else 2,
            "network": settings.get("network", RESIDUAL),
            "quantizer": settings["quantizer"],
        },
        "prior": settings.get("prior", TRANSFORMER),
        "training": {
            "minutes": None,
            "steps": settings.get("steps", STEPS),
            "accelerator": "cpu",
            "precision": "32-true",
            "autoencoder": {"batch_size": 2, "learning_rate": 0.01, "validations": 2},
            "prior": {"batch_size": 2, "learning_rate": 0.02, "validations": 2},
        },
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


def keep(run_folder: Path, out: Path, names: tuple[str, ...]) -> None:
    """Copy files of a run folder, those that are there."""
    out.mkdir(parents=True)
    for name in names:
        if (run_folder / name).exists():
            shutil.copy(run_folder / name, out / name)


def write_expected(run_folder: Path, out: Path) -> None:
    """Write fixed images with their codes, fixed codes with their images, and what the prior says of codes."""
    vocabulary = voxlex.load(run_folder)
    rng = np.random.default_rng(0)
    images, encoded = steady_images(vocabulary, rng)
    codes = random_codes(vocabulary, rng, like=encoded)
    expected = {"images": images, "encoded": encoded, "codes": codes, "decoded": vocabulary.decode(codes)}
    if vocabulary.prior is not None:
        asked = [{}, {"label": "tumour"}, {"label": "healthy", "age": 45}, {"age": 45}]
        names = vocabulary.conditions.names
        wanted = [some for some in asked if set(some) <= set(names)]
        expected["wanted"] = np.array([json.dumps(some) for some in wanted])
        scored = torch.cat([torch.from_numpy(encoded).long(), torch.from_numpy(codes).long()])
        expected["log_prob"] = np.stack([log_prob(vocabulary, scored, some) for some in wanted])
    out.parent.mkdir(exist_ok=True)
    np.savez_compressed(out, **{name: np.asarray(value) for name, value in expected.items()})


@torch.no_grad()
def log_prob(vocabulary: voxlex.Vocabulary, codes: torch.Tensor, wanted: Mapping[str, Any]) -> np.ndarray:
    """What the prior says of code grids, all under one condition."""
    given = vocabulary.conditions.encode({name: [value] * len(codes) for name, value in wanted.items()})
    return vocabulary.prior.log_prob(codes, given if wanted else None).numpy()


def steady_images(vocabulary: voxlex.Vocabulary, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw two images whose codes stay the same when every pixel is shaken a little, so that rounding changes none."""
    side, dims = vocabulary.config.data.size, vocabulary.autoencoder.spatial_dims
    for _ in range(100):
        images = np.stack([draw_head(rng, (side,) * dims, tumour=bool(place)) for place in range(2)])
        codes = vocabulary.encode(images)
        grey = torch.from_numpy(images / np.float32(255))[:, None]
        shaken = [grey + 1e-4 * torch.from_numpy(rng.standard_normal(grey.shape)).float() for _ in range(8)]
        if all(torch.equal(vocabulary.encode(some.clamp(0, 1)), codes) for some in shaken):
            return images, codes.numpy().astype(np.uint8)
    raise SystemExit("no images with steady codes")


def random_codes(vocabulary: voxlex.Vocabulary, rng: np.random.Generator, *, like: np.ndarray) -> np.ndarray:
    """Draw two code grids in which every codeword is likely to come."""
    return rng.integers(0, vocabulary.autoencoder.quantizer.num_embeddings, like.shape).astype(np.uint8)


def write_codes(out: Path, name: str, source: Path, work: Path) -> None:
    """Encode scans, decode them, and keep the codes and the grey values."""
    codes, decoded = out / "codes" / f"{name}.parquet", work / f"decoded-{name}"
    codes.parent.mkdir(exist_ok=True)
    run("encode", out / name, source, "--out", codes)
    run("decode", out / name, codes, "--out", decoded)
    arrays = {path.relative_to(decoded).as_posix(): read_scan(path) for path in sorted(decoded.rglob("*.*"))}
    np.savez_compressed(out / "expected" / f"decoded-{name}.npz", **arrays)


def read_scan(path: Path) -> np.ndarray:
    """Read the grey values of a PNG or NIfTI file."""
    if path.suffix == ".gz":
        return np.asarray(nibabel.load(path).dataobj)
    with Image.open(path) as image:
        return np.asarray(image)


def draw_head(rng: np.random.Generator, shape: tuple[int, ...], *, tumour: bool) -> np.ndarray:
    """Draw something like a head, uint8: a bright ellipsoid with a smooth pattern in it, and perhaps a bright spot."""
    axes = np.meshgrid(*[np.linspace(-1, 1, side) for side in shape], indexing="ij")
    radius = sum((axis / rng.uniform(0.6, 0.9)) ** 2 for axis in axes)
    waves = sum(np.sin(rng.uniform(2, 7) * axis + rng.uniform(0, 6)) for axis in axes)
    head = (radius < 1) * (0.5 + 0.12 * waves) + 0.3 * (abs(radius - 1) < 0.15)
    if tumour:
        head += 0.4 * (sum((axis - rng.uniform(-0.3, 0.3)) ** 2 for axis in axes) < 0.06)
    return np.rint(255 * (head + rng.normal(0, 0.01, shape)).clip(0, 1)).astype(np.uint8)


def write_pictures(folder: Path) -> Path:
    """Write pictures of labelled subjects, and the table that describes them."""
    rng, rows = np.random.default_rng(1), []
    (folder / "two").mkdir(parents=True)
    for subject in range(SUBJECTS):
        for scan in range(2):
            tumour, path = subject % 2 == 1, f"sub-{subject:02d}_{scan}.png"
            picture = Image.fromarray(draw_head(rng, (40, 36), tumour=tumour))
            picture.save(folder / path)
            if scan == 0 and subject < 2:
                picture.save(folder / "two" / path)
            label = "tumour" if tumour else "healthy"
            rows.append((path, f"sub-{subject:02d}", label, "" if subject == 3 else 25.5 + 5 * subject))
    pd.DataFrame(rows, columns=["path", "subject", "label", "age"]).to_csv(folder / "scans.csv", index=False)
    return folder / "scans.csv"


def write_volumes(folder: Path) -> Path:
    """Write volumes, and the table that describes them."""
    rng, rows = np.random.default_rng(2), []
    folder.mkdir()
    for subject in range(5):
        path = f"sub-{subject:02d}.nii.gz"
        write_head(folder / path, rng, tumour=subject % 2 == 1)
        rows.append((path, f"sub-{subject:02d}", 30 + 5 * subject))
    pd.DataFrame(rows, columns=["path", "subject", "age"]).to_csv(folder / "heads.csv", index=False)
    return folder / "heads.csv"


def write_mixed(folder: Path) -> Path:
    """Write an oblique volume, a picture, and a picture of 16 bits."""
    rng = np.random.default_rng(3)
    folder.mkdir()
    write_head(folder / "head.nii.gz", rng, tumour=True)
    Image.fromarray(draw_head(rng, (40, 36), tumour=False)).save(folder / "flat.png")
    deep = draw_head(rng, (36, 48), tumour=True).astype(np.uint16) * 13
    Image.fromarray(deep).save(folder / "deep.png")
    return folder


def write_head(path: Path, rng: np.random.Generator, *, tumour: bool) -> None:
    """Write a volume with axes that are flipped, swapped and slightly turned."""
    turned = np.array([[0, -9, 0.5, 70], [8, 0.4, 0, -60], [0.3, 0, 10, -55], [0, 0, 0, 1]], dtype=float)
    voxels = draw_head(rng, (15, 14, 12), tumour=tumour).astype(np.int16) * 4 - 100
    nibabel.save(nibabel.Nifti1Image(voxels, turned), path)


@contextmanager
def interrupted_after(steps: int) -> Iterator[None]:
    """Send SIGINT, as Ctrl-C does, after so many steps of optimizers."""
    left = iter(range(steps - 1))

    def count(*_: object) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGINT)

    hook = register_optimizer_step_post_hook(count)
    try:
        yield
    finally:
        hook.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="NEW_FOLDER")
    new = parser.parse_args().out
    new.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["VOXLEX_CACHE"] = f"{temporary}/cache"
        make(new, Path(temporary))
