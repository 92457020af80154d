"""The page of an audit: one HTML file with its counts and, as pictures, the clusters of near-duplicates."""

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
    "subjects": ("Known subjects", "As the table, or the names of the files, say."),
    "unreadable": ("Unreadable", "Damaged, or not what the name says; left out of training."),
    "constant": ("Constant", "A single grey value; left out of training."),
    "tiny": ("Tiny", "A side of less than 64 pixels."),
    "odd_size": ("Of an odd size", "A size that hardly any other image has, or more than twice as long as wide."),
    "captioned": ("Suspected captions", "Small bright strokes in a row near the border, as of text. A guess: look."),
    "exact_duplicates": ("Exact duplicates", "Another file has the same grey values."),
    "near_duplicates": (
        "Near-duplicates",
        "Another image shows the same slice: recoded, in other contrast, mirrored.",
    ),
    "near_duplicates_within_5_bits": ("… within 5 bits", "Of these, hashes differ in at most 5 of 256 bits."),
    "pairs": ("Pairs of them", "Of different subjects, or of unknown ones."),
    "mirrored_pairs": ("… mirrored", "One of the two is flipped, or turned by 180°."),
    "clusters": ("Clusters of them", "Joined by chains of pairs; each stays on one side of a split."),
    "largest_cluster": ("Largest cluster", "Images in it."),
    "pairs_within_subjects": ("Alike within a subject", "Pairs such as neighbouring slices; no fault."),
    "leaking_subjects": ("Subjects across splits", "They lie in more than one split."),
    "leaking_pairs": ("Pairs across splits", "Near-duplicates in two splits."),
}
"""Name and meaning of each of an audit's figures."""

_TILE = 92
_CLUSTERS, _TILES, _LINES = 24, 8, 100


class Tile(NamedTuple):
    """A picture, what it shows in words, and the line below it."""

    uri: str
    alt: str
    caption: str


class Group(NamedTuple):
    """Pictures that belong together."""

    title: str
    pictures: list[Tile]


class Section(NamedTuple):
    """A part of the page."""

    title: str
    text: str
    groups: list[Group]
    lines: list[str]


class Row(NamedTuple):
    """A line of the table of figures."""

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
    """Return the page's text."""
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
            f" {share:.0%} of them show a slice that another one shows, too: they make {figures['clusters']:,} "
            "clusters, which must not be torn apart when the images are divided."
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
            "Clusters of near-duplicates",
            "Each row is one cluster: the same slice, encoded anew, brighter, sharper, mirrored or turned; or slices "
            "of one head a few millimetres apart." + more,
            [Group(_heading(rows), _tiles(audit, rows)) for rows in shown],
            [],
        ),
        _gallery(audit, "captioned", "Suspected captions", "Text burnt into an image would be learnt, and drawn."),
        _gallery(audit, "odd_size", "Odd sizes", "Sizes that hardly any other image has, or very long ones."),
        _gallery(audit, "tiny", "Tiny images", "They are enlarged to the size of the others."),
        Section(
            "Images that cannot be used",
            "They are left out when a data set is prepared.",
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
    text = "Pairs of near-duplicates, and subjects, that lie in two splits: figures on the one tell of the other."
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
