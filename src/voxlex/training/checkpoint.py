"""Save and load the state from which training resumes."""

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from voxlex.errors import RunError
from voxlex.files import atomic_file


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state that an interrupted stage needs to continue."""
    buffer = io.BytesIO()  # torch reports a full disk as an error of the archive; writing bytes raises an OSError
    torch.save(dict(state), buffer)
    with atomic_file(path) as building:
        building.write_bytes(buffer.getbuffer())


def load_state(path: Path) -> dict[str, Any]:
    """Read a state from `save_state`. Only tensors and plain values are accepted, never code.

    Raises:
        RunError: If the file is missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # torch raises many kinds of errors for a damaged file
        raise RunError(f"{path}: cannot resume from it: {str(cause).splitlines()[0]}") from cause


def players_of(state: Mapping[str, Any], names: Collection[str], *, where: Path) -> dict[str, Any]:
    """Return the state of each player. Version 0.1.0 saved a single player without its name.

    Raises:
        RunError: If the state belongs to other players.
    """
    if "players" not in state and len(names) == 1:
        return {name: {part: state[part] for part in ("module", "optimizer")} for name in names}
    players = state.get("players", {})
    if players.keys() != set(names):
        raise RunError(f"{where}: expected the state of {', '.join(names)}, got that of {', '.join(players) or 'one'}")
    return players


def random_state() -> dict[str, Any]:
    """Return the state of torch's random generators."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "gpus": gpus}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore a state of torch's random generators from `random_state`."""
    torch.set_rng_state(state["cpu"])
    if len(state["gpus"]) == torch.cuda.device_count() and state["gpus"]:
        torch.cuda.set_rng_state_all(state["gpus"])
