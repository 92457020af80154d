"""`voxlex export --format monai-bundle`: a bundle by MONAI's own rules, which does what the commands do."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hostile.command import check_refusal, run, snapshot
from scans.heads import LAS, PSR, head, write_volume
from two_levels import untrained, vocabulary
from voxlex import load
from voxlex.cli import main
from voxlex.export.bundle import bundle_metadata
from voxlex.workflows.bundle import export_bundle
from voxlex.workflows.in_monai import Encoder, Images, Reconstructor

GOLDEN = Path(__file__).parent.parent / "golden"
RUNS = ("transformer", "volumes")

TENSOR = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")
NETWORK = {
    "type": "object",
    "required": ["inputs", "outputs"],
    "additionalProperties": {
        "additionalProperties": {
            "required": list(TENSOR),
            "properties": {
                "num_channels": {"type": "integer"},
                "spatial_shape": {"items": {"type": ["string", "integer"]}},
                "value_range": {"items": {"type": "number"}},
                "is_patch_data": {"type": "boolean"},
                "channel_def": {"type": "object"},
            },
        }
    },
}
TEXTS = ("schema", "version", "monai_version", "pytorch_version", "numpy_version")
TEXTS += ("task", "description", "authors", "copyright")
SCHEMA = {
    "type": "object",
    "required": [*TEXTS, "required_packages_version", "network_data_format"],
    "properties": {
        **{name: {"type": "string"} for name in TEXTS},
        "required_packages_version": {"type": "object"},
        "eval_metrics": {"type": "object"},
        "references": {"items": {"type": "string"}},
    },
    "patternProperties": {"_data_format$": NETWORK},
}
"""What MONAI's specification asks of `metadata.json`."""

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # that a bundle can run code


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for name in RUNS:
        given = ["--format", "monai-bundle", "--out", str(folder / name), "--license", "cc-by-4.0"]
        assert main(["export", str(GOLDEN / name), *given]) == 0
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads in different orders of axes, one of them with long voxels."""
    folder = tmp_path_factory.mktemp("scans")
    for number, affine in enumerate((LAS, PSR @ np.diag([1.5, 1, 2, 1]))):
        write_volume(folder / f"sub-{number}" / "t1.nii.gz", head((20, 24, 10), seed=number), affine)
    return folder


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", RUNS)
def test_monai_writes_what_the_commands_write(name: str, bundles: Path, scans: Path, tmp_path: Path) -> None:
    from monai.bundle import ConfigWorkflow

    if name == "transformer":  # pictures, too
        Image.fromarray(head()[:, :, 16].astype(np.uint16)).save(scans / "picture.png")
    workflow = ConfigWorkflow(
        config_file=str(bundles / name / "configs" / "inference.json"),
        workflow_type="inference",
        logging_file=False,
        bundle_root=str(bundles / name),
        dataset_dir=str(scans),
        output_dir=str(tmp_path / "theirs"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    ours, run = tmp_path / "ours", str(GOLDEN / name)
    assert main(["encode", run, str(scans), "--out", str(ours / "codes.parquet")]) == 0
    assert main(["reconstruct", run, str(scans), "--out", str(ours / "reconstructions")]) == 0
    assert len(everything_in(ours)) >= 4
    assert everything_in(tmp_path / "theirs") == everything_in(ours)
    (scans / "picture.png").unlink(missing_ok=True)


@pytest.mark.parametrize("name", RUNS)
def test_metadata_says_what_monai_asks_and_what_the_network_takes_and_gives(
    name: str, bundles: Path, tmp_path: Path
) -> None:
    from monai.bundle import verify_metadata, verify_net_in_out

    file, config = (str(bundles / name / "configs" / f"{which}.json") for which in ("metadata", "inference"))
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    known = hashlib.sha256(schema.read_bytes()).hexdigest()
    verify_metadata(meta_file=file, filepath=str(schema), hash_val=known, hash_type="sha256")
    verify_net_in_out(
        net_id="network_def", meta_file=file, config_file=config, device="cpu", bundle_root=str(bundles / name)
    )
    about, network = json.loads(Path(file).read_text()), load(GOLDEN / name)
    assert about["name"] == name
    (image,) = about["network_data_format"]["inputs"].values()
    codes = about["encoder_data_format"]["outputs"]["codes"]
    x = torch.rand(1, image["num_channels"], *image["spatial_shape"])
    found = Encoder(Reconstructor(bundles / name / "models" / "run"))(x)
    assert torch.equal(found, network.encode(x))
    assert found.shape == (1, codes["num_channels"], *codes["spatial_shape"])
    assert str(found.dtype) == f"torch.{codes['dtype']}"
    assert codes["value_range"] == [0, network.layouts[0].num_embeddings - 1]


def test_codes_of_several_levels_are_described_one_by_one() -> None:
    about = bundle_metadata(vocabulary(untrained(), None), name="two", licence=None, figures={"ssim": 0.9})
    assert list(about["encoder_data_format"]["outputs"]) == ["codes_0", "codes_1"]
    assert about["eval_metrics"] == {"ssim": 0.9}
    assert about["copyright"] == "not said"


def test_weights_are_plain_tensors_and_the_run_is_a_run(bundles: Path) -> None:
    bundle = bundles / "transformer"
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    network = Reconstructor(GOLDEN / "transformer")
    assert weights.keys() == network.state_dict().keys()
    network.load_state_dict(weights)
    x = torch.rand(2, 1, 32, 32)
    assert torch.equal(network(x), load(bundle / "models" / "run").reconstruct(x))
    own = {f"models/run/{file.name}" for file in (GOLDEN / "transformer").iterdir()}
    described = {"models/model.pt", "docs/README.md", "LICENSE"}
    described |= {f"configs/{name}" for name in ("metadata.json", "inference.json", "logging.conf")}
    assert everything_in(bundle).keys() - own == described
    assert not any(str(GOLDEN).encode() in content for content in everything_in(bundle).values())


def test_the_card_and_the_licence_are_there(bundles: Path, tmp_path: Path) -> None:
    card = (bundles / "volumes" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "# volumes" in card
    assert 'license: "cc-by-4.0"' in card
    assert "voxlex.load(" in card
    assert "cc-by-4.0" in (bundles / "volumes" / "LICENSE").read_text(encoding="utf-8")
    export_bundle(GOLDEN / "volumes", out=tmp_path / "bundle")
    assert "was not said" in (tmp_path / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "Ask their owner" in (tmp_path / "bundle" / "LICENSE").read_text(encoding="utf-8")


def test_the_data_set_of_a_bundle_has_the_images_of_the_run(bundles: Path, scans: Path) -> None:
    network = Reconstructor(bundles / "transformer" / "models" / "run")
    images = Images(network, scans)
    loaded = next(iter(torch.utils.data.DataLoader(images, batch_size=3)))
    assert loaded["path"] == ["sub-0/t1.nii.gz"] * 3
    expected = network.vocabulary.images_of(voxlex_scan(scans / "sub-0" / "t1.nii.gz")).images[:3]
    np.testing.assert_allclose(loaded["image"][:, 0], np.stack(expected) / 65535, atol=1e-6)
    assert len(images) == len(images.prepared)


def voxlex_scan(file: Path) -> object:
    from voxlex import read_scan

    return read_scan(file)


def test_what_is_there_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    before = snapshot(tmp_path)
    said = run(capfd, "export", GOLDEN / "volumes", "--format", "monai-bundle", "--out", tmp_path / "out")
    check_refusal(said, names="out", says="exists already")
    said = run(capfd, "export", GOLDEN / "volumes", "--license", "mit", "--out", tmp_path / "new")
    check_refusal(said, names="--license", says="expected --format monai-bundle")
    assert snapshot(tmp_path) == before


@pytest.mark.slow
def test_the_command_of_monai_runs_a_bundle(bundles: Path, scans: Path, tmp_path: Path) -> None:
    pytest.importorskip("fire", reason="MONAI's command line needs it")
    given = ["--config_file", "configs/inference.json", "--dataset_dir", str(scans), "--output_dir", str(tmp_path)]
    command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", *given]
    done = subprocess.run(command, cwd=bundles / "volumes", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"codes of 2 images in {tmp_path / 'codes.parquet'}" in done.stdout
    assert {"codes.parquet", "reconstructions"} == {path.name for path in tmp_path.iterdir()}
