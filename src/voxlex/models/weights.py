"""Save and load the weights of modules as safetensors files."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from voxlex.errors import RunError
from voxlex.files import atomic_file


def save_weights(path: Path, module: nn.Module, *, about: Mapping[str, str]) -> None:
    """Write the parameters and buffers of a module, with a few facts about them in the header."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic_file(path) as building:
        building.write_bytes(save(tensors, metadata=dict(about)))


def load_weights(path: Path, module: nn.Module) -> None:
    """Load weights into a module of the same configuration.

    Raises:
        RunError: If the file is missing, damaged, or holds the weights of another configuration.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file; train this stage first")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as cause:
        raise RunError(f"{path}: cannot be read as weights: {cause}") from cause
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        shapes = [tuple(side[name].shape) if name in side else "nothing" for side in (expected, tensors)]
        if shapes[0] != shapes[1]:
            raise RunError(f"{path}: does not fit config.yaml: {name}: expected {shapes[0]}, got {shapes[1]}")
    module.load_state_dict(tensors)
