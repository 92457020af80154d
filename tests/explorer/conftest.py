"""An explorer of a small run with scans whose names and labels hold markup."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from voxlex.assembly import build_autoencoder
from voxlex.config import read_config
from voxlex.data.dataset import PreparedDataset
from voxlex.explorer.app import make_app
from voxlex.explorer.exhibit import Exhibit
from voxlex.models.weights import save_weights
from voxlex.run_folder import RunFolder
from voxlex.training.pictures import Shown, Strip

GOLDEN = Path(__file__).parent.parent / "golden"
MARKUP = "<img src=x onerror=\"document.title='broken'\">"


def scans_with_markup(folder: Path) -> Path:
    """Write the golden prepared set with markup in a name, and in a column that the run does not know."""
    dataset = PreparedDataset.open(GOLDEN / "prepared")
    manifest = dataset.manifest.copy()
    manifest.loc[len(manifest) - 1, "path"] = f"{MARKUP}.png"
    manifest["remark"] = [MARKUP if row % 2 else "plain & simple" for row in range(len(manifest))]
    replace(dataset, manifest=manifest).write(folder)
    return folder


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scans_with_markup(tmp_path_factory.mktemp("explorer") / "scans")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with the journal of another one, and pictures of three validations."""
    folder = tmp_path_factory.mktemp("explorer") / "little"
    shutil.copytree(GOLDEN / "transformer", folder)
    shutil.copy(GOLDEN / "unfinished" / "metrics.csv", folder)
    x = PreparedDataset.open(GOLDEN / "prepared").tensor([0, 1, 2])
    strip = Strip(RunFolder(folder).validations_file("autoencoder"))
    for step in (1, 2, 3):
        strip.add(Shown.of(x, x * step / 3), step=step, elapsed_s=step, figures={"ssim": step / 3})
    return folder


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for images of the same size with a coarser grid and two codebooks, and without a prior; its name is odd."""
    folder = tmp_path_factory.mktemp("explorer") / "<b>coarse"
    folder.mkdir()
    text = (GOLDEN / "masked" / "config.yaml").read_text().replace("downsampling: 4", "downsampling: 8")
    (folder / "config.yaml").write_text(text)
    shutil.copy(GOLDEN / "masked" / "metadata.json", folder)
    torch.manual_seed(0)
    model = build_autoencoder(read_config(folder / "config.yaml").model)
    with torch.no_grad():  # so that a codebook that has learnt nothing has more than one word in use
        for quantizer in model.quantizers:
            for values in quantizer.state_dict().values():
                if values.is_floating_point() and values.ndim >= 2:
                    values.normal_()
    save_weights(RunFolder(folder).autoencoder_file, model, about={})
    return folder


@pytest.fixture(scope="package")
def exhibit(run_folder: Path, scans: Path) -> Iterator[Exhibit]:
    shown = Exhibit(run_folder, str(scans))
    shown.refresh()
    shown.wait()
    assert shown.opening.problems == {}
    assert shown.survey is not None
    shown.survey.wait()
    yield shown
    shown.close()


@pytest.fixture(scope="package")
def client(exhibit: Exhibit) -> TestClient:
    """A client at the address of the explorer. The exhibit is open already and stays open, so there is no lifespan."""
    return TestClient(make_app(exhibit, host="127.0.0.1", port=8421), base_url="http://127.0.0.1:8421")
