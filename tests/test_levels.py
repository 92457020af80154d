"""A model with codes at two scales goes through every verb, as one with a single level does."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric

from two_levels import two_levels, untrained, vocabulary
from voxlex import Frame, Vocabulary, open_source
from voxlex.assembly import build_prior
from voxlex.code_table import read_code_table
from voxlex.codes import CodeLayout, touched_cells
from voxlex.config import StageConfig
from voxlex.config.options import PhantomOptions
from voxlex.config.priors import TransformerPriorConfig
from voxlex.data.dataset import PreparedDataset
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.errors import CodesError
from voxlex.evaluation.reconstruction import evaluate_reconstruction
from voxlex.health import codebook_health
from voxlex.models import VQVAE, Decoder, Encoder, MultiScaleVQVAE, tiling
from voxlex.models.tiling import decode_tiled, encode_tiled
from voxlex.pages.measures import measured
from voxlex.priors import Conditions
from voxlex.quantizers import VectorQuantizer
from voxlex.run_folder import RunFolder
from voxlex.scans.read_write import read_scan
from voxlex.training.budget import Budget
from voxlex.training.journal import read_journal
from voxlex.training.loop import fit
from voxlex.training.objective import Objective
from voxlex.training.objectives import AutoencoderObjective, PriorObjective
from voxlex.training.team import Team
from voxlex.workflows.decode import decode
from voxlex.workflows.encode import encode
from voxlex.workflows.evaluate import evaluate
from voxlex.workflows.prior_data import prior_data
from voxlex.workflows.reconstruct import reconstruct
from voxlex.workflows.report import write_run_report
from voxlex.workflows.sample import sample

pytestmark = pytest.mark.slow

SCHEDULE = StageConfig(batch_size=8, learning_rate=1e-2, weight_decay=1e-2, warmup=0.1, validations=2)


def train(objective: Objective[Any], folder: Path, *, steps: int) -> None:
    team = Team(Fabric(accelerator="cpu", devices=1))
    fit(objective, team=team, budget=Budget(steps=steps), schedule=SCHEDULE, seed=0, files=RunFolder(folder))


@pytest.fixture(scope="module")
def images() -> PreparedDataset:
    return open_source(PhantomSource(PhantomOptions(subjects=10, slices=4)), Frame(size=32))


@pytest.fixture(scope="module")
def model() -> MultiScaleVQVAE:
    return untrained()


@pytest.fixture(scope="module")
def taught(model: MultiScaleVQVAE, images: PreparedDataset) -> Vocabulary:
    """A vocabulary whose prior has seen the codes of some images for a few steps."""
    torch.manual_seed(0)
    conditions = Conditions.of(images.manifest, ["slice"])
    config = TransformerPriorConfig(width=16, layers=1, kernel_size=3, embedding_dim=4)
    prior = build_prior(config, layouts=model.layouts((32, 32)), conditions=conditions)
    training, validation = (prior_data(model, images.subset(split), conditions) for split in ("train", "validation"))
    prior.start(training[0], [quantizer.codewords() for quantizer in model.quantizers])
    objective = PriorObjective(prior=prior, training=training, validation=validation, schedule=SCHEDULE)
    with TemporaryDirectory() as folder:
        train(objective, Path(folder), steps=20)
    return vocabulary(model, prior.eval())


@pytest.fixture(scope="module")
def untaught(model: MultiScaleVQVAE) -> Vocabulary:
    return vocabulary(model, None)


@pytest.mark.parametrize(("spatial_dims", "space"), [(2, (16, 24)), (3, (8, 16, 24))])
def test_codes_lie_as_the_layouts_say(spatial_dims: int, space: tuple[int, ...]) -> None:
    model, x = untrained(spatial_dims=spatial_dims), torch.rand(2, 1, *space)
    coarse, fine = model.layouts(space)
    assert coarse == CodeLayout(num_embeddings=8, grid=tuple(side // 8 for side in space))
    assert fine == CodeLayout(num_embeddings=300, num_codebooks=2, grid=tuple(side // 4 for side in space))
    codes, outputs = model.encode(x), model(x)
    assert isinstance(codes, tuple)
    for level, layout, seen in zip(codes, (coarse, fine), outputs.codes, strict=True):
        layout.check(level)
        assert torch.equal(level, seen)
    torch.testing.assert_close(model.decode(codes), outputs.x_hat.clamp(0, 1))  # other kernels may run with gradients
    assert model.space_of([level.shape[2:] for level in codes]) == space


def test_codes_may_be_arrays_of_any_integers(model: MultiScaleVQVAE) -> None:
    codes = model.encode(torch.rand(2, 1, 32, 32))
    arrays = [level.numpy().astype(np.uint16) for level in codes]
    assert torch.equal(model.decode(arrays), model.decode(codes))


def test_codes_that_do_not_fit_together_are_refused(model: MultiScaleVQVAE) -> None:
    coarse, fine = model.encode(torch.rand(2, 1, 32, 32))
    for wrong, said in [
        (fine, "expected 2 levels, coarsest first, got 1"),
        ((coarse, fine, fine), "expected 2 levels, coarsest first, got 3"),
        ((coarse, fine[0]), r"codes of level 1: expected 4 axes \(b, q, \*grid\)"),
        ((coarse, fine.float()), "codes of level 1: expected whole numbers"),
        ((coarse[:1], fine), r"expected equally many images in each level, got \[1, 2\]"),
        ((coarse[..., :3], fine), r"expected the grids of one image, got \(4, 3\), \(8, 8\)"),
        ((coarse, fine[..., :7]), r"expected the grids of one image, got \(4, 4\), \(8, 7\)"),
    ]:
        with pytest.raises(CodesError, match=said):
            model.decode(wrong)


def test_images_that_do_not_divide_into_coarse_cells_are_refused(model: MultiScaleVQVAE) -> None:
    for take in (model.encode, lambda x: encode_tiled(model, x)):
        with pytest.raises(ValueError, match="expected 2 sides that are multiples of 8, got"):
            take(torch.rand(1, 1, 36, 32))


@pytest.mark.parametrize(("spatial_dims", "space"), [(2, (72, 56)), (3, (48, 32, 24))])
def test_tiles_agree_with_the_whole(spatial_dims: int, space: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = untrained(spatial_dims=spatial_dims), torch.rand(2, 1, *space)
    codes = model.encode(x)
    for level, expected in zip(encode_tiled(model, x, tile=2), codes, strict=True):
        assert torch.equal(level, expected)
    torch.testing.assert_close(decode_tiled(model, codes, tile=2), model.decode(codes), rtol=0, atol=1e-5)
    monkeypatch.setattr(tiling, "LARGEST_TILE", 40**spatial_dims)
    words = vocabulary(model, None)
    assert all(torch.equal(level, expected) for level, expected in zip(words.encode(x), codes, strict=True))
    torch.testing.assert_close(words.decode(codes), model.decode(codes), rtol=0, atol=1e-5)


def test_it_is_trained_by_the_usual_loop(images: PreparedDataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = two_levels()
    objective = AutoencoderObjective(
        autoencoder=model,
        training=images.subset("train"),
        validation=images.subset("validation"),
        schedule=SCHEDULE,
        loss_weights={"l1": 1.0},
        continuous_share=0.2,
    )
    before = objective.validate(progress=0.0)["l1"]
    train(objective, tmp_path, steps=60)
    model.eval()
    figures = objective.validate(progress=1.0)
    assert figures["l1"] < before / 2
    assert 1 <= figures["0.perplexity"] <= 8
    assert 1 <= figures["1.perplexity"] <= 300
    assert "perplexity" not in figures
    noted = {row["name"] for row in read_journal(tmp_path / "metrics.csv")}
    assert {"train/loss/commitment", "validation/0.perplexity", "validation/1.usage"} <= noted


def test_codes_are_stored_level_by_level_and_read_back(
    untaught: Vocabulary, images: PreparedDataset, tmp_path: Path
) -> None:
    path = tmp_path / "codes.parquet"
    assert encode(untaught, images, out=path) == len(images)
    table = pd.read_parquet(path)
    assert {"codes_0", "shape_0", "codes_1", "shape_1"} <= set(table.columns)
    assert not {"codes", "shape"} & set(table.columns)
    assert [table[f"codes_{level}"][0].dtype for level in (0, 1)] == [np.uint8, np.uint16]
    assert list(table["shape_0"][0]) == [1, 4, 4]
    assert list(table["shape_1"][0]) == [2, 8, 8]
    codes = read_code_table(path, autoencoder=untaught.autoencoder, space=(32, 32)).codes
    for level, expected in zip(codes, untaught.encode(images.tensor()), strict=True):
        assert torch.equal(level, expected)
    assert decode(untaught, path, out=tmp_path / "decoded").count == len(images)
    reconstruct(untaught, images, out=tmp_path / "reconstructed")
    for name in table["path"]:
        decoded, expected = (read_scan(tmp_path / folder / name) for folder in ("decoded", "reconstructed"))
        assert np.array_equal(decoded.voxels, expected.voxels)


def test_a_table_that_does_not_fit_the_levels_is_refused(
    untaught: Vocabulary, images: PreparedDataset, tmp_path: Path
) -> None:
    path, out = tmp_path / "codes.parquet", tmp_path / "decoded"
    encode(untaught, images, out=path)
    table = pd.read_parquet(path)
    for columns, said in [
        ({"shape_0": [[1, 2, 2]] * len(table)}, r"codes_0: expected codes of shape \(1, 4, 4\), got \(1, 2, 2\)"),
        ({"codes_1": [[0, 1]] * len(table)}, "codes_1: expected 128 codes in each row"),
        ({"codes_1": [[0.5] * 128] * len(table)}, "codes_1: expected lists of integers, got list<element: double>"),
        ({"codes_0": [[8] * 16] * len(table)}, "expected values from 0 to 7"),
    ]:
        table.assign(**columns).to_parquet(path)
        with pytest.raises(CodesError, match=said):
            decode(untaught, path, out=out)
    table.drop(columns="codes_1").to_parquet(path)
    with pytest.raises(CodesError, match="without the columns codes_1"):
        decode(untaught, path, out=out)
    settings = {"embedding_dim": 4, "width": 8, "blocks": 1}
    quantizer = VectorQuantizer(num_embeddings=16, embedding_dim=4)
    single = VQVAE(encoder=Encoder(**settings), quantizer=quantizer, decoder=Decoder(**settings))
    with pytest.raises(CodesError, match="without the columns codes, shape"):
        decode(vocabulary(single, None), path, out=out)
    assert not out.exists()


def test_another_decoder_cannot_read_the_codes(untaught: Vocabulary, images: PreparedDataset, tmp_path: Path) -> None:
    encode(untaught, images, out=tmp_path / "codes.parquet")
    for part in ("quantizers.0", "quantizers.1", "decoder"):
        other = untrained()
        changed = other.decoder if part == "decoder" else other.quantizers[int(part[-1])]
        first = next(tensor for tensor in changed.state_dict().values() if tensor.is_floating_point())
        first += 1
        with pytest.raises(CodesError, match="got those of another run"):
            decode(vocabulary(other, None), tmp_path / "codes.parquet", out=tmp_path / part)


def test_volumes_larger_than_those_of_the_run_are_stored(tmp_path: Path) -> None:
    model = untrained(spatial_dims=3)
    volumes = open_source(PhantomSource(PhantomOptions(subjects=2)), Frame(size=40, spacing_mm=6.0))
    words = vocabulary(model, None, size=32)
    encode(words, volumes, out=tmp_path / "codes.parquet")
    assert list(pd.read_parquet(tmp_path / "codes.parquet")["shape_0"][0]) == [1, 5, 5, 5]
    assert decode(words, tmp_path / "codes.parquet", out=tmp_path / "decoded").count == 2


def test_figures_are_those_of_the_levels_and_their_totals(model: MultiScaleVQVAE, images: PreparedDataset) -> None:
    figures = evaluate_reconstruction(model, images).figures
    coarse, fine = (
        codebook_health(quantizer, level)
        for quantizer, level in zip(model.quantizers, model.encode(images.tensor()), strict=True)
    )
    assert figures["codebook.0.perplexity"] == coarse.perplexity
    assert figures["codebook.1.norm_longest"] == fine.norms[2]
    assert figures["codebook.dead"] == coarse.dead + fine.dead
    assert figures["codebook.usage"] == pytest.approx((8 * coarse.usage + 600 * fine.usage) / 608)
    assert "codebook.perplexity" not in figures
    assert figures["rate_bpp"] == pytest.approx((16 * 3 + 2 * 64 * np.log2(300)) / 32**2)


def test_a_level_that_has_collapsed_is_named(images: PreparedDataset) -> None:
    model = untrained()
    for stage in model.quantizers[1].stages:
        stage.codebook.embeddings[1:] = 1e3
    (warning,) = evaluate_reconstruction(model, images).warnings
    assert warning.startswith("level 1: the codebook is collapsing: perplexity 1 of 300 codewords")


def test_new_images_are_drawn_level_by_level(taught: Vocabulary) -> None:
    codes = taught.sample_codes(3, condition={"slice": 1}, seed=0, temperature=0.9)
    for level, layout in zip(codes, taught.layouts, strict=True):
        layout.check(level)
        assert len(level) == 3
    drawn = taught.sample(3, condition={"slice": 1}, seed=0, temperature=0.9)
    assert torch.equal(drawn, taught.decode(codes))
    assert not torch.equal(drawn, taught.sample(3, condition={"slice": 1}, seed=1, temperature=0.9))


def test_many_images_are_drawn_some_at_a_time(taught: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("voxlex.vocabulary._CELLS_AT_ONCE", 2 * (16 + 64))
    drawn = taught.sample_codes(5, seed=0, progress=lambda done, total: seen.append((done, total)))
    assert [len(level) for level in drawn] == [5, 5]
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_samples_are_written(taught: Vocabulary, tmp_path: Path) -> None:
    sample(taught, count=2, out=tmp_path / "new")
    names = {file.name for file in (tmp_path / "new").glob("[!.]*")}
    assert names == {"sample-0000.png", "sample-0001.png", "samples.png"}


def test_a_region_is_drawn_anew_at_both_levels(taught: Vocabulary, images: PreparedDataset) -> None:
    image, mask = images.tensor([5])[0], torch.zeros(32, 32, dtype=torch.bool)
    mask[9:12, 17:23] = True
    coarse, fine = (touched_cells(mask, layout.grid) for layout in taught.layouts)
    assert coarse.nonzero().tolist() == [[row, column] for row in range(3) for column in range(1, 4)]
    assert fine.nonzero().tolist() == [[row, column] for row in range(1, 4) for column in range(3, 7)]
    drawn = taught.inpaint(image, mask, count=2, condition={"slice": 3}, seed=0)
    assert torch.equal(drawn[..., ~mask], image.expand(2, 1, 32, 32)[..., ~mask])
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0][..., mask], image[..., mask])


def test_the_whole_is_evaluated(taught: Vocabulary, images: PreparedDataset) -> None:
    figures = evaluate(taught, images, split="all", samples=0).figures
    (coarse, fine), bits = taught.layouts, [figures[f"prior.{level}.bits_per_code"] for level in (0, 1)]
    assert figures["prior.0.uniform_bits_per_code"] == 3
    assert figures["prior.bits_per_code"] == pytest.approx((16 * bits[0] + 128 * bits[1]) / 144)
    assert figures["prior.rate_bpp"] == pytest.approx(figures["prior.bits_per_code"] * 144 / 32**2)
    condition = taught.conditions.look_up(images.manifest)
    with torch.no_grad():
        nats = -taught.prior.log_prob(taught.encode(images.tensor()), condition).sum().item()
    assert figures["prior.bits_per_code"] == pytest.approx(nats / np.log(2) / (len(images) * 144))
    assert (coarse.codes_per_image, fine.codes_per_image) == (16, 128)
    named = {(measure.name, level) for _, measure, level in measured(figures)}
    assert {("Dead codewords", None), ("Dead codewords", 0), ("Prior", 1), ("Code rate", None)} <= named


def test_the_report_shows_each_level(
    taught: Vocabulary, images: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxlex.workflows.report.load", lambda _: taught)
    folder = RunFolder.create(tmp_path / "run", taught.config)
    write_run_report(folder, images)
    page = folder.report_file.read_text()
    assert "16 codes from a vocabulary of 8 codewords and 128 from one of 300 codewords" in page
    for words in ("Codebook perplexity, level 1", "Prior, level 0", "Level 0 is the coarsest", "codeword of level 1"):
        assert words in page
    assert (tmp_path / "run" / "samples.png").is_file()
