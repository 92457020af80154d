"""The HTML page of an audit, with its counts and with pictures of the near-duplicates."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL.Image import Resampling, fromarray

from voxlex.audit.findings import Audit
from voxlex.pages.page import render_page, write_page
from voxlex.pages.pictures import data_uri

MEANINGS = {
    "images": ("Images", "Scans of the source."),
    "subjects": ("Known subjects", "Subjects that the table or the file names identify."),
    "unreadable": ("Unreadable", "Damaged, or of another format than the name says. Left out of training."),
    "constant": ("Constant", "All pixels have the same grey value. Left out of training."),
    "tiny": ("Tiny", "One side has less than 64 pixels."),
    "odd_size": ("Odd sizes", "Images with a rare size, or more than twice as long as wide."),
    "captioned": ("Suspected captions", "Small bright strokes in a row near the border, like text. This is a guess."),
    "exact_duplicates": ("Exact duplicates", "Another file has the same grey values."),
    "near_duplicates": (
        "Near-duplicates",
        "Another image shows the same slice, perhaps re-encoded, mirrored or with another contrast.",
    ),
    "near_duplicates_within_5_bits": (
        "… within 5 bits",
        "Near-duplicates with hashes that differ in at most 5 of 256 bits.",
    ),
    "pairs": ("Near-duplicate pairs", "Pairs of images of different or unknown subjects."),
    "mirrored_pairs": ("… mirrored", "Pairs in which one image is flipped, or turned by 180°."),
    "clusters": ("Clusters", "Near-duplicates that are joined by chains of pairs. Each cluster stays in one split."),
    "largest_cluster": ("Largest cluster", "Number of images in the largest cluster."),
    "pairs_within_subjects": ("Pairs within subjects", "Similar images of one subject, which is not a problem."),
    "leaking_subjects": ("Subjects across splits", "Subjects with images in more than one split."),
    "leaking_pairs": ("Pairs across splits", "Near-duplicates that lie in two splits."),
}
"""Name and meaning of each figure of an audit."""

_TILE = 92
_CLUSTERS, _TILES, _LINES = 24, 8, 100


class Tile(NamedTuple):
    """A picture with its description and its caption."""

    uri: str
    alt: str
    caption: str


class Group(NamedTuple):
    """A group of pictures with a title."""

    title: str
    pictures: list[Tile]


class Section(NamedTuple):
    """A section of the page."""

    title: str
    text: str
    groups: list[Group]
    lines: list[str]


class Row(NamedTuple):
    """A row of the table of figures."""

    name: str
    value: str
    meaning: str


def write_audit(path: str | Path, audit: Audit) -> None:
    """Write an audit as one HTML file that needs no other file, no network and no script.

    Raises:
        DataError: If the file cannot be written.
    """
    write_page(path, render_audit(audit))


def render_audit(audit: Audit) -> str:
    """Return the HTML of the page."""
    figures, table = audit.figures, audit.table
    heights = np.sqrt(audit.histogram / max(audit.histogram.max(), 1e-12)) * 100
    sizes = Counter(f"{h} × {w}" for h, w in zip(table["height"], table["width"], strict=True) if h)
    return render_page(
        "audit.html.j2",
        title=f"Audit of {audit.name}",
        summary=_summary(figures),
        leaks=audit.leaks.statements() if audit.leaks else [],
        rows=[Row(name, f"{figures[key]:,}", meaning) for key, (name, meaning) in MEANINGS.items() if key in figures],
        sections=[section for section in _sections(audit) if section.groups or section.lines],
        histogram=heights.tolist(),
        sizes=sizes.most_common(8) + ([("others", sum(sizes.values()) - _most(sizes, 8))] if len(sizes) > 8 else []),
        tile=_TILE,
    )


def _most(sizes: Counter[str], count: int) -> int:
    return sum(number for _, number in sizes.most_common(count))


def _summary(figures: dict[str, int]) -> str:
    usable = figures["images"] - figures["unreadable"] - figures["constant"]
    text = f"{usable:,} of {figures['images']:,} images can be used."
    if figures["near_duplicates"]:
        share = figures["near_duplicates"] / max(usable, 1)
        text += (
            f" {share:.0%} of them show the same slice as another image. They form {figures['clusters']:,} clusters, "
            "which must not be divided between splits."
        )
    return text


def _sections(audit: Audit) -> list[Section]:
    table, clusters = audit.table, audit.clusters()
    shown = clusters[:_CLUSTERS]
    more = f" The largest {len(shown)} of {len(clusters):,} are shown." if len(clusters) > len(shown) else ""
    bad = table[table["problem"] != ""]
    return [
        _across(audit),
        Section(
            "What these files do not say",
            "Facts that are unknown, what follows from it, and what to do.",
            [],
            [str(found) for found in audit.unknown] + [note for note in audit.notes if "unknown for" not in note],
        ),
        Section(
            "Clusters of near-duplicates",
            "Each row shows one cluster: versions of one slice (re-encoded, brighter, sharper, mirrored or turned), or "
            "slices of one head that are a few millimetres apart." + more,
            [Group(_heading(rows), _tiles(audit, rows)) for rows in shown],
            [],
        ),
        _gallery(
            audit, "captioned", "Suspected captions", "A model would learn to draw text that is burnt into images."
        ),
        _gallery(audit, "odd_size", "Odd sizes", "These images have a rare size, or are very long."),
        _gallery(audit, "tiny", "Tiny images", "These images are enlarged to the size of the others."),
        Section(
            "Images that cannot be used",
            "These images are left out when a data set is prepared.",
            [],
            _cut([f"{path}: {problem}" for path, problem in zip(bad["path"], bad["problem"], strict=True)]),
        ),
    ]


def _across(audit: Audit) -> Section:
    if not audit.leaks:
        return Section("Across the splits", "", [], [])
    splits = audit.leaks.splits
    groups = [
        Group(f"In {splits[first]} and in {splits[second]}", _tiles(audit, [first, second]))
        for first, second in audit.leaks.pairs[:_TILES]
    ]
    lines = [f"{subject}: in {' and '.join(of_subject)}" for subject, of_subject in audit.leaks.subjects.items()]
    text = "These near-duplicates and subjects lie in two splits, so figures of one split depend on the other."
    return Section("Across the splits", text, groups, _cut(lines))


def _gallery(audit: Audit, column: str, title: str, text: str) -> Section:
    rows = np.flatnonzero(audit.table[column]).tolist()
    return Section(title, text, [Group("", _tiles(audit, rows, at_most=3 * _TILES))] if rows else [], [])


def _heading(rows: Sequence[int]) -> str:
    return f"{len(rows)} images" + (f", {_TILES} of them shown" if len(rows) > _TILES else "")


def _tiles(audit: Audit, rows: Sequence[int], *, at_most: int = _TILES) -> list[Tile]:
    tiles = []
    for row in rows[:at_most]:
        canvas, path, split = audit.canvases[row], audit.table["path"][row], audit.table["split"][row]
        if canvas is not None:
            picture = fromarray(canvas).resize((_TILE, _TILE), Resampling.BILINEAR)
            tiles.append(Tile(data_uri(picture), path, f"{path} ({split})" if split else path))
    return tiles


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _LINES else [*lines[:_LINES], f"and {len(lines) - _LINES:,} more"]
