"""Regions of volumes drawn anew from the command line: geometry, grey values, and what is refused."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from scans.dicom_files import make_dicom_series, secrets_in
from scans.heads import LAS, OBLIQUE, PSR, RAS, head, write_volume
from voxlex import Vocabulary, load
from voxlex.assembly import build_autoencoder, build_prior
from voxlex.cli import main
from voxlex.codes import CodeLayout
from voxlex.config import Config, DataConfig, ModelConfig
from voxlex.config.networks import ResidualNetworkConfig
from voxlex.config.priors import MaskedPriorConfig, TransformerPriorConfig
from voxlex.config.quantizers import VectorQuantizerConfig
from voxlex.models.weights import save_weights
from voxlex.priors import Conditions
from voxlex.run_folder import RunFolder

PRIORS = {
    "masked": MaskedPriorConfig(width=8, layers=1, kernel_size=3, steps=3),
    "transformer": TransformerPriorConfig(width=8, layers=1, kernel_size=3, embedding_dim=4),
}
SHAPE = (24, 30, 20)


def untrained_run(path: Path, kind: str) -> Path:
    """A vocabulary of volumes that has learned nothing: 32³ voxels of 1 mm, 8³ codes."""
    network = ResidualNetworkConfig(downsampling=4, width=8, stem_width=8)
    model = ModelConfig(spatial_dims=3, network=network, quantizer=VectorQuantizerConfig(num_embeddings=16))
    config = Config(data=DataConfig(size=32, spacing_mm=1.0), model=model, prior=PRIORS[kind])
    folder = RunFolder.create(path, config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_weights(folder.autoencoder_file, build_autoencoder(model), about={})
        layout = CodeLayout(num_embeddings=16, grid=(8, 8, 8))
        prior = build_prior(config.prior, layouts=[layout], conditions=Conditions())
        save_weights(folder.prior_file, prior, about={})
    folder.update_metadata({"conditions": Conditions().describe()})
    return folder.path


@pytest.fixture(scope="module", params=list(PRIORS))
def any_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", request.param)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", "masked")


@pytest.fixture(scope="module")
def region() -> np.ndarray:
    """A lopsided part of the head around its mark, right, in front, on top, in canonical order."""
    chosen = np.zeros(SHAPE, np.uint8)
    chosen[12:20, 16:24, 11:16] = 1
    chosen[8:12, 16:19, 11:13] = 1
    return chosen


def grey(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def inpaint(run: Path, scan: Path, mask: Path, out: Path, *more: str) -> int:
    return main(["inpaint", str(run), str(scan), "--mask", str(mask), "--out", str(out), "--count", "3", *more])


def test_draws_are_the_scan_outside_the_mask_and_differ_in_it(
    any_run: Path, region: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_volume(tmp_path / "head.nii.gz", head(SHAPE), OBLIQUE)
    mask = write_volume(tmp_path / "mask.nii.gz", region, OBLIQUE)
    assert inpaint(any_run, scan, mask, tmp_path / "new") == 0
    assert "3 draws in" in capsys.readouterr().out
    draws = [f"draw-000{number}.nii.gz" for number in range(3)]
    names = {"inpainted.png", "mean.nii.gz", "deviation.nii.gz", *draws}
    assert {file.name for file in (tmp_path / "new").glob("[!.]*")} == names
    original, chosen = nibabel.load(scan), grey(mask) == 1
    for name in names - {"inpainted.png"}:
        written = nibabel.load(tmp_path / "new" / name)
        np.testing.assert_array_equal(written.affine, original.affine)
        assert written.get_data_dtype() == (np.float32 if name == "deviation.nii.gz" else np.int16)
        outside = np.asanyarray(written.dataobj)[~chosen]
        assert np.array_equal(outside, 0 * outside if name == "deviation.nii.gz" else grey(scan)[~chosen])
    values = np.stack([grey(tmp_path / "new" / name) for name in draws])
    np.testing.assert_allclose(grey(tmp_path / "new" / "deviation.nii.gz"), values.std(axis=0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(grey(tmp_path / "new" / "mean.nii.gz"), values.mean(axis=0), atol=0.51)
    assert (values.std(axis=0)[chosen] > 0).mean() > 0.9
    with Image.open(tmp_path / "new" / "inpainted.png") as sheet:
        assert min(sheet.size) > 256


def test_many_draws_come_some_at_a_time(any_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary, said = load(any_run), []
    volume, mask = np.random.default_rng(0).random((32, 32, 32), np.float32), np.zeros((32, 32, 32), bool)
    mask[8:20, 4:16, 10:22] = True
    monkeypatch.setattr("voxlex.vocabulary._CELLS_AT_ONCE", 2 * 8 * 8**3)
    draws = vocabulary.inpaint(volume, mask, count=5, seed=1, progress=lambda *done: said.append(done))
    assert draws.shape == (5, 1, 32, 32, 32)
    assert len({draw[0, mask].numpy().tobytes() for draw in draws}) == 5
    assert torch.equal(draws[:, 0, ~mask], torch.from_numpy(volume)[~mask].expand(5, -1))
    assert said == sorted(said)
    assert said[-1][0] == said[-1][1]
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        vocabulary.inpaint(volume, mask, count=0)


def test_the_same_seed_draws_the_same(run: Path, region: np.ndarray, tmp_path: Path) -> None:
    scan, mask = write_volume(tmp_path / "a.nii", head(SHAPE)), write_volume(tmp_path / "m.nii", region)
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert inpaint(run, scan, mask, tmp_path / name, "--seed", seed) == 0
    a, b, c = ((tmp_path / name / "draw-0001.nii.gz").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.fixture
def faithful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the vocabulary draw what is there already, and then the brightest there can be."""

    def draw(vocabulary: Vocabulary, image: np.ndarray, mask: np.ndarray, **options: object) -> torch.Tensor:
        seen = torch.from_numpy(image / np.float32(65535))
        return torch.stack([seen, seen.masked_fill(torch.from_numpy(mask), 1.0)])[:, None]

    monkeypatch.setattr(Vocabulary, "inpaint", draw)


@pytest.mark.usefixtures("faithful")
@pytest.mark.parametrize("affine", [RAS, LAS, PSR])
def test_nothing_is_flipped_or_moved(run: Path, region: np.ndarray, tmp_path: Path, affine: np.ndarray) -> None:
    scan = write_volume(tmp_path / "head.nii.gz", head(SHAPE), affine)
    mask = write_volume(tmp_path / "mask.nii.gz", region, affine)
    assert inpaint(run, scan, mask, tmp_path / "new") == 0
    before, chosen = grey(scan).astype(int), grey(mask) == 1
    same, bright = (grey(tmp_path / "new" / f"draw-000{number}.nii.gz") for number in (0, 1))
    assert np.abs(same - before).max() <= 1
    assert np.array_equal(bright != before, chosen & (before < 1000))
    assert (bright[chosen] == 1000).all()


@pytest.mark.usefixtures("faithful")
def test_another_spacing_costs_sharpness_and_nothing_else(run: Path, region: np.ndarray, tmp_path: Path) -> None:
    scan = write_volume(tmp_path / "head.nii.gz", head(SHAPE), OBLIQUE)
    mask = write_volume(tmp_path / "mask.nii.gz", region, OBLIQUE)
    assert inpaint(run, scan, mask, tmp_path / "new") == 0
    before, chosen = grey(scan), grey(mask) == 1
    same, bright = (grey(tmp_path / "new" / f"draw-000{number}.nii.gz") for number in (0, 1))
    assert np.corrcoef(before[chosen], same[chosen])[0, 1] > 0.95
    assert (bright[chosen] == 1000).all()


@pytest.mark.usefixtures("faithful")
def test_a_dicom_series_comes_back_where_it_was_scanned(run: Path, region: np.ndarray, tmp_path: Path) -> None:
    affine = np.array([[-1.0, 0, 0, 40], [0, -1, 0, 50], [0, 0, 1, -20], [0, 0, 0, 1]])
    make_dicom_series(tmp_path / "series", head(SHAPE)[::-1, ::-1], affine)
    mask = write_volume(tmp_path / "mask.nii.gz", region, affine)
    assert inpaint(run, tmp_path / "series", mask, tmp_path / "new") == 0
    drawn = nibabel.as_closest_canonical(nibabel.load(tmp_path / "new" / "draw-0000.nii.gz"))
    np.testing.assert_allclose(drawn.affine, [[1, 0, 0, 17], [0, 1, 0, 21], [0, 0, 1, -20], [0, 0, 0, 1]])
    assert np.abs(drawn.get_fdata() - head(SHAPE)).max() <= 1
    for file in (tmp_path / "new").glob("*.nii.gz"):
        assert [secret for secret in secrets_in(gzip.decompress(file.read_bytes())) if len(secret) > 5] == []


@pytest.mark.usefixtures("faithful")
def test_numbers_that_stand_for_grey_values_stay_those_of_the_file(
    run: Path, region: np.ndarray, tmp_path: Path
) -> None:
    image = nibabel.Nifti1Image(head(SHAPE), RAS)
    image.header.set_slope_inter(0.25, -3.0)
    nibabel.save(image, tmp_path / "scaled.nii.gz")
    scan, mask = nibabel.load(tmp_path / "scaled.nii.gz"), write_volume(tmp_path / "mask.nii.gz", region)
    assert inpaint(run, tmp_path / "scaled.nii.gz", mask, tmp_path / "new") == 0
    drawn = nibabel.load(tmp_path / "new" / "draw-0001.nii.gz")
    assert (drawn.dataobj.slope, drawn.dataobj.inter) == (0.25, -3.0)
    assert np.array_equal(drawn.dataobj.get_unscaled()[region == 0], scan.dataobj.get_unscaled()[region == 0])


@pytest.mark.usefixtures("faithful")
def test_a_head_larger_than_the_cube_stays_whole(run: Path, tmp_path: Path) -> None:
    large = (60, 70, 50)  # mm, of which the cube holds 32
    scan = write_volume(tmp_path / "head.nii.gz", head(large))
    inside, reaching = np.zeros(large, np.uint8), np.zeros(large, np.uint8)
    inside[25:35, 30:40, 20:30] = reaching[25:35, 30:66, 20:30] = 1
    assert inpaint(run, scan, write_volume(tmp_path / "in.nii.gz", inside), tmp_path / "new") == 0
    drawn = grey(tmp_path / "new" / "draw-0001.nii.gz")
    assert np.array_equal(drawn[inside == 0], head(large)[inside == 0])


def test_what_does_not_fit_is_refused_and_nothing_written(
    run: Path, region: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, mask = write_volume(tmp_path / "head.nii.gz", head(SHAPE)), write_volume(tmp_path / "mask.nii.gz", region)
    large = write_volume(tmp_path / "large.nii.gz", head((60, 70, 50)))
    whole = write_volume(tmp_path / "whole.nii.gz", np.ones((60, 70, 50), np.uint8))
    Image.fromarray(np.eye(30, dtype=np.uint8) * 255).save(tmp_path / "picture.png")
    picture = tmp_path / "picture.png"
    refused = [
        (
            scan,
            write_volume(tmp_path / "none.nii.gz", 0 * region),
            "none.nii.gz: expected a mask that is not 0 everywhere",
        ),
        (
            scan,
            write_volume(tmp_path / "cut.nii.gz", region[1:]),
            "cut.nii.gz: expected a mask with the size of the scan",
        ),
        (scan, write_volume(tmp_path / "las.nii.gz", region, LAS), "las.nii.gz: its voxels lie up to"),
        (scan, picture, "picture.png: expected a mask with the size of the scan"),
        (picture, mask, "picture.png: expected a volume for a run of volumes, got a picture"),
        (large, whole, "whole.nii.gz: 177232 of 210000 voxels lie outside the cube of 32 mm"),
        (write_volume(tmp_path / "flat.nii.gz", 0 * head(SHAPE)), mask, "flat.nii.gz: constant image"),
        (tmp_path / "missing.nii.gz", mask, "missing.nii.gz: no such file"),
    ]
    for image, over, said in refused:
        assert inpaint(run, image, over, tmp_path / "new") == 1
        error = capsys.readouterr().err.strip()
        assert f"{tmp_path}/{said}" in error
        assert "\n" not in error
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("faithful")
def test_draws_of_an_earlier_call_do_not_stay_among_the_new(run: Path, region: np.ndarray, tmp_path: Path) -> None:
    scan, mask = write_volume(tmp_path / "head.nii.gz", head(SHAPE)), write_volume(tmp_path / "mask.nii.gz", region)
    assert inpaint(run, scan, mask, tmp_path / "new") == 0
    earlier = (tmp_path / "new" / "draw-0001.nii.gz").read_bytes()
    mine = ("draw-0007.txt", "draw-7.nii.gz", "my-draw-0007.nii.gz")
    for name in (*mine, "draw-0002.nii.gz", "draw-0011.nii.gz"):
        (tmp_path / "new" / name).write_bytes(earlier)
    assert inpaint(run, scan, mask, tmp_path / "new", "--overwrite") == 0
    draws = {"draw-0000.nii.gz", "draw-0001.nii.gz"}
    names = {"inpainted.png", "mean.nii.gz", "deviation.nii.gz", *mine, *draws}
    assert {file.name for file in (tmp_path / "new").glob("[!.]*")} == names


def test_a_place_that_is_taken_is_refused_before_anything_is_drawn(
    run: Path, region: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, mask = write_volume(tmp_path / "head.nii.gz", head(SHAPE)), write_volume(tmp_path / "mask.nii.gz", region)
    monkeypatch.setattr(Vocabulary, "inpaint", lambda *_, **__: pytest.fail("was drawn"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    assert inpaint(run, scan, mask, tmp_path / "taken") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "taken").iterdir()] == ["mine.txt"]
