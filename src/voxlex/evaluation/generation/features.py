"""Image features for comparisons: a default that needs no weights, or a network whose weights the user provides."""

import io
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from voxlex.errors import DataError
from voxlex.evaluation.generation.deep import DeepFeatures, are_deep_features_installed
from voxlex.evaluation.generation.scattering import log_scattering
from voxlex.types import Image

Features = Callable[[Image], Float[Tensor, "n f"]]
"""A function from images in [0, 1], `(n, c, *space)`, to one row of numbers for each image. It is deterministic."""

INCEPTION_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"

_BATCH = 64


@torch.no_grad()
def describe(images: Image, features: Features) -> Float[Tensor, "n f"]:
    """Compute the features of many images, one batch at a time.

    Raises:
        ValueError: If the features are not a table of finite numbers with one row for each image.
    """
    rows = torch.cat([features(batch).detach().cpu() for batch in images.split(_BATCH)])
    if rows.ndim != 2 or len(rows) != len(images) or not rows.isfinite().all():
        odd = int((~rows.isfinite()).sum())
        raise ValueError(
            f"features: expected finite numbers, ({len(images)}, f), got {tuple(rows.shape)} with {odd} not finite"
        )
    return rows.float()


def chosen_features(name_or_path: str | Path) -> str | Path:
    """Return the features that "auto" stands for here, and other names unchanged."""
    if name_or_path != "auto":
        return name_or_path
    return "deep" if are_deep_features_installed() else "default"


def load_features(name_or_path: str | Path) -> Features:
    """Return features by name, or load a network from a file. This never downloads anything.

    - "deep" stands for `DeepFeatures`, which need the package `voxlex[deep]`.
    - "default" stands for `log_scattering`.
    - "inception" stands for the 2048 features of the original Fréchet Inception distance. They need the package
      `torch-fidelity`, and its weights in the folder of torch hub.
    - "auto" stands for "deep" if that package is installed, else for "default"; see `chosen_features`.
    - A path stands for a TorchScript file, such as RadImageNet weights. The network maps float32 `(n, 3, h, w)` in
      [0, 1] to features `(n, f)`, or to maps `(n, f, h, w)` that are then averaged. It must resize and normalize images
      itself. A TorchScript file is a program, so load only files that you trust.

    The networks of the last two take two-dimensional images. Gray images are repeated to three channels.

    Args:
        name_or_path: "auto", "deep", "default", "inception", or the path of a TorchScript file.

    Raises:
        DataError: If the name is unknown, or if a file or package is missing or unusable.
    """
    name_or_path = chosen_features(name_or_path)
    if name_or_path == "default":
        return log_scattering
    if name_or_path == "deep":
        return DeepFeatures()
    if name_or_path == "inception":
        return _load_inception()
    path = Path(name_or_path)
    if not path.is_file():
        raise DataError(
            f'features: expected "auto", "deep", "default", "inception" or a TorchScript file, got {path}, which is '
            "not a file"
        )
    try:
        return _ScriptFeatures(path.read_bytes())
    except (OSError, RuntimeError, ValueError) as cause:
        raise DataError(f"{path}: expected a TorchScript file, got another or a damaged file") from cause


class _ScriptFeatures:
    """Features by a TorchScript file. A network of TorchScript cannot be pickled for workers, but its file can.

    Raises:
        RuntimeError, ValueError: If it is not one.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        with warnings.catch_warnings():  # TorchScript is deprecated, but weights are still shared in it
            warnings.simplefilter("ignore", DeprecationWarning)
            self._network = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()

    def __call__(self, images: Image) -> Float[Tensor, "n f"]:
        """Return the features of images `(n, 1 or 3, h, w)` in [0, 1]."""
        return _pooled(self._network(_three_channels(images)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _ScriptFeatures, (self._content,)


def _load_inception() -> Features:
    weights = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_WEIGHTS
    try:
        module = import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as cause:
        raise DataError(f"inception features need `pip install torch-fidelity`: {cause}") from cause
    if not weights.is_file():
        raise DataError(f"inception features need {weights}: download it from the releases of toshas/torch-fidelity")
    try:
        torch.load(weights, weights_only=True)  # the package unpickles the file: check that it holds only tensors
    except Exception as cause:  # torch raises many kinds of errors for a damaged file
        raise DataError(f"{weights}: expected the weights of a network, got another or a damaged file") from cause
    network = module.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))
    return lambda images: network(_three_channels(images).clamp(0, 1).mul(255).round().byte())[0]


def _three_channels(images: Image) -> Float[Tensor, "n 3 h w"]:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images: expected (n, 1 or 3, h, w) for these features, got {tuple(images.shape)}")
    return images.expand(-1, 3, -1, -1)


def _pooled(values: Tensor) -> Tensor:
    return values.mean((2, 3)) if values.ndim == 4 else values
