"""Save and load the state from which training resumes."""

import io
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voxlex.errors import RunError, brief
from voxlex.files import atomic_file

_PART = 2**24  # bytes that are written before it is told


def save_state(path: Path, state: Mapping[str, Any], *, told: Callable[[], None] = lambda: None) -> None:
    """Write the state that an interrupted stage needs to continue.

    Args:
        path: The file.
        state: Tensors and plain values.
        told: Called each time when a part of the state is on the disk, or is ready for it.
    """
    buffer = _Told(told)  # torch reports a full disk as an error of the archive; writing bytes raises an OSError
    torch.save(dict(state), buffer)
    content = buffer.getbuffer()
    with atomic_file(path) as building, building.open("wb") as file:
        for start in range(0, len(content), _PART):
            file.write(content[start : start + _PART])
            file.flush()
            os.fsync(file.fileno())  # so that the disk does not take all of it at the end
            told()


class _Told(io.BytesIO):
    """Bytes, of which each tensor is a part that is told."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self._told = told

    def write(self, content: Any, /) -> int:
        self._told()
        return super().write(content)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state from `save_state`. Only tensors and plain values are accepted, never code.

    Raises:
        RunError: If the file is missing or damaged, or holds something else than a state.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as cause:
        raise RunError(f"{path}: cannot resume from it: {cause.strerror or 'it cannot be read'}") from cause
    except Exception as cause:  # many kinds, and words that advise to load the file without protection
        raise RunError(f"{path}: cannot resume from it: expected a saved state, got a file that is damaged") from cause
    _check(state, where=path)
    return state


def players_of(state: Mapping[str, Any], names: Collection[str], *, where: Path) -> dict[str, Any]:
    """Return the state of each player. Version 0.1.0 saved a single player without its name.

    Raises:
        RunError: If the state belongs to other players.
    """
    if "players" not in state and len(names) == 1:
        return {name: {part: state[part] for part in ("module", "optimizer")} for name in names}
    players = state.get("players", {})
    if players.keys() != set(names):
        got = ", ".join(map(str, players)) or "one"
        raise RunError(f"{where}: expected the state of {', '.join(names)}, got that of {got}")
    return players


@contextmanager
def resuming(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a state is put into modules and optimizers into an error that names its file.

    Raises:
        RunError: If the state does not fit.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as cause:
        raise RunError(
            f"{path}: cannot resume from it: expected the state of a run with the settings of config.yaml, got another"
        ) from cause


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Refuse a loaded state whose running averages have other shapes than the parameters; torch finds out in a step.

    Raises:
        ValueError: If the shapes differ, or a setting is not a number.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                expected = torch.Size([]) if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != expected:
                    raise ValueError(f"{name}: expected a tensor of shape {tuple(expected)}, got {brief(value)}")


def check_weights(weights: Mapping[str, Tensor], *, expected: Mapping[str, Tensor]) -> None:
    """Refuse weights of other names or shapes than a module has.

    Raises:
        ValueError: If they differ.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in expected.items()}:
        raise ValueError("expected the best weights of this module, got those of another")


def random_state() -> dict[str, Any]:
    """Return the state of torch's random generators."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "gpus": gpus}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore a state of torch's random generators from `random_state`."""
    torch.set_rng_state(state["cpu"])
    if len(state["gpus"]) == torch.cuda.device_count() and state["gpus"]:
        torch.cuda.set_rng_state_all(state["gpus"])


def _check(state: Any, *, where: Path) -> None:
    """Refuse what is not a state; whether it fits the modules is found when it is put into them.

    Raises:
        RunError: If a part is missing or is not what it should be.
    """
    if not isinstance(state, dict):
        raise RunError(f"{where}: cannot resume from it: expected a saved state, got {brief(type(state).__name__)}")
    random, best = state.get("random"), state.get("best")
    weights = best.get("weights") if isinstance(best, dict) else None
    parts = {
        "step": _is_count(state.get("step")),
        "elapsed_s": _is_number(state.get("elapsed_s")),
        "random": isinstance(random, dict) and {"cpu", "gpus"} <= random.keys(),
        "random_of_others": isinstance(state.get("random_of_others", []), list),
        "players": isinstance(state.get("players", {}), dict),
        "best": best is None
        or (isinstance(best, dict) and best.keys() == {"value", "step", "weights"} and _is_count(best["step"])),
        "best.value": best is None or (isinstance(best, dict) and isinstance(best.get("value"), float)),
        "best.weights": best is None
        or (isinstance(weights, dict) and all(isinstance(weight, Tensor) for weight in weights.values())),
    }
    wrong = [name for name, right in parts.items() if not right]
    if wrong:
        raise RunError(f"{where}: cannot resume from it: {wrong[0]} is missing or is not part of a saved state")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value)
