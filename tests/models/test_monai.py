"""Checkpoints of MONAI's VQVAE become runs that encode and decode as MONAI's model, or are refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets.vqvae import VQVAE
from safetensors.torch import save_file
from torch import Tensor

import voxlex
from hostile.command import check_refusal, run
from voxlex.config.networks import MonaiNetworkConfig
from voxlex.config.options import PhantomOptions
from voxlex.data.phantoms.phantom import PhantomSource
from voxlex.images.frame import Frame
from voxlex.models.monai import MonaiDecoder, MonaiEncoder

HALVING = {"downsample_parameters": ((2, 4, 1, 1),) * 2, "upsample_parameters": ((2, 4, 1, 1, 0),) * 2}
SMALL: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "channels": (8, 12),
    "num_res_channels": (6, 10),
    "num_res_layers": 2,
    "num_embeddings": 16,
    "embedding_dim": 4,
    **HALVING,
}


def theirs(spatial_dims: int = 2, **changes: Any) -> VQVAE:
    """Return MONAI's model, with codewords where its latents are."""
    torch.manual_seed(1)
    model = VQVAE(spatial_dims=spatial_dims, **(SMALL | changes)).eval()
    with torch.no_grad():
        latents = model.encode(torch.rand(2, 1, *[32] * spatial_dims)).movedim(1, -1).flatten(0, -2)
        chosen = latents[torch.randperm(len(latents))[: len(model.quantizer.quantizer.embedding.weight)]]
        model.quantizer.quantizer.embedding.weight.copy_(chosen)
    return model


def saved(model: VQVAE, place: Path) -> Path:
    torch.save(model.state_dict(), place)
    return place


def said(capfd: pytest.CaptureFixture[str], *words: object) -> str:
    found = run(capfd, *words)
    assert (found.status, found.err) == (0, ""), found
    return found.out


def check_same(model: VQVAE, vocabulary: voxlex.Vocabulary, x: Tensor) -> None:
    with torch.no_grad():
        expected, codes = model(x)[0], model.index_quantize(x)
        found = vocabulary.autoencoder(x)
        latents = model.encode(x)
    torch.testing.assert_close(found.x_hat, expected, rtol=0, atol=1e-5)
    assert torch.equal(found.codes[:, 0], codes)
    assert torch.equal(vocabulary.encode(x)[:, 0], codes)
    torch.testing.assert_close(vocabulary.autoencoder.encoder(x).detach(), latents, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("spatial_dims", "changes", "options"),
    [
        (2, {}, ""),
        (2, {"num_res_layers": 0, "downsample_parameters": ((2, 3, 1, 1), (2, 2, 1, 0))}, ""),
        (
            2,
            {
                "downsample_parameters": ((2, 4, 1, 1), (1, 3, 1, 1)),
                "upsample_parameters": ((1, 3, 1, 1, 0), (2, 3, 2, 2, 1)),
                "act": "SWISH",
                "output_act": "SIGMOID",
            },
            "--downsample 2 4 1 1 1 3 1 1 --upsample 1 3 1 1 0 2 3 2 2 1 --activation silu --output sigmoid",
        ),
        (3, {}, "--spacing-mm 2"),
    ],
    ids=["2D", "other kernels", "stated", "3D"],
)
def test_a_run_computes_what_the_model_of_monai_computes(
    spatial_dims: int, changes: Any, options: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = theirs(spatial_dims, **changes)
    file = saved(model, tmp_path / "model.pt")
    assert "16 codewords" in said(capfd, "convert", file, "--out", tmp_path / "run", "--size", 32, *options.split())
    vocabulary = voxlex.load(tmp_path / "run")
    check_same(model, vocabulary, torch.rand(2, 1, *[32] * spatial_dims))
    x = torch.rand(1, 1, *[48] * spatial_dims)
    assert torch.equal(vocabulary.reconstruct(x), vocabulary.decode(vocabulary.encode(x)))


@pytest.mark.parametrize("form", ["safetensors", "nested", "DDP", "half"])
def test_checkpoints_are_taken_as_people_keep_them(
    form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, file = theirs(), tmp_path / ("model.safetensors" if form == "safetensors" else "model.ckpt")
    state = model.state_dict()
    if form == "safetensors":
        save_file(state, file)
    elif form == "nested":
        prefixed = {f"vqvae.{name}": tensor for name, tensor in state.items()} | {"critic.weight": torch.rand(2)}
        torch.save({"state_dict": prefixed, "epoch": 3, "optimizer_states": [{"lr": 0.1}]}, file)
    elif form == "DDP":
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, file)
    else:
        model.half().float()
        torch.save({name: tensor.half() for name, tensor in state.items()}, file)
    said(capfd, "convert", file, "--out", tmp_path / "run", "--size", 32)
    check_same(model, voxlex.load(tmp_path / "run"), torch.rand(2, 1, 32, 32))


def test_codewords_that_ran_away_cost_no_precision(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = theirs()
    quantizer = model.quantizer.quantizer
    quantizer.ema_cluster_size.fill_(3)
    quantizer.ema_cluster_size[::4] = 0  # as after a step in which nothing was near them
    quantizer.embedding.weight.data[::4] *= 1e6
    said(capfd, "convert", saved(model, tmp_path / "model.pt"), "--out", tmp_path / "run", "--size", 32)
    check_same(model, voxlex.load(tmp_path / "run"), torch.rand(2, 1, 32, 32))


@pytest.mark.slow
def test_a_converted_run_goes_through_the_commands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made, scans, out = tmp_path / "run", tmp_path / "scans", tmp_path / "out"
    PhantomSource(PhantomOptions(subjects=10, slices=2)).write(scans, Frame(size=32))
    said(capfd, "convert", saved(theirs(), tmp_path / "model.pt"), "--out", made, "--size", 32)
    for words in (
        ["info", made],
        ["encode", made, scans, "--out", tmp_path / "codes.parquet"],
        ["decode", made, tmp_path / "codes.parquet", "--out", out / "decoded"],
        ["reconstruct", made, scans, "--out", out / "reconstructed"],
        ["evaluate", made, scans],
    ):
        assert run(capfd, *words).status == 0
    before = (made / "autoencoder.safetensors").read_bytes()
    options = ["--prior.width", "16", "--prior.layers", "1", "--training.prior.batch-size", "2", "--steps", "2"]
    assert run(capfd, "train", scans, "--out", made, "--stage", "prior", *options).status == 0
    assert (made / "autoencoder.safetensors").read_bytes() == before
    assert run(capfd, "sample", made, "--count", "1", "--out", out / "samples").status == 0


class Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


def test_nothing_but_weights_is_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": theirs().state_dict(), "extra": Harmful()}, "model.pt")
    check_refusal(run(capfd, "convert", "model.pt", "--out", "run"), names="model.pt", says="could run code")
    torch.save(theirs(), "model.pt")
    check_refusal(run(capfd, "convert", "model.pt", "--out", "run"), names="model.pt", says=r"model\.state_dict\(\)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt"]


def changed(state: dict[str, Tensor], kind: str) -> Any:
    if kind == "missing":
        del state["decoder.blocks.1.conv1.conv.bias"]
    elif kind == "unexpected":
        state["encoder.blocks.0.adn.A.weight"] = torch.rand(1)
    elif kind == "shape":
        state["decoder.blocks.3.conv.weight"] = torch.rand(12, 9, 4, 4)
    elif kind == "other":
        return {"layer.weight": torch.rand(2, 2), "layer.bias": torch.rand(2)}
    elif kind == "NaN":
        state["encoder.blocks.0.conv.bias"][0] = torch.nan
    elif kind == "list":
        return [1, 2]
    return state


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("missing", "", r"missing: decoder\.blocks\.1\.conv1\.conv\.bias$"),
        ("unexpected", "", r"unexpected: encoder\.blocks\.0\.adn\.A\.weight$"),
        ("shape", "", r"decoder\.blocks\.3\.conv\.weight: expected the shape \(12, 8, 4, 4\), got \(12, 9, 4, 4\)"),
        ("other", "", r"with quantizer\.quantizer\.embedding\.weight, got one without: layer\.bias, layer\.weight"),
        ("NaN", "", r"expected finite floating-point weights, got others: encoder\.blocks\.0\.conv\.bias"),
        ("list", "", "expected a state dict, got 'list'"),
        ("", "--size 34", "data.size: expected a multiple of 4"),
        ("", "--downsample 2 4 1", "--downsample: expected 4 numbers for each level, got 3"),
        ("", "--downsample 2 4 1 0", "expected a convolution that divides the grid by its stride"),
        (
            "",
            "--downsample 2 4 1 1 2 4 1 1 2 4 1 1",
            "downsample: expected 4 numbers for each of 2",
        ),
        (
            "",
            "--size 126 --downsample 3 4 1 1 --upsample 3 4 1 1 1",
            "downsampling: expected 2, 4, 8 or another power of two",
        ),
        ("", "--downsample 2 5 1 2", r"encoder\.blocks\.0\.conv\.weight: expected the shape"),
        (
            "",
            "--upsample 2 4 1 1 1",
            "expected a convolution that multiplies the grid by its stride",
        ),
    ],
)
def test_what_is_not_such_a_model_is_named(
    kind: str,
    options: str,
    says: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(changed(theirs().state_dict(), kind), "model.pt")
    check_refusal(run(capfd, "convert", "model.pt", "--out", "run", *options.split()), names="", says=says)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such file"), (b"", "got another file"), (b"PK\x03\x04" + bytes(99), "got another file")],
    ids=["nothing", "empty", "cut"],
)
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_files_that_are_no_checkpoints_are_refused(
    name: str, content: bytes | None, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
        says = "damaged or cut short" if name == "model.safetensors" else says
    check_refusal(run(capfd, "convert", file, "--out", tmp_path / "run"), names=str(file), says=says)


def test_a_model_of_volumes_needs_a_spacing_and_one_of_colour_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = saved(theirs(3), tmp_path / "model.pt")
    check_refusal(run(capfd, "convert", file, "--out", tmp_path / "run"), names=str(file), says="--spacing-mm")
    torch.save(VQVAE(spatial_dims=2, **(SMALL | {"in_channels": 3, "out_channels": 3})).state_dict(), file)
    check_refusal(run(capfd, "convert", file, "--out", tmp_path / "run"), names=str(file), says="one with 3")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = saved(theirs(), tmp_path / "model.pt")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    check_refusal(run(capfd, "convert", file, "--out", tmp_path / "run"), names="run", says="exists already")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "convolutions",
    [[(2, 4, 1, 1, 0)] * 2, [(1, 3, 1, 1, 0), (2, 3, 2, 2, 1)], [(4, 6, 1, 1, 0)]],
)
def test_a_network_reaches_no_further_than_it_says(convolutions: list[tuple[int, ...]]) -> None:
    strides = [stride for stride, *_ in convolutions]
    patch = int(torch.tensor(strides).prod())
    levels = {"channels": [4] * len(strides), "unit_widths": [4] * len(strides), "units": 1, "width": 4}
    settings: dict[str, Any] = {"embedding_dim": 2, "downsampling": patch, "activation": "gelu", **levels}
    encoder = MonaiEncoder(convolutions=[numbers[:4] for numbers in convolutions], **settings)
    decoder = MonaiDecoder(convolutions=convolutions, **settings)
    for network in (encoder, decoder):
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, 0.1)  # so that nothing cancels out
    cells, middle = 25, 12
    x = torch.rand(1, 1, cells * patch, cells * patch, requires_grad=True)
    encoder(x)[:, :, middle, middle].sum().backward()
    z = torch.rand(1, 2, cells, cells, requires_grad=True)
    span = slice(middle * patch, (middle + 1) * patch)
    decoder(z)[:, :, span, span].sum().backward()
    for seen, unit, reach in ((x.grad, patch, encoder.reach), (z.grad, 1, decoder.reach)):
        assert seen is not None
        rows = seen.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        furthest = max(middle - int(rows.min()) // unit, int(rows.max()) // unit - middle)
        assert furthest <= reach <= furthest + 1


def test_the_settings_are_those_of_monai() -> None:
    own, model = MonaiNetworkConfig(), VQVAE(spatial_dims=2, in_channels=1, out_channels=1)
    assert own.channels == model.encoder.channels
    assert own.unit_widths == model.num_res_channels
    assert own.units == model.num_res_layers
    assert own.encoder_convolutions == model.encoder.downsample_parameters
    assert own.decoder_convolutions == model.decoder.upsample_parameters
