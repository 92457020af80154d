"""Pictures of a probe: which classes are taken for which, and the codewords that weigh most."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from voxlex.files import atomic_file
from voxlex.names import printable
from voxlex.outputs import MARK
from voxlex.pages.pictures import sample_sheet
from voxlex.types import Image


def confusion_picture(path: Path, counts: Int64[np.ndarray, "k k"], classes: Sequence[str]) -> None:
    """Draw how many images of each class, in rows, were taken for each class, in columns.

    Raises:
        DataError: If the file cannot be written.
    """
    from matplotlib.figure import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.7 * len(classes)
    figure = Figure(figsize=(side + 1, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [printable(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("Read from codes")
    axes.set_ylabel("In the table")
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour)
    with atomic_file(path) as building:
        figure.savefig(building, format="png", metadata={"Comment": MARK})


def codeword_sheet(path: Path, pictures: Image, *, names: Sequence[str], each: int) -> None:
    """Draw codewords in the order of their weights, `each` for every name.

    Args:
        path: The file.
        pictures: What each codeword decodes to in a field of its own.
        names: What they speak for.
        each: Number of codewords of each name.

    Raises:
        DataError: If the file cannot be written.
    """
    captions = [f"{name} {number + 1}" for name in names for number in range(each)]
    sample_sheet(path, pictures, captions=captions)
