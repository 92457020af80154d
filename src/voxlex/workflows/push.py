"""Write a run into a repository of the Hugging Face Hub."""

import json
from pathlib import Path

from voxlex import hub
from voxlex.errors import DataError
from voxlex.pages.card import card
from voxlex.pages.measures import Figures
from voxlex.run_folder import RunFolder
from voxlex.vocabulary import load

_OWN = ("README.md", hub.CHECKSUMS)
"""Files that are written for the repository, and are not those of the run."""


def push(
    run: Path,
    repository: str,
    *,
    figures: Path | None = None,
    licence: str | None = None,
    private: bool = False,
) -> str:
    """Write the settings, the metadata and the weights of a run into a repository, with a card; return the commit.

    Args:
        run: The run.
        repository: Owner and name. It is made if it is not there.
        figures: What `voxlex evaluate --json` wrote; by default the file scores.json of the run, if there is one.
        licence: Identifier of the licence of the weights for the card.
        private: Whether a new repository is private.

    Raises:
        ConfigError: If the extra is not installed, or the name is not that of a repository.
        DataError: If the figures cannot be read.
        RunError: If the run cannot be used, or the Hub cannot be reached or refuses.
    """
    hub.check_repository(repository)
    folder, vocabulary = RunFolder.open(run), load(run)  # refuses damaged weights
    scores = folder.path / "scores.json"
    found = _figures(figures or scores) if figures or scores.is_file() else {}
    text = card(
        repository=repository,
        metadata=vocabulary.metadata,
        layouts=vocabulary.layouts,
        space=vocabulary.space,
        decoders=["faithful", *(["textured"] if vocabulary.texture is not None else [])],
        prior=None if vocabulary.prior is None else vocabulary.config.prior.kind,
        figures=found,
        licence=licence,
    )
    files = _files_of(folder) | {"README.md": text.encode()}
    return hub.pushed(files, repository, private=private, message="Push a vocabulary of voxlex")


def _files_of(folder: RunFolder) -> dict[str, bytes]:
    """Return the files of a run that a repository may hold."""
    paths = [folder.path / name for name in hub.FILES if name not in _OWN]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def _figures(file: Path) -> Figures:
    """Read figures, or those by the default features from figures by several."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content = content.get("default", content)
        if not all(isinstance(value, int | float | None) for value in content.values()):
            raise TypeError("expected numbers")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as cause:
        raise DataError(f"{file}: expected figures that `voxlex evaluate --json` wrote, got another file") from cause
    return {name: value for name, value in content.items() if value is not None}
