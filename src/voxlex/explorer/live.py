"""The figures of a training, as they are by now."""

import math
from pathlib import Path
from typing import Any

from voxlex.explorer.exhibit import Exhibit
from voxlex.explorer.replies import Question
from voxlex.names import printable
from voxlex.run_folder import AUTOENCODER, PRIOR, TEXTURE, RunFolder
from voxlex.training.journal import read_journal
from voxlex.training.pictures import read_about

_MOST_POINTS = 600


def training(exhibit: Exhibit, question: Question) -> dict[str, Any]:
    """Return the figures of the training, thinned out, and which pictures there are."""
    rows = read_journal(exhibit.folder.journal_file)
    curves: dict[tuple[str, str], list[tuple[float, int, float]]] = {}
    for row in rows:
        value, elapsed = float(row["value"]), float(row["elapsed_s"])
        if math.isfinite(value) and math.isfinite(elapsed):
            curves.setdefault((row["stage"], row["name"]), []).append((elapsed, int(row["step"]), value))
    folder = exhibit.folder
    stages = [stage for stage in (AUTOENCODER, TEXTURE, PRIOR) if any(key[0] == stage for key in curves)]
    finished = folder.metadata().get("stages", {})
    return {
        "curves": [
            {"stage": printable(stage), "name": printable(name), "points": _thinned(points)}
            for (stage, name), points in curves.items()
        ],
        "stages": [{"name": stage, "finished": stage in finished} for stage in stages],
        "validations": {stage: about for stage in stages if (about := _validations(folder, stage)) is not None},
        "changed": _changed(folder.journal_file),
        "pictures": {
            file.stem: _changed(file) for file in (folder.reconstructions_file, folder.samples_file) if file.is_file()
        },
        "minutes": folder.config().training.minutes,
        "steps": folder.config().training.steps,
    }


def _validations(folder: RunFolder, stage: str) -> dict[str, Any] | None:
    """Return what the pictures of the validations of a stage are, and when they changed."""
    changed = _changed(folder.validations_file(stage))  # first, so that newer pictures are asked for again
    about = read_about(folder.validations_file(stage))
    return None if about is None else {**about, "changed": changed}


def _changed(file: Path) -> float:
    try:
        return round(file.stat().st_mtime, 3)
    except OSError:
        return 0.0


def _thinned(points: list[tuple[float, int, float]]) -> list[list[float]]:
    """Return at most `_MOST_POINTS` points of a curve, always with the last one."""
    step = max(1, -(-len(points) // _MOST_POINTS))
    kept = points[::-1][::step][::-1]
    return [[elapsed, number, float(f"{value:.5g}")] for elapsed, number, value in kept]
