"""Maps of what does not belong: overlays, a sheet, and a page with the strangest scans first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import fromarray
from torch import Tensor

from voxlex.files import atomic_file
from voxlex.pages.page import render_page, write_page
from voxlex.pages.pictures import data_uri, sample_sheet, to_picture, to_png
from voxlex.scans.formats.pictures import png_mark

HIGHEST = 6.0
"""Rarity that is brightest in pictures: one in a million healthy pixels."""

START = 3.0
"""Rarity from which overlays show colour: one in a thousand healthy pixels."""

_STEEPNESS = 40
_COLOURS = ((0.95, 0.35, 0.05), (1.0, 0.95, 0.4))  # of the first rarity that is shown, and of the highest
_OPACITY = 0.65

FIGURES = {
    "pixel_ap": "Average precision of the pixels of a scan",
    "pixel_ap_chance": "… by chance",
    "pixel_auroc": "AUROC of the pixels of a scan (chance 0.5)",
    "pixel_ap_pooled": "Average precision of all pixels together",
    "dice_best": "Dice of the best threshold",
    "dice_at_threshold": "Dice of the threshold of 1 in 1,000 healthy pixels",
    "pointing": "Scans whose highest point lies inside",
    "pointing_chance": "… by chance",
    "scan_auroc": "AUROC of scans",
}
"""Meaning of each figure, in the order of the table."""


@dataclass(frozen=True, eq=False)
class ShownScan:
    """A scan with its map, as the page shows it.

    Attributes:
        name: What it is called.
        image: Its picture in [0, 1]; of a volume, slices through its highest point side by side.
        rarity: The map of the picture.
        score: Rarity of its highest point.
        quantile: Share of healthy scans that score lower.
    """

    name: str
    image: Float[Tensor, "h w"]
    rarity: Float[Tensor, "h w"]
    score: float
    quantile: float

    @property
    def words(self) -> str:
        """The score in words."""
        return f"score {self.score:.2f}, more than {self.quantile:.0%} of healthy scans"


class _Entry(NamedTuple):
    name: str
    words: str
    picture: str
    map: str


class _Row(NamedTuple):
    name: str
    values: list[str]


def overlay(image: Float[Tensor, "h w"], rarity: Float[Tensor, "h w"]) -> Float[Tensor, "3 h w"]:
    """Return a picture in colours: grey where a scan is usual, orange to yellow from 1 in 1,000 healthy pixels on."""
    share = ((rarity - START) / (HIGHEST - START)).clamp(0, 1)
    first, last = (torch.tensor(colour).view(3, 1, 1) for colour in _COLOURS)
    opacity = _OPACITY * (rarity >= START)
    return image * (1 - opacity) + (first + (last - first) * share) * opacity


def write_overlay(path: Path, image: Float[Tensor, "h w"], rarity: Float[Tensor, "h w"]) -> None:
    """Write the picture of `overlay` as PNG.

    Raises:
        DataError: If the file cannot be written.
    """
    encoded = to_png(to_picture(overlay(image, rarity)), mark=png_mark())
    with atomic_file(path) as building:
        building.write_bytes(encoded)


def anomaly_sheet(path: Path, scans: Sequence[ShownScan]) -> None:
    """Write a sheet of scans, each with its overlay to the right.

    Raises:
        DataError: If the file cannot be written.
    """
    height = max(scan.image.shape[0] for scan in scans)
    width = max(scan.image.shape[1] for scan in scans)
    pictures, captions = [], []
    for scan in scans:
        both = torch.zeros(3, height, 2 * width)
        rows, columns = scan.image.shape
        both[:, :rows, :columns] = scan.image
        both[:, :rows, width : width + columns] = overlay(scan.image, scan.rarity)
        pictures.append(both)
        captions.append(f"{scan.name} · {scan.score:.2f}")
    sample_sheet(path, torch.stack(pictures), captions=captions)


def write_anomaly_page(
    path: Path,
    scans: Sequence[ShownScan],
    *,
    title: str,
    summary: str,
    notes: Sequence[str],
    figures: Mapping[str, Mapping[str, float]],
) -> None:
    """Write the page: one HTML file that needs no other file and no network.

    Args:
        path: The file.
        scans: The scans to show, the strangest first.
        title: Heading.
        summary: What was looked at.
        notes: What a reader must know.
        figures: Figures of each kind of map, by its name; empty if no lesions are known.

    Raises:
        DataError: If the file cannot be written.
    """
    columns = list(figures)
    named = [name for name in FIGURES if any(name in of_one for of_one in figures.values())]
    rows = [_Row(FIGURES[name], [_written(figures[column].get(name)) for column in columns]) for name in named]
    content: dict[str, Any] = {"title": title, "summary": summary, "notes": notes, "figures": rows, "columns": columns}
    entries = [
        _Entry(scan.name, scan.words, data_uri(to_picture(scan.image[None])), data_uri(fromarray(_bytes(scan.rarity))))
        for scan in scans
    ]
    write_page(
        path,
        render_page("anomaly.html.j2", scans=entries, start=START, highest=HIGHEST, steepness=_STEEPNESS, **content),
    )


def _bytes(rarity: Float[Tensor, "h w"]) -> np.ndarray:
    return (rarity / HIGHEST).clamp(0, 1).mul(255).round().byte().numpy()


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
