"""The network is built from weights of the right shapes; what it sees with the real weights is not tested here."""

import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from voxlex.evaluation.generation import deep, load_features

# kernel, stride, expansion, output channels of each block (Tan and Le, 1905.11946, table 1, with the stem at 32)
BLOCKS = [
    (3, 1, 1, 16),
    *[(3, 2, 6, 24), (3, 1, 6, 24)],
    *[(5, 2, 6, 40), (5, 1, 6, 40)],
    *[(3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)],
    *[(5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)],
    *[(5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192)],
    (3, 1, 6, 320),
]


def random_weights() -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    weights: dict[str, torch.Tensor] = {}

    def layer(convolution: str, norm: str, *shape: int) -> None:
        weights[f"{convolution}.weight"] = torch.randn(shape, generator=draws) / (shape[1] * shape[2] ** 2) ** 0.5
        for name in ("weight", "running_var"):
            weights[f"{norm}.{name}"] = 0.5 + torch.rand(shape[0], generator=draws)
        for name in ("bias", "running_mean"):
            weights[f"{norm}.{name}"] = 0.1 * torch.randn(shape[0], generator=draws)

    layer("_conv_stem", "_bn0", 32, 3, 3, 3)
    inputs = 32
    for number, (kernel, _, expansion, outputs) in enumerate(BLOCKS):
        name, inner = f"_blocks.{number}.", inputs * expansion
        if expansion > 1:
            layer(f"{name}_expand_conv", f"{name}_bn0", inner, inputs, 1, 1)
        layer(f"{name}_depthwise_conv", f"{name}_bn1", inner, 1, kernel, kernel)
        layer(f"{name}_project_conv", f"{name}_bn2", outputs, inner, 1, 1)
        inputs = outputs
    layer("_conv_head", "_bn1", 1280, inputs, 1, 1)
    return weights


def reference(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The network step by step, in float64, with batch normalisation left where it is."""
    weights = {name: value.double() for name, value in weights.items()}

    def normed(x: torch.Tensor, norm: str) -> torch.Tensor:
        mean, variance, scale, shift = (
            weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    def convolved(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = weights[f"{name}.weight"]
        total = kernel.shape[-1] - (2 if stride == 2 else 1)  # for even sides, "SAME" pads less at the start
        x = functional.pad(x, (total // 2, total - total // 2) * 2)
        return functional.conv2d(x, kernel, stride=stride, groups=x.shape[1] if kernel.shape[1] == 1 else 1)

    x = (x.double() * 255 - 127) / 128
    x = functional.relu6(normed(convolved(x, "_conv_stem", 2), "_bn0"))
    for number, (_, stride, expansion, _) in enumerate(BLOCKS):
        name, before = f"_blocks.{number}.", x
        if expansion > 1:
            x = functional.relu6(normed(convolved(x, f"{name}_expand_conv"), f"{name}_bn0"))
        x = functional.relu6(normed(convolved(x, f"{name}_depthwise_conv", stride), f"{name}_bn1"))
        x = normed(convolved(x, f"{name}_project_conv"), f"{name}_bn2")
        x = before + x if x.shape == before.shape else x
    return functional.relu6(normed(convolved(x, "_conv_head"), "_bn1")).mean(dim=(2, 3))


def test_the_network_follows_its_description():
    weights = random_weights()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = deep.EfficientNetLite0(weights).eval()(images)
    torch.testing.assert_close(found.double(), reference(weights, images), rtol=1e-3, atol=1e-4)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with random weights in place of the real one."""
    folder = tmp_path / deep.PACKAGE
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    torch.save(random_weights(), folder / "models" / "efficientnet-lite0-0.pth")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, deep.PACKAGE, raising=False)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("shape", [(2, 1, 32, 40), (2, 3, 64, 64), (2, 1, 5, 32, 32)])
def test_installed_deep_features_are_taken(shape: tuple[int, ...]):
    features = load_features("auto")
    assert isinstance(features, deep.DeepFeatures)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    rows = features(images)
    assert rows.shape == (2, 1280)
    torch.testing.assert_close(features(images[1:]), rows[1:], rtol=1e-3, atol=1e-4)
