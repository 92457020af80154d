"""Save and load the weights of modules as safetensors files, which carry a fingerprint of their content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from voxlex.errors import RunError
from voxlex.files import atomic_file

_FINGERPRINT = "blake2b"


def save_weights(path: Path, module: nn.Module, *, about: Mapping[str, str]) -> None:
    """Write the parameters and buffers of a module, with a few facts about them in the header; see `save_tensors`."""
    save_tensors(path, module.state_dict(), about=about)


def save_tensors(path: Path, state: Mapping[str, Tensor], *, about: Mapping[str, str]) -> None:
    """Write the parameters and buffers of a module, by their names, with a few facts about them in the header.

    Equal weights and facts give equal files, byte for byte.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    header, content = _parts(save(tensors))
    header["__metadata__"] = dict(about)
    header["__metadata__"][_FINGERPRINT] = _fingerprint(header, content)
    words = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)  # tensors begin at a multiple of 8
    with atomic_file(path) as building, building.open("wb") as file:
        file.writelines((len(words).to_bytes(8, "little"), words, content))


def load_weights(path: Path, module: nn.Module, *, without: str | None = None) -> None:
    """Load weights into a module of the same configuration.

    Args:
        path: The file.
        module: The module.
        without: Weights with this in their names stay as they are in the module, whatever the file has.

    Raises:
        RunError: If the file is missing, damaged, or holds the weights of another configuration. Damage is found by the
            fingerprint in the header, which files of version 0.1.0 lack.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file; train this stage first")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as cause:
        raise RunError(f"{path}: cannot be read as weights: {cause}") from cause
    _check_fingerprint(path)
    expected = module.state_dict()
    if without is not None:
        own, read = ({name for name in side if without in name} for side in (expected, tensors))
        tensors = {name: tensors[name] for name in tensors.keys() - read} | {name: expected[name] for name in own}
    for name in sorted(expected.keys() | tensors.keys()):
        shapes = [tuple(side[name].shape) if name in side else "nothing" for side in (expected, tensors)]
        if shapes[0] != shapes[1]:
            raise RunError(f"{path}: does not fit config.yaml: {name}: expected {shapes[0]}, got {shapes[1]}")
    module.load_state_dict(tensors)


def _check_fingerprint(path: Path) -> None:
    header, content = _parts(path.read_bytes())
    found = header.get("__metadata__", {}).get(_FINGERPRINT)
    if found is not None and found != _fingerprint(header, content):
        raise RunError(f"{path}: is damaged: its content does not have the fingerprint in its header")


def _parts(file: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header of a safetensors file, and the bytes of its tensors."""
    end = 8 + int.from_bytes(file[:8], "little")
    return json.loads(file[8:end]), memoryview(file)[end:]


def _fingerprint(header: Mapping[str, Any], content: memoryview) -> str:
    """Hash all but the fingerprint itself."""
    facts = {name: value for name, value in header.get("__metadata__", {}).items() if name != _FINGERPRINT}
    digest = hashlib.blake2b(json.dumps({**header, "__metadata__": facts}, sort_keys=True).encode(), digest_size=16)
    digest.update(content)
    return digest.hexdigest()
