"""The commands as a stranger runs them: what they write, and what they say when something is wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import voxlex
from voxlex.cli import main
from voxlex.commands import COMMANDS
from voxlex.commands.parsing import parse
from voxlex.commands.train import Train
from voxlex.config import DataConfig, load_recipe, read_config
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.errors import CodesError, DataError
from voxlex.images.frame import Frame
from voxlex.run_folder import RunFolder
from voxlex.training.objectives import AutoencoderObjective
from voxlex.training.pictures import read_about
from voxlex.vocabulary import load
from voxlex.workflows.decode import decode
from voxlex.workflows.encode import encode
from voxlex.workflows.opening import open_for
from voxlex.workflows.sample import sample

pytestmark = pytest.mark.slow

TINY = ["--size", "32", "--model.network.width", "16", "--model.quantizer.num-embeddings", "32", "--prior.width", "16"]
TINY += ["--prior.layers", "2", "--training.autoencoder.batch-size", "4", "--training.prior.batch-size", "4"]


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of phantom slices, the way people hold them."""
    root = tmp_path_factory.mktemp("scans")
    for label, seed in (("healthy", 1), ("tumour", 2)):
        options = PhantomOptions(subjects=4, slices=3)
        for number, path in enumerate(PhantomSource(options).write(root / "raw" / label, Frame(size=40), seed=seed)):
            target = root / "images" / label / f"scan{number:02d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    return root / "images"


@pytest.fixture(scope="session")
def run(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained for a few steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(scans), "--out", str(out), "--steps", "4", *TINY]) == 0
    return out


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_train_leaves_a_whole_run_folder(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    expected = "config.yaml metadata.json metrics.csv report.html reconstructions.png samples.png"
    assert names >= {*expected.split(), "autoencoder.safetensors", "prior.safetensors", "tensorboard"}
    assert read_about(run / "autoencoder.validations.png") is not None
    conditions = json.loads((run / "metadata.json").read_text())["conditions"]
    assert conditions == [{"name": "label", "values": ["healthy", "tumour"]}]


def test_evaluate_writes_the_figures(run: Path, scans: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run), str(scans), "--split", "all", "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["n_images"] == 24
    assert figures["rate_bpp"] == pytest.approx(64 * 5 / 1024)
    assert 0 < figures["reconstruction.ssim"] < 1
    assert figures["prior.uniform_bits_per_code"] == 5
    names = {"reconstruction.psnr_db", "reconstruction.l1", "codebook.perplexity", "codebook.usage"}
    assert names | {"prior.bits_per_code", "prior.marginal_bits_per_code", "prior.rate_bpp"} <= set(figures)


def test_codes_decode_to_what_reconstruct_writes(run: Path, scans: Path, tmp_path: Path) -> None:
    assert main(["encode", str(run), str(scans), "--out", str(tmp_path / "codes.parquet")]) == 0
    assert main(["decode", str(run), str(tmp_path / "codes.parquet"), "--out", str(tmp_path / "decoded")]) == 0
    assert main(["reconstruct", str(run), str(scans), "--out", str(tmp_path / "said"), "--inputs"]) == 0
    table = pd.read_parquet(tmp_path / "codes.parquet")
    assert len(table) == 24
    assert {"path", "codes", "shape", "intensity_low", "intensity_high"} <= set(table.columns)
    assert (tmp_path / "said" / "reconstructions.png").exists()
    for path in table["path"]:
        name = Path(path).with_suffix(".png")
        decoded = pixels(tmp_path / "decoded" / name)
        assert decoded.shape == (32, 32)
        assert np.array_equal(decoded, pixels(tmp_path / "said" / name))
        assert pixels(tmp_path / "said" / name.with_suffix(".input.png")).shape == (32, 32)


def test_decode_gives_the_original_size_back(run: Path, scans: Path, tmp_path: Path) -> None:
    main(["encode", str(run), str(scans), "--out", str(tmp_path / "codes.parquet")])
    arguments = ["decode", str(run), str(tmp_path / "codes.parquet"), "--out", str(tmp_path / "d"), "--original-size"]
    assert main(arguments) == 0
    assert {pixels(path).shape for path in (tmp_path / "d").rglob("*.png")} == {(40, 40)}


def test_sixteen_bit_images_come_back_in_their_own_units(run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "deep").mkdir()
    for number in range(2):
        deep = (rng.random((32, 32)) * 3000).astype(np.uint16)
        Image.fromarray(deep).save(tmp_path / "deep" / f"{number}.png")
    assert main(["reconstruct", str(run), str(tmp_path / "deep"), "--out", str(tmp_path / "out"), "--inputs"]) == 0
    seen = pixels(tmp_path / "out" / "1.input.png")
    assert np.abs(seen.astype(int) - deep).max() <= 1
    assert pixels(tmp_path / "out" / "1.png").max() <= 3000


def test_samples_repeat_with_their_seed(run: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert main(["sample", str(run), "--count", "3", "--out", str(tmp_path / name), "--seed", seed]) == 0
    a, b, c = ([(tmp_path / n / f"sample-000{i}.png").read_bytes() for i in range(3)] for n in "abc")
    assert a == b
    assert a != c
    assert (tmp_path / "a" / "samples.png").exists()


def test_samples_of_an_earlier_call_do_not_stay_among_the_new(run: Path, tmp_path: Path) -> None:
    sample = ["sample", str(run), "--out", str(tmp_path), "--overwrite", "--count"]
    (tmp_path / "sample-0003.txt").write_text("mine")
    assert main([*sample, "3"]) == 0
    assert main([*sample, "2"]) == 0
    names = {"samples.png", "sample-0000.png", "sample-0001.png", "sample-0003.txt"}
    assert {file.name for file in tmp_path.glob("[!.]*")} == names


def test_samples_of_a_label(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sample", str(run), "--count", "2", "--temperature", "0.9", "--out", str(tmp_path / "s")]
    assert main([*arguments, "--condition", "label=cat"]) == 1
    assert "unknown value 'cat'; known are healthy, tumour" in capsys.readouterr().err
    assert main([*arguments, "--condition", "tumour"]) == 1
    assert "--condition: expected NAME=VALUE, got 'tumour'" in capsys.readouterr().err
    assert main([*arguments, "--condition", "label="]) == 1
    assert "--condition: expected NAME=VALUE, got 'label='" in capsys.readouterr().err
    assert main([*arguments, "--condition", "label=healthy", "label=tumour"]) == 1
    assert "--condition: expected one value for 'label', got 'healthy' and 'tumour'" in capsys.readouterr().err
    assert main([*arguments, "--condition", "lable=tumour"]) == 1
    assert "unknown condition 'lable'; known are label" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
    assert main([*arguments, "--condition", "label=tumour"]) == 0


def test_info_says_what_a_run_holds(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run)]) == 0
    said = capsys.readouterr().out
    assert "autoencoder.safetensors" in said
    assert "num_embeddings: 32" in said


def test_a_prior_is_added_to_an_autoencoder(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    train = ["train", str(scans), "--out", str(out), "--steps", "2"]
    assert main([*train, *TINY, "--stage", "autoencoder"]) == 0
    assert main(["sample", str(out), "--count", "1", "--out", str(tmp_path / "s")]) == 1
    assert "expected a run with a prior" in capsys.readouterr().err
    weights = (out / "autoencoder.safetensors").read_bytes()
    assert main([*train, "--stage", "prior"]) == 0
    assert (out / "prior.safetensors").exists()
    assert (out / "autoencoder.safetensors").read_bytes() == weights


def test_a_prior_of_another_recipe_replaces_the_old_one_when_it_is_asked_to(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    train = ["train", str(scans), "--out", str(out), "--steps", "2"]
    assert "expected a run with a trained autoencoder" in refused(capsys, *train, "--stage", "prior")
    assert not out.exists()
    assert main([*train, *TINY]) == 0
    weights, config = (out / "autoencoder.safetensors").read_bytes(), (out / "config.yaml").read_text()
    capsys.readouterr()
    small = ["--stage", "prior", "--prior.width", "8", "--prior.layers", "1"]
    assert "prior changed; --stage prior --overwrite" in refused(capsys, *train, *small)
    assert "or one of" in refused(capsys, *train, "--stage", "prior", "--recipe", "fancy")
    elsewhere = ["train", str(scans / "healthy"), *train[2:], *small, "--overwrite"]
    assert "was trained on other data" in refused(capsys, *elsewhere)
    assert (out / "config.yaml").read_text() == config  # what is refused leaves the run as it was
    assert (out / "prior.safetensors").exists()
    assert main([*train, *small, "--overwrite", "--recipe", "pixelcnn"]) == 0
    assert read_config(out / "config.yaml").prior.kind == "pixelcnn"
    assert read_config(out / "config.yaml").data.size == 32
    assert (out / "autoencoder.safetensors").read_bytes() == weights
    assert main(["sample", str(out), "--count", "1", "--out", str(tmp_path / "s")]) == 0


def test_a_prepared_data_set_is_a_source(scans: Path, tmp_path: Path) -> None:
    assert main(["prepare", str(scans), "--out", str(tmp_path / "ready"), "--size", "32"]) == 0
    train = ["train", str(tmp_path / "ready"), "--out", str(tmp_path / "run"), "--steps", "1", *TINY]
    assert main([*train, "--stage", "autoencoder"]) == 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run a command that must fail with one line; return that line."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    said = "\n".join(line for line in lines if ": subjects: " not in line)  # what is said of the data is no refusal
    assert said.startswith("voxlex: ")
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def test_an_output_that_exists_is_not_touched(
    run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.parquet").write_text("mine")
    assert "--overwrite" in refused(capsys, "train", scans, "--out", run)
    assert "other files" in refused(capsys, "train", scans, "--out", tmp_path, "--overwrite")
    assert "--overwrite" in refused(capsys, "sample", run, "--count", "1", "--out", tmp_path)
    assert "--overwrite" in refused(capsys, "reconstruct", run, scans, "--out", tmp_path)
    assert "--overwrite" in refused(capsys, "encode", run, scans, "--out", tmp_path / "mine.parquet")
    assert (tmp_path / "mine.parquet").read_text() == "mine"
    assert "ends in .parquet" in refused(capsys, "encode", run, scans, "--out", tmp_path / "codes.csv")


def test_scans_are_not_replaced_by_their_reconstructions(
    run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scans / "healthy", tmp_path / "mine")
    one = min((tmp_path / "mine").iterdir())
    before = one.read_bytes()
    for source in (tmp_path / "mine", one):
        said = refused(capsys, "reconstruct", run, source, "--out", tmp_path / "mine", "--overwrite")
        assert "holds the scans themselves" in said
    assert one.read_bytes() == before


@pytest.mark.parametrize("command", ["evaluate", "sample", "info"])
def test_a_folder_that_is_no_run(command: str, tmp_path: Path, scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"evaluate": [scans], "sample": ["--count", "1", "--out", tmp_path / "o"], "info": []}[command]
    assert f"{tmp_path}: expected a run folder" in refused(capsys, command, tmp_path, *more)


def test_a_damaged_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    weights = broken / "autoencoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "autoencoder.safetensors: cannot be read as weights" in refused(
        capsys, "sample", broken, "--count", "1", "--out", tmp_path / "o"
    )
    (broken / "config.yaml").write_text("model: {quantifier: {}}")
    assert "config.yaml: model.quantifier" in refused(capsys, "info", broken)


def test_sources_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert "missing" in refused(capsys, "train", tmp_path / "missing", "--out", out)
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, "train", tmp_path / "empty", "--out", out)
    assert not out.exists()


def test_a_few_unreadable_images_are_listed_and_skipped(
    run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scans, tmp_path / "scans")
    (tmp_path / "scans" / "healthy" / "empty.png").write_bytes(b"")
    (tmp_path / "scans" / "healthy" / "notes.png").write_text("not an image")
    assert main(["evaluate", str(run), str(tmp_path / "scans"), "--split", "all"]) == 0
    captured = capsys.readouterr()
    assert "skipped 2 of 26 images" in captured.err
    assert "healthy/empty.png" in captured.err
    assert "healthy/notes.png" in captured.err


def test_fewer_images_than_a_batch(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", scans, "--out", tmp_path / "o", "--size", "32", "--training.autoencoder.batch-size", "100"]
    said = refused(capsys, *arguments)
    assert "training.autoencoder.batch_size: expected at most 2" in said
    assert "images, got 100" in said
    assert not (tmp_path / "o").exists()


def test_sizes_that_do_not_fit_the_network(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "train", scans, "--out", tmp_path / "o", "--size", "30")
    assert "30" in said
    assert "multiple of 4" in said
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--model.spatial-dims", "3", "data.spacing_mm: expected a distance with model.spatial_dims 3, got None"),
        ("--model.in-channels", "3", "model.in_channels: expected 1, as prepared images are grey, got 3"),
        ("--model.quantizer.num-embeddings", "-3", "model.quantizer.num_embeddings: expected at least 1, got -3"),
        ("--training.autoencoder.learning-rate", "nan", "settings: training.autoencoder.learning_rate"),
        ("--accelerator", "abacus", "training.accelerator 'abacus'"),
    ],
)
def test_models_that_do_not_fit_the_images(
    option: str, value: str, message: str, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "train", scans, "--out", tmp_path / "o", option, value)
    assert message in said
    assert not (tmp_path / "o").exists()


def test_codes_of_another_run_or_none_at_all(
    run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "codes.parquet"
    assert "no such file" in refused(capsys, "decode", run, path, "--out", tmp_path / "d")
    path.write_text("not a table")
    assert "codes.parquet: cannot be read" in refused(capsys, "decode", run, path, "--out", tmp_path / "d")
    main(["encode", str(run), str(scans), "--out", str(path), "--overwrite"])
    table = pd.read_parquet(path)
    capsys.readouterr()
    table.assign(codes=[codes + 99 for codes in table["codes"]]).to_parquet(path)
    assert "expected values from 0 to 31" in refused(capsys, "decode", run, path, "--out", tmp_path / "d")
    table.assign(shape=[[1, 4, 4]] * len(table)).to_parquet(path)
    assert "expected codes of shape (1, 8, 8), got (1, 4, 4)" in refused(
        capsys, "decode", run, path, "--out", tmp_path / "d"
    )
    for outside in ("../image.png", str(tmp_path / "image.png")):
        table.assign(path=[outside, *table["path"][1:]]).to_parquet(path)
        assert f"{outside}: expected a path inside the folder of results" in refused(
            capsys, "decode", run, path, "--out", tmp_path / "d"
        )
        assert not (tmp_path / "image.png").exists()
    table.drop(columns="codes").to_parquet(path)
    assert "without the columns codes" in refused(capsys, "decode", run, path, "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_codes_of_a_run_with_the_same_codewords_but_another_decoder(run: Path, scans: Path, tmp_path: Path) -> None:
    vocabulary, other = load(run), load(run)
    images = open_for(vocabulary.config, str(scans), whole=True)
    assert encode(vocabulary, images, out=tmp_path / "c.parquet") == len(images)
    assert decode(other, tmp_path / "c.parquet", out=tmp_path / "same").count == len(images)
    with torch.no_grad():
        other.autoencoder.decoder.head.weight += 1
    with pytest.raises(CodesError, match="got those of another run"):
        decode(other, tmp_path / "c.parquet", out=tmp_path / "other")


def test_a_place_that_is_taken_is_refused_before_anything_is_drawn(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = load(run)
    monkeypatch.setattr(type(vocabulary), "sample", lambda *_, **__: pytest.fail("was drawn"))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="--overwrite"):
        sample(vocabulary, count=1, out=tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["help"], "usage: voxlex COMMAND"),
        (["help", "info"], "usage: voxlex info"),
        (["help", "data"], "usage: voxlex data COMMAND"),
        (["help", "data", "cache"], "usage: voxlex data cache"),
    ],
)
def test_help_is_a_command_too(words: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "phantom", "--out", "x", "--minuts", "3"], "--minutes"),
        (["train", "phantom", "--out", "x", "--model.quantizer.num-embedings", "3"], "num-embeddings"),
        (["train", "x", "--model.quantiser.num-embeddings", "3"], "did you mean --model.quantizer.num-embeddings?"),
        (["train", "x", "--num_embeddings=3"], "unknown option --num_embeddings; did you mean --model.quantizer.num-"),
        (["train", "x", "--reci", "masked"], "unknown option --reci; did you mean --recipe?"),
        (["train", "x", "--zzzz"], "unknown option --zzzz; `voxlex train --help`"),
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["data", "adit"], "unknown command 'data adit'; did you mean 'data audit'?"),
        (["dta"], "did you mean 'data'?"),
        (["zzzz"], "unknown command 'zzzz'; `voxlex --help` lists all"),
        (["train"], "expected SOURCE, got nothing"),
        (["prepare"], "expected SOURCE and --out PATH, got nothing"),
        (["sample", "x", "y"], "expected no further words, got y"),
        (["sample", "x", "--count"], "--count: expected a value, got nothing"),
        (["train", "x", "--size", "1.5"], "--size: expected a whole number, got '1.5'"),
        (["train", "x", "--training.threads", "x"], "--training.threads: expected auto or a whole number, got 'x'"),
        (["train", "x", "--training.autoencoder.patch-size", "x"], "patch-size: expected a whole number, got 'x'"),
        (["train", "x", "--training.autoencoder.betas", "a", "b"], "each a number, got 'a', 'b'"),
        (["sample", "x", "--count", "many"], "--count: expected a whole number, got 'many'"),
        (["sample", "x", "--top-p", "most"], "--top-p: expected a number, got 'most'"),
        (["train", "x", "--stage", "one"], "--stage: expected one of autoencoder, texture, prior, all, got 'one'"),
        (["train", "x", "--recipe"], "--recipe: expected a value, got nothing"),
        (["train", "x", "--resume=yes"], "expected no further words, got yes"),
    ],
)
def test_usage_errors_are_one_line_that_says_what_was_meant(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err
    assert err.count("\n") == 1
    assert err.startswith("voxlex")
    assert len(err) < 160


def test_usage_errors_are_plain_text_in_a_terminal() -> None:
    code = "import sys; sys.stdout.isatty = lambda: True; sys.argv[0] = 'voxlex'; from voxlex.cli import main; main()"
    for words, hint in (
        (["sample"], "expected RUN"),
        (["sample", "x", "--count", "y"], "--count: expected a whole number, got 'y'"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, env=os.environ | {"TERM": "xterm"}
        )
        assert done.returncode == 2
        assert hint in done.stderr
        assert "\x1b" not in done.stderr


@pytest.mark.parametrize("words", [[], ["data"]])
def test_without_a_command_all_are_listed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "data audit" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        main([*words, "--help"])
    assert exit_.value.code == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in COMMANDS if name.split()[:-1] == words or not words)


def read_train(*words: str) -> Train:
    """Return `voxlex train` as it is read from words; nothing runs."""
    command = parse("train", words)
    assert isinstance(command, Train)
    return command


@pytest.mark.parametrize(
    "words",
    [
        ["--recipe", "masked", "scans", "--size", "64"],
        ["scans", "--size=64", "--recipe=masked"],
        ["--size", "64", "--recipe=masked", "scans"],
    ],
)
def test_a_recipe_is_found_wherever_it_stands(words: list[str]) -> None:
    command = read_train(*words)
    assert command.source == "scans"
    assert command.config.prior == load_recipe("masked").prior
    assert command.config.data.size == 64
    assert command.folder == Path("runs/scans")


@pytest.mark.parametrize("place", [["--out", "runs/scans"], ["--out=runs/scans"], []])
@pytest.mark.parametrize("goes_on", [["--resume"], ["--stage=prior"], ["--stage", "prior"]])
def test_a_run_goes_on_with_its_own_settings(
    place: list[str], goes_on: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = replace(load_recipe("masked"), data=DataConfig(size=48))
    RunFolder.create(Path("runs/scans"), own)
    for words in (["scans", *place, *goes_on], [*goes_on, "--steps", "3", *place, "scans.csv"]):
        command = read_train(*words)
        assert command.folder == Path("runs/scans")
        assert command.config == own
    changed = read_train(*place, "scans", *goes_on, "--prior.width", "8")
    assert changed.config == replace(own, prior=replace(own.prior, width=8))
    assert read_train("scans", *place).config == load_recipe("default")  # which is refused when it runs


def test_results_go_by_default_where_nothing_is_replaced(
    run: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one = min((scans / "healthy").iterdir())
    Image.fromarray(np.eye(40, dtype=np.uint8)).save("mask.png")
    for words, place in (
        (["sample", run, "--count", "2"], "samples/run"),
        (["reconstruct", run, scans / "healthy"], "reconstructed/healthy"),
        (["encode", run, one], f"codes/{one.stem}.parquet"),
        (["decode", run, f"codes/{one.stem}.parquet"], f"decoded/{one.stem}"),
        (["inpaint", run, one, "--mask", "mask.png", "--count", "2"], f"inpainted/{one.stem}"),
    ):
        assert main([str(word) for word in words]) == 0
        assert f"in {place}" in capsys.readouterr().out
        assert Path(place).exists()
        assert "--overwrite" in refused(capsys, *words)


def test_recipe_mistakes(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("modle: {}")
    train = ["train", scans, "--out", tmp_path / "o", "--recipe"]
    assert "mine.yaml: modle" in refused(capsys, *train, recipe)
    assert "or one of" in refused(capsys, *train, "fancy")


def test_both_budgets_or_none_of_worth(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", scans, "--out", tmp_path / "o"]
    assert "not both" in refused(capsys, *train, "--minutes", "1", "--steps", "1")
    assert "minutes" in refused(capsys, *train, "--minutes", "-1")
    assert not (tmp_path / "o").exists()


def test_a_run_is_resumed_only_with_its_own_settings(
    run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "train", scans, "--out", run, "--resume", "--model.quantizer.num-embeddings", "64")
    assert "model changed" in said
    assert main(["train", str(scans), "--out", str(run), "--resume", "--recipe", "demo", "--size", "64"]) == 1
    said, refusal = capsys.readouterr().err.strip().splitlines()
    assert said == f"voxlex: --recipe demo is not used: {run} continues with its own settings"
    assert "data changed" in refusal  # and nothing else: the recipe's model is another, too


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_place(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be created" in refused(capsys, "train", scans, "--out", tmp_path / "o")


@pytest.mark.skipif(sys.platform == "win32", reason="the size of a file has no limit to set here")
@pytest.mark.parametrize("command", ["evaluate", "encode", "sample"])
def test_a_disk_that_takes_no_more_is_named(
    command: str, run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    out, arguments = {
        "evaluate": ("figures.json", [run, scans, "--samples", "0", "--json"]),
        "encode": ("codes.parquet", [run, scans, "--out"]),
        "sample": ("samples", [run, "--count", "1", "--out"]),
    }[command]
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, usual[1]))  # the system refuses the rest of every file
    try:
        said = refused(capsys, command, *arguments, tmp_path / out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert out in said
    assert "cannot be written" in said
    assert "File too large" in said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_debug_shows_where(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="expected a run folder"):
        main(["info", str(tmp_path), "--debug"])


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as exit_:
            main([*command.split(), "--help"])
        assert exit_.value.code == 0
        assert f"voxlex {command}" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"voxlex {voxlex.__version__}\n"
    assert {"__version__", *voxlex.__all__} <= set(dir(voxlex))
    assert all(getattr(voxlex, name) is not None for name in voxlex.__all__)


def test_a_reader_that_has_enough_is_no_error() -> None:
    words = f"{sys.executable} -m voxlex.cli train --help | true"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True)
    assert done.stderr == ""


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from voxlex.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'pandas', 'lightning_fabric', 'matplotlib', 'numpy', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_sigint_saves_and_resume_finishes(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, taken, update = tmp_path / "run", [], AutoencoderObjective.update

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        taken.append(1)
        if len(taken) == 3:
            signal.raise_signal(signal.SIGINT)
        return update(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(AutoencoderObjective, "update", interrupted)
        words = ["train", str(scans), "--out", str(out), "--steps", "100000", "--stage", "autoencoder"]
        assert main([*words, *TINY]) == 130
    said = capsys.readouterr().err
    assert "stopped by SIGINT" in said
    assert "--resume" in said
    assert main(["train", str(scans), "--out", str(out), "--resume", "--steps", "1", "--stage", "autoencoder"]) == 0
    assert (out / "autoencoder.safetensors").exists()


def test_sampling_options_reach_the_prior(run: Path, tmp_path: Path) -> None:
    options = ["--guidance", "2", "--top-k", "5", "--top-p", "0.9", "--min-p", "0.1", "--temperature", "0.8"]
    words = ["sample", str(run), "--count", "2", "--out", str(tmp_path / "new"), "--condition", "label=tumour"]
    assert main([*words, *options]) == 0
    assert len(list((tmp_path / "new").glob("sample-*.png"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top-k", "0"], "top_k"),
        (["--top-p", "1.5"], "top_p"),
        (["--seed", str(2**64)], "seed: expected an integer of 64 bits"),
        (["--guidance", "2"], "guidance needs"),
        (["--condition", "label=glioma"], "healthy, tumour"),
        (["--condition", "colour=red"], "label"),
    ],
)
def test_sampling_options_out_of_range_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["sample", str(run), "--count", "2", "--out", str(tmp_path / "new"), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_inpainting_changes_the_region_and_nothing_else(run: Path, scans: Path, tmp_path: Path) -> None:
    path = sorted(scans.rglob("*.png"))[0]
    mask = np.zeros((40, 40), np.uint8)
    mask[20:30, 5:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    words = ["inpaint", str(run), str(path), "--mask", str(tmp_path / "mask.png"), "--count", "3"]
    assert main([*words, "--out", str(tmp_path / "new")]) == 0
    names = {"inpainted.png", "mean.png", "deviation.png", *(f"draw-000{i}.png" for i in range(3))}
    assert {file.name for file in (tmp_path / "new").glob("[!.]*")} == names
    draws = np.stack([pixels(tmp_path / "new" / f"draw-000{i}.png") for i in range(3)])
    assert (draws[:, mask == 0] == pixels(path)[mask == 0]).all()
    assert (draws.std(axis=0)[mask > 0] > 0).any()
    deviation = pixels(tmp_path / "new" / "deviation.png")
    assert deviation.max() == 255
    assert not deviation[mask == 0].any()


def test_inpainting_keeps_deep_pictures_in_their_own_grey_values(run: Path, tmp_path: Path) -> None:
    deep = (np.random.default_rng(0).random((50, 36)) * 3000 - 500).astype(np.float32)
    mask = np.zeros((50, 36), np.uint8)
    mask[30, 20] = 1  # a single pixel of a picture that is reduced, and it is drawn
    Image.fromarray(deep).save(tmp_path / "signed.tif")
    Image.fromarray((deep + 500).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for name in ("signed.tif", "deep.png"):
        words = ["inpaint", str(run), str(tmp_path / name), "--mask", str(tmp_path / "mask.png"), "--count", "3"]
        assert main([*words, "--out", str(tmp_path / name[:4])]) == 0
    drawn, original = pixels(tmp_path / "deep" / "draw-0000.png"), pixels(tmp_path / "deep.png")
    assert drawn.dtype == np.uint16
    assert np.array_equal(drawn[mask == 0], original[mask == 0])
    spread = (deep - deep.min()) / np.ptp(deep) * 65535  # PNG holds no floats: 16 bits over the range
    assert np.abs(pixels(tmp_path / "sign" / "draw-0000.png") - spread)[mask == 0].max() <= 1


def test_a_mask_that_does_not_fit_is_named(
    run: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sorted(scans.rglob("*.png"))[0]
    for name, mask in (("small", np.full((20, 40), 255, np.uint8)), ("black", np.zeros((40, 40), np.uint8))):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
        words = ["inpaint", str(run), str(path), "--mask", str(tmp_path / f"{name}.png"), "--out", str(tmp_path / "n")]
        assert main(words) == 1
        assert f"{name}.png" in capsys.readouterr().err
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(tmp_path / "all.png")
    words = ["inpaint", run, path, "--mask", tmp_path / "all.png", "--out", tmp_path / "n", "--count", "0"]
    assert "count: expected at least 1, got 0" in refused(capsys, *words)
    assert not (tmp_path / "n").exists()


def test_a_run_of_images_refuses_volumes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "volume.npz", voxels=np.arange(4096.0).reshape(16, 16, 16), spacing_mm=(1, 1, 1))
    volume = tmp_path / "volume.npz"
    said = refused(capsys, "inpaint", run, volume, "--mask", volume, "--out", tmp_path / "new")
    assert "volume.npz: expected a picture for a run of images, got a volume" in said
    assert not (tmp_path / "new").exists()
