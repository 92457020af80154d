"""Vocabularies that come trained with the package. Each is a run folder below this one, under its name."""

from pathlib import Path

_HERE = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the names of the vocabularies that come with the package."""
    return tuple(sorted(file.parent.name for file in _HERE.glob("*/metadata.json")))


def located(run: Path) -> Path:
    """Return the folder of a run: `run` itself if it exists, or that of the shipped vocabulary with this name."""
    return _HERE / run.name if not run.exists() and str(run) in names() else run
