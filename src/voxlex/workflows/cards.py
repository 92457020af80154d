"""The card of a run, with the figures that were measured of it."""

import json
from collections.abc import Sequence
from pathlib import Path

from voxlex.errors import DataError
from voxlex.pages.card import card
from voxlex.pages.measures import Figures
from voxlex.vocabulary import Vocabulary

SCORES = "scores.json"
"""File in a run folder with the figures of an evaluation."""


def card_of(
    vocabulary: Vocabulary, *, name: str, use: Sequence[str], source: str, figures: Figures, licence: str | None
) -> str:
    """Return the card of a vocabulary; for the arguments see `pages.card.card`."""
    return card(
        name=name,
        use=use,
        source=source,
        metadata=vocabulary.metadata,
        layouts=vocabulary.layouts,
        space=vocabulary.space,
        decoders=["faithful", *(["textured"] if vocabulary.texture is not None else [])],
        prior=None if vocabulary.prior is None else vocabulary.config.prior.kind,
        figures=figures,
        licence=licence,
    )


def figures_of(run: Path, file: Path | None = None) -> Figures:
    """Read figures, or those by the default features from figures by several.

    Args:
        run: The run folder.
        file: What `voxlex evaluate --json` wrote; by default the figures in the run folder, if there are any.

    Raises:
        DataError: If the file cannot be read.
    """
    if file is None and not (run / SCORES).is_file():
        return {}
    file = file or run / SCORES
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content = content.get("default", content)
        if not all(isinstance(value, int | float | None) for value in content.values()):
            raise TypeError("expected numbers")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as cause:
        raise DataError(f"{file}: expected figures that `voxlex evaluate --json` wrote, got another file") from cause
    return {name: value for name, value in content.items() if value is not None}
