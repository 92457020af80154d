"""Audit a data set: examine every image, and compare all images with each other."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from voxlex.audit.examination import BINS, Examination, examine_pixels, examine_scan
from voxlex.audit.unknown import OF_PICTURES, Unknown, unknowns
from voxlex.config.options import ReadingOptions
from voxlex.data.dataset import PreparedDataset
from voxlex.duplicates.leaks import Leaks, crossing
from voxlex.duplicates.pairs import Pairs, cluster, find_duplicates
from voxlex.names import printable
from voxlex.progress import Progress
from voxlex.tables.layouts import anonymous, undated_paths
from voxlex.tables.manifest import Index
from voxlex.tables.persons import same_subjects

TINY = 64
"""Images with a side shorter than this many pixels show hardly any anatomy."""

CLOSE_BITS = 5
"""Largest number of differing hash bits at which near-duplicates are almost certainly copies."""

_ODD_SHARE = 0.01
_ODD_ASPECT = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Audit:
    """The findings of an audit.

    Attributes:
        name: Name of the data set.
        table: One row per image: `path`, `subject`, `split` ("" without one), `problem`, `constant`, `height`, `width`,
            `captioned`, `tiny`, `odd_size`, `exact` (another file has the same grey values), `cluster` (a number for
            images that are near-duplicates, -1 for others) and `bits` (the fewest in which its hash differs from
            that of a near-duplicate; -1 if there is no near-duplicate).
        canvases: The picture of each image; None for images that cannot be used.
        histogram: `(64,)` shares of grey values from black to white.
        figures: Counts by name.
        leaks: Subjects and near-duplicates that cross the splits; None if the data set is not divided.
        unknown: What the files do not say.
        notes: Sentences about what was guessed.
    """

    name: str
    table: pd.DataFrame
    canvases: list[np.ndarray | None]
    histogram: np.ndarray
    figures: dict[str, int]
    leaks: Leaks | None
    unknown: list[Unknown]
    notes: tuple[str, ...] = ()

    def clusters(self) -> list[list[int]]:
        """Return the rows of each cluster of near-duplicates, the largest cluster first."""
        grouped = self.table.index[self.table["cluster"] >= 0].to_series().groupby(self.table["cluster"])
        return sorted((rows.tolist() for _, rows in grouped), key=lambda rows: (-len(rows), rows))

    def as_json(self) -> dict[str, Any]:
        """Return all findings as a dictionary that JSON can store."""
        paths = list(self.table["path"])
        listed = {
            name: [paths[row] for row in np.flatnonzero(self.table[name])]
            for name in ("constant", "tiny", "odd_size", "captioned", "exact")
        }
        unreadable = self.table[(self.table["problem"] != "") & ~self.table["constant"]]
        leaks = self.leaks
        return {
            "name": self.name,
            "figures": self.figures,
            "unknown": {found.fact: found.scans for found in self.unknown},
            "notes": list(self.notes),
            "unreadable": dict(zip(unreadable["path"], unreadable["problem"], strict=True)),
            **listed,
            "clusters": [[paths[row] for row in rows] for rows in self.clusters()],
            "leaking_subjects": {name: list(splits) for name, splits in leaks.subjects.items()} if leaks else {},
            "leaking_pairs": [[paths[first], paths[second]] for first, second in leaks.pairs] if leaks else [],
        }


def audit_scans(index: Index, reading: ReadingOptions | None = None, *, progress: Progress | None = None) -> Audit:
    """Audit the scans of a folder or a table, as they are stored."""
    table = index.table.reset_index(drop=True)
    places = [index.place(path) for path in table["path"]]
    looked_at = _in_parallel(partial(examine_scan, reading=reading), places)
    # Days of visits and names of persons in paths go into no page and no file.
    table = table.assign(path=[printable(name) for name in undated_paths(table)])
    return _audit(index.name, table, _counted(looked_at, len(table), progress), notes=index.notes)


def audit_prepared(dataset: PreparedDataset, *, progress: Progress | None = None) -> Audit:
    """Audit the canvases of a prepared data set, and list the scans that were left out of it."""
    table = dataset.manifest.reset_index(drop=True)
    looked_at = _counted(_in_parallel(_examine_canvas, dataset.images), len(table), progress)
    audit_of = [
        _with_facts(*row) for row in zip(looked_at, table["height"], table["width"], _stated(table), strict=True)
    ]
    skipped = pd.DataFrame({"path": [skip.path for skip in dataset.skipped], "subject": "", "split": ""})
    audit_of += [Examination(problem=skip.reason, constant=skip.constant) for skip in dataset.skipped]
    return _audit(dataset.name, pd.concat([table, skipped], ignore_index=True), audit_of, notes=dataset.notes)


def _stated(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return what the files of a prepared set did not say, from its table."""
    words = table["unknown"] if "unknown" in table else pd.Series("", index=table.index)
    return [
        OF_PICTURES if view == "picture" else tuple(word.strip() for word in str(said).split(",") if word.strip())
        for view, said in zip(table["view"], words.fillna(""), strict=True)
    ]


def _examine_canvas(image: np.ndarray) -> Examination:
    plane = image[0] if image.ndim == 3 else image[0, image.shape[1] // 2]
    return examine_pixels(np.asarray(plane if plane.dtype == np.uint8 else plane // 257, np.uint8))


def _with_facts(found: Examination, height: int, width: int, unknown: tuple[str, ...]) -> Examination:
    return replace(found, height=int(height), width=int(width), unknown=unknown)


def _in_parallel(examine: Callable[[Any], Examination], items: Iterable[Any]) -> Iterator[Examination]:
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        yield from pool.map(examine, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _counted(found: Iterator[Examination], total: int, progress: Progress | None) -> Iterator[Examination]:
    for done, one in enumerate(found, start=1):
        yield one
        if progress is not None:
            progress(done, total)


def _audit(name: str, facts: pd.DataFrame, examinations: Iterable[Examination], *, notes: Sequence[str]) -> Audit:
    found = list(examinations)
    table = _describe(facts, found)
    usable = table["problem"] == ""
    leaks = None
    if (table["split"][usable] != "").any():
        subjects = crossing(same_subjects(list(table["subject"][usable])), list(table["split"][usable]))
        leaks = Leaks(list(table["path"]), list(table["split"]), subjects)
    thumbnails = {row: one.thumbnail for row, one in enumerate(found) if one.thumbnail is not None}
    compared = _compare(thumbnails, list(table["subject"]), leaks)
    table = table.assign(cluster=compared.clusters, bits=compared.bits)
    histogram = sum((one.histogram for one in found if one.histogram is not None), np.zeros(BINS))
    return Audit(
        name=name,
        table=table,
        canvases=[one.canvas for one in found],
        histogram=histogram / max(histogram.sum(), 1),
        figures=_figures(table, compared, leaks),
        leaks=leaks,
        unknown=unknowns(facts[usable], [one.unknown for one in found if not one.problem]),
        notes=tuple(notes),
    )


def _describe(table: pd.DataFrame, found: list[Examination]) -> pd.DataFrame:
    times = Counter(one.content for one in found if not one.problem)
    described = pd.DataFrame(
        {
            "path": table["path"],
            "subject": table["subject"],
            "split": table.get("split", ""),
            "problem": [printable(anonymous(one.problem)) for one in found],
            **{name: [getattr(one, name) for one in found] for name in ("constant", "height", "width", "captioned")},
            "exact": [not one.problem and times[one.content] > 1 for one in found],
        }
    )
    described["tiny"] = (described["height"] > 0) & (described[["height", "width"]].min(axis=1) < TINY)
    described["odd_size"] = _odd_sizes(described)
    return described


@dataclass(eq=False)
class _Comparison:
    """Near-duplicates of different subjects, and the number of pairs within subjects; see `Audit.table`."""

    bits: np.ndarray
    clusters: np.ndarray
    pair_count: int = 0
    mirrored: int = 0
    within_subjects: int = 0


def _compare(thumbnails: dict[int, np.ndarray], subjects: list[str], leaks: Leaks | None) -> _Comparison:
    """Compare the images of some rows of the table. The result refers to images by their row numbers."""
    nothing = np.full(len(subjects), -1)
    result = _Comparison(bits=nothing, clusters=nothing)
    if not thumbnails:
        return result
    who = np.asarray(subjects, dtype=str)

    def across(portions: Iterable[Pairs]) -> Iterator[Pairs]:
        for portion in portions:
            # Neighbouring slices of a subject look alike, and lie in the same split anyway.
            apart = (who[portion.first] == "") | (who[portion.first] != who[portion.second])
            result.within_subjects += int((~apart).sum())
            kept = portion[apart]
            result.pair_count += len(kept)
            result.mirrored += int((kept.flip > 0).sum())
            for images in (kept.first, kept.second):
                best = np.where(result.bits < 0, 256, result.bits)
                np.minimum.at(best, images, kept.bits)
                result.bits = np.where(best == 256, -1, best)
            yield kept

    rows = np.array(list(thumbnails))
    portions: Iterable[Pairs] = (
        replace(portion, first=rows[portion.first], second=rows[portion.second])
        for portion in find_duplicates(np.stack(list(thumbnails.values())))
    )
    labels = cluster(len(subjects), across(leaks.watch(portions) if leaks is not None else portions))
    result.clusters = np.where(np.bincount(labels)[labels] > 1, labels, -1)
    return result


def _odd_sizes(table: pd.DataFrame) -> pd.Series:
    sizes = list(zip(table["height"], table["width"], strict=True))
    times = Counter(size for size in sizes if size[0])
    usual = bool(times) and max(times.values()) > 0.5 * sum(times.values())
    rare = {size for size, count in times.items() if usual and count < _ODD_SHARE * sum(times.values())}
    long = {size for size in times if max(size) > _ODD_ASPECT * min(size)}
    return pd.Series([size in rare or size in long for size in sizes], index=table.index)


def _figures(table: pd.DataFrame, compared: _Comparison, leaks: Leaks | None) -> dict[str, int]:
    sizes = np.bincount(compared.clusters[compared.clusters >= 0])
    figures = {
        "images": len(table),
        "subjects": int(table["subject"][table["subject"] != ""].nunique()),
        "unreadable": int(((table["problem"] != "") & ~table["constant"]).sum()),
        **{name: int(table[name].sum()) for name in ("constant", "tiny", "odd_size", "captioned")},
        "exact_duplicates": int(table["exact"].sum()),
        "near_duplicates": int((table["cluster"] >= 0).sum()),
        "near_duplicates_within_5_bits": int(table["bits"].between(0, CLOSE_BITS).sum()),
        "pairs": compared.pair_count,
        "mirrored_pairs": compared.mirrored,
        "clusters": int((sizes > 0).sum()),
        "largest_cluster": int(sizes.max(initial=0)),
        "pairs_within_subjects": compared.within_subjects,
    }
    if leaks is not None:
        figures |= {"leaking_subjects": len(leaks.subjects), "leaking_pairs": leaks.pair_count}
    return figures
