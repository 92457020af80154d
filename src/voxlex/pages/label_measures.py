"""Explanations of the figures of labels: what each reader was fitted to, and what it read."""

from typing import NamedTuple

from voxlex.pages.measures import Figures, Measure


class Reader(NamedTuple):
    """A reader of labels.

    Attributes:
        key: Its part of the keys of the figures, as in `label.codes.auroc`.
        fitted: What it was fitted to.
        tested: What it read.
        meaning: One line of explanation.
    """

    key: str
    fitted: str
    tested: str
    meaning: str


READERS = (
    Reader("images", "Real images", "Real images", "What can be read from images themselves."),
    Reader("codes", "Codes", "Codes", "What the codes hold."),
    Reader("reconstructions", "Real images", "Reconstructions", "Below the first row, reconstructions have lost some."),
    Reader(
        "few_images", "Fewer real images", "Real images", "As many as there are samples, which can hardly do better."
    ),
    Reader("samples", "Samples", "Real images", "What samples teach of the label that they were drawn for."),
    Reader("greys", "Grey values alone", "Grey values alone", "If this is as good, the scanner may be what is read."),
    Reader("shuffled", "Real images, labels of others", "Real images", "Chance."),
)

MEASURES = (
    Measure(key="auroc", name="AUROC", form=".3f", better="higher", meaning="0.5 is guessing."),
    Measure(
        key="balanced_accuracy",
        name="Balanced accuracy",
        form=".1%",
        better="higher",
        meaning="The share that is right, as a mean over classes.",
    ),
)

KEYS = frozenset(
    [
        f"label.{reader.key}.{measure.key}{limit}"
        for reader in READERS
        for measure in MEASURES
        for limit in ("", "_low", "_high")
    ]
    + [f"label.{name}" for name in ("n_images", "n_groups", "n_classes")]
)
"""Keys of all figures of labels."""


def readers(figures: Figures) -> list[Reader]:
    """Return the readers that figures hold, in the order of the table."""
    return [reader for reader in READERS if f"label.{reader.key}.auroc" in figures]


def sentence(figures: Figures) -> str:
    """Return a sentence about what was read, and from which images."""
    classes, images, groups = (round(figures[f"label.{name}"]) for name in ("n_classes", "n_images", "n_groups"))
    return (
        f"A linear reader tells {classes} classes of {images:,d} held-out images apart, which belong to {groups:,d} "
        "subjects or groups of similar images. It never reads an image of a group that it was fitted to."
    )
