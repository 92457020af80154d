"""Every recipe goes the whole way: train, evaluate, store, restore, sample."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from voxlex.cli import main
from voxlex.config import recipe_names
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame

pytestmark = pytest.mark.slow

TINY = ["--steps", "3", "--size", "32", "--model.network.width", "16", "--prior.width", "16", "--prior.layers", "2"]
TINY += [
    "--training.texture.validations",
    "1",
    "--training.autoencoder.batch-size",
    "4",
    "--training.prior.batch-size",
    "4",
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    PhantomSource(PhantomOptions(subjects=6, slices=3)).write(folder, Frame(size=32), seed=1)
    return folder


def pixels(folder: Path) -> dict[Path, np.ndarray]:
    return {path.relative_to(folder): np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))}


@pytest.mark.parametrize("recipe", sorted(set(recipe_names()) - {"paper", "volumes"}))
def test_every_recipe_goes_the_whole_way(recipe: str, images: Path, tmp_path: Path) -> None:
    run, codes = str(tmp_path / "run"), str(tmp_path / "codes.parquet")
    assert main(["train", str(images), "--out", run, "--recipe", recipe, *TINY]) == 0
    assert main(["evaluate", run, str(images), "--split", "all", "--json", str(tmp_path / "figures.json")]) == 0
    assert main(["encode", run, str(images), "--out", codes]) == 0
    assert main(["decode", run, codes, "--out", str(tmp_path / "decoded")]) == 0
    assert main(["reconstruct", run, str(images), "--out", str(tmp_path / "said")]) == 0
    assert main(["sample", run, "--count", "2", "--out", str(tmp_path / "new")]) == 0
    decoded, said = pixels(tmp_path / "decoded"), pixels(tmp_path / "said")
    assert len(decoded) == 18
    assert all(np.array_equal(image, said[name]) for name, image in decoded.items())
    assert len(pixels(tmp_path / "new")) >= 2
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert all(np.isfinite(value) for value in figures.values())
