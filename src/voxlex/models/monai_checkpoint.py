"""Read checkpoints of MONAI's `VQVAE`: weights alone, and what their shapes tell of the network."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from voxlex.errors import DataError, brief, naming
from voxlex.models.vqvae import VQVAE
from voxlex.quantizers import VectorQuantizer
from voxlex.quantizers.codebook import Codebook

Weights = Mapping[str, Tensor]

CODEBOOK = "quantizer.quantizer.embedding.weight"
"""The name by which a checkpoint is known."""

_COUNTS = "quantizer.quantizer.ema_cluster_size"
_AVERAGES = (_COUNTS, "quantizer.quantizer.ema_w")
"""Running means of the codebook, which a checkpoint need not have."""

_FAR = 100
"""So many times as long as all that are used is a codeword at most."""

_LISTED = 3
_SETTLED = 100_000
"""Training steps after which running means no longer depend on their start."""


class Shapes(NamedTuple):
    """What the shapes of weights tell of the network.

    Attributes:
        spatial_dims: 2 for images, 3 for volumes.
        in_channels: Channels of the images.
        channels: Channels of each level.
        unit_widths: Channels inside the residual units of each level.
        units: Residual units of each level.
        encoder_kernels: Side of the kernel of each level of the encoder.
        decoder_kernels: The same of the decoder, from the code grid on.
        num_embeddings: Number of codewords.
        embedding_dim: Length of a codeword.
    """

    spatial_dims: Literal[2, 3]
    in_channels: int
    channels: tuple[int, ...]
    unit_widths: tuple[int, ...]
    units: int
    encoder_kernels: tuple[int, ...]
    decoder_kernels: tuple[int, ...]
    num_embeddings: int
    embedding_dim: int


def read_checkpoint(path: Path) -> Weights:
    """Read the weights of a checkpoint: a file of safetensors, or one that `torch.save` wrote of a state dict.

    Of other Python objects in it, nothing is loaded or run. The state dict may lie in a larger one, and its names may
    begin with a prefix such as "module."; what does not begin with it is left out.

    Raises:
        DataError: If the file is missing, damaged, holds other objects than weights, or is not a checkpoint of MONAI's
            `VQVAE`.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a checkpoint, got {'a folder' if path.is_dir() else 'no such file'}")
    with naming(path):
        content = _unpacked(path) if path.suffix.lower() == ".safetensors" else _unpickled(path)
        weights = _weights_in(content)
        names = [name for name in weights if name.endswith(CODEBOOK)]
        if len(names) != 1:
            got = "one without" if not names else f"{len(names)} models"
            raise DataError(f"expected a checkpoint of MONAI's VQVAE, with {CODEBOOK}, got {got}: {_some(weights)}")
        prefix = names[0].removesuffix(CODEBOOK)
        own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        bad = [name for name, tensor in own.items() if not tensor.is_floating_point() or not tensor.isfinite().all()]
        if bad:
            raise DataError(f"expected finite floating-point weights, got others: {_some(bad)}")
        return {name: tensor.float() for name, tensor in own.items()}


def shapes_of(weights: Weights) -> Shapes:
    """Return what the weights of a checkpoint tell of its network.

    Raises:
        DataError: If they do not have the names and the axes of MONAI's `VQVAE`.
    """
    encoder, decoder = (_convolutions(weights, side) for side in ("encoder", "decoder"))
    convs = [weight for name, weight in encoder if name == "conv"]
    units = [weight for name, weight in encoder if name == "conv1"]
    ups = [weight for name, weight in decoder if name == "conv"]
    codebook = weights[CODEBOOK]
    axes = {weight.ndim for _, weight in (*encoder, *decoder)}
    levels = len(convs) - 1
    if levels < 1 or len(ups) != len(convs) or codebook.ndim != 2 or axes not in ({4}, {5}) or len(units) % levels:
        raise DataError(f"expected the weights of MONAI's VQVAE, got others: {_some(weights)}")
    channels = tuple(len(conv) for conv in convs[:-1])
    each = len(units) // levels
    return Shapes(
        spatial_dims=2 if convs[0].ndim == 4 else 3,
        in_channels=convs[0].shape[1],
        channels=channels,
        unit_widths=tuple(len(unit) for unit in units[::each]) if each else channels,
        units=each,
        encoder_kernels=tuple(conv.shape[-1] for conv in convs[:-1]),
        decoder_kernels=tuple(conv.shape[-1] for conv in ups[1:]),
        num_embeddings=codebook.shape[0],
        embedding_dim=codebook.shape[1],
    )


def load_into(model: VQVAE, weights: Weights) -> None:
    """Put the weights of a checkpoint into a model with the networks of the kind "monai".

    Raises:
        DataError: If names are missing or unexpected, or shapes differ. The message names some of them.
    """
    sides = {"encoder": model.encoder, "decoder": model.decoder}
    expected = {f"{side}.{_theirs(name)}": own for side, net in sides.items() for name, own in net.named_parameters()}
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected and name not in (CODEBOOK, *_AVERAGES)]
    if missing or unexpected:
        parts = {"missing": missing, "unexpected": unexpected}
        said = "; ".join(f"{what}: {_some(names)}" for what, names in parts.items() if names)
        raise DataError(f"expected the weights of MONAI's VQVAE with these settings, got others; {said}")
    for name, own in expected.items():
        if own.shape != weights[name].shape:
            raise DataError(f"{name}: expected the shape {tuple(own.shape)}, got {tuple(weights[name].shape)}")
    with torch.no_grad():
        for name, own in expected.items():
            own.copy_(weights[name])
        assert isinstance(model.quantizer, VectorQuantizer)
        _load_codebook(model.quantizer.codebook, weights)


def _load_codebook(codebook: Codebook, weights: Weights) -> None:
    codewords = weights[CODEBOOK]
    counts = weights.get(_COUNTS, torch.ones(len(codewords)))
    if counts.shape != codewords.shape[:1]:
        raise DataError(f"ema_cluster_size: expected {len(codewords)} numbers, got the shape {tuple(counts.shape)}")
    counts = counts.clamp(min=0)
    codewords = _within_reach(codewords, used=counts > 0)
    held = {
        "embeddings": codewords,
        "counts": counts,
        "sums": codewords * counts.unsqueeze(1),  # so that the mean is the codeword
        "usage": counts,
        "age": torch.full((len(codewords),), _SETTLED),
        "started": torch.tensor(True),
        "steps": torch.tensor(_SETTLED),
    }
    for name, tensor in held.items():
        codebook.get_buffer(name).copy_(tensor)


def _within_reach(codewords: Float[Tensor, "k d"], *, used: Bool[Tensor, " k"]) -> Float[Tensor, "k d"]:
    """Shorten codewords that were never used and are far away, which would cost the search its precision.

    MONAI divides the running mean of such a codeword by a count of nearly 0. It stays so far away that no latent gets
    its code.
    """
    lengths = codewords.norm(dim=1)
    if not used.any():
        return codewords
    longest = _FAR * lengths[used].max()
    return torch.where(((lengths > longest) & ~used)[:, None], codewords * (longest / lengths)[:, None], codewords)


def _unpacked(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as cause:
        raise DataError("is damaged or cut short, and cannot be read as safetensors") from cause


def _unpickled(path: Path) -> Any:
    """Load tensors and plain containers of a file that `torch.save` wrote, and refuse everything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        found = re.search(r"GLOBAL ([\w.]+)", str(cause))
        what = f"Python objects ({found[1]})" if found else "something else"
        raise DataError(
            f"expected weights alone, got {what}, which could run code; save model.state_dict(), or safetensors"
        ) from None
    except Exception as cause:  # a damaged file makes torch raise nearly anything
        raise DataError("expected a state dict that torch.save wrote, or safetensors, got another file") from cause


def _weights_in(content: Any) -> dict[str, Tensor]:
    """Return the tensors of a state dict, which may lie in a dictionary in another one."""
    if not isinstance(content, Mapping):
        raise DataError(f"expected a state dict, got {brief(type(content).__name__)}")
    places = [content, *_inner(content)]
    places += [further for place in places[1:] for further in _inner(place)]
    found = next((place for place in places if any(str(name).endswith(CODEBOOK) for name in place)), content)
    return {str(name): tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}


def _inner(content: Mapping[Any, Any]) -> list[Mapping[Any, Any]]:
    return [value for value in content.values() if isinstance(value, Mapping)]


def _convolutions(weights: Weights, side: str) -> list[tuple[str, Tensor]]:
    """Return the kernels of the blocks of one side in their order, and what each is: "conv", "conv1" or "conv2"."""
    pattern = re.compile(rf"{side}\.blocks\.(\d+)\.(?:(conv)|(conv[12])\.conv)\.weight")
    found = [(match, tensor) for name, tensor in weights.items() if (match := pattern.fullmatch(name))]
    found.sort(key=lambda pair: (int(pair[0][1]), pair[0][2] or pair[0][3]))
    return [(match[2] or match[3], tensor) for match, tensor in found]


def _theirs(name: str) -> str:
    """Return MONAI's name of a parameter of one side, such as "blocks.2.conv1.conv.bias" of "2.conv1.bias"."""
    block, conv, part = name.split(".")
    return f"blocks.{block}.{conv}.{part}" if conv == "conv" else f"blocks.{block}.{conv}.conv.{part}"


def _some(names: Any) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return (", ".join(listed[:_LISTED]) or "nothing") + more
