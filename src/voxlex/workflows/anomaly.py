"""Map what does not belong in scans, and judge the maps where lesions are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from voxlex.anomaly import Detector, Method
from voxlex.anomaly.baselines import NearestHealthy, equalised_intensity
from voxlex.anomaly.calibration import FEWEST, scan_scores
from voxlex.anomaly.fields import Maps, heads_in
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import RunError
from voxlex.evaluation.detection import JudgedMap, judge_maps
from voxlex.files import atomic_file, write_json
from voxlex.images.intensity import IntensityMap
from voxlex.images.origin import Origin
from voxlex.images.restore import restore_grid, restore_slice
from voxlex.names import length_limit
from voxlex.outputs import check_folder
from voxlex.pages.anomaly_page import HIGHEST, START, ShownScan, anomaly_sheet, write_anomaly_page, write_overlay
from voxlex.progress import Phases, silent
from voxlex.rows import batches, evenly_spaced
from voxlex.scans.scan import Scan
from voxlex.types import Image
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.lesion_files import LesionFiles
from voxlex.workflows.results import ResultWriter, output_folder
from voxlex.workflows.scan_writer import ScanRows, scans_of

SHEET, PAGE, SCORES, FIGURES = "anomalies.png", "anomalies.html", "scores.csv", "figures.json"
MOST_HEALTHY = 192
"""Healthy images that a calibration takes at most; evenly spaced ones of more."""

_MOST_REFERENCES = 2048
_SHOWN, _ON_SHEET = 60, 12
_AT_ONCE = 64
_MOST_PIXELS = 2**26  # of all healthy images of a calibration together
_BRIGHTNESS = IntensityMap(low=0, high=65535, bit_depth=16)

MAPS = ("map", "equalised intensity", "nearest healthy image")
"""What is judged: the map, and the baselines that it must beat."""


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        scores: One row for each scan, the strangest first; see `find_anomalies`.
        figures: Figures of the map and of each baseline, by name; empty if no lesions are known.
        notes: Sentences that a user should read.
    """

    scores: pd.DataFrame
    figures: dict[str, dict[str, float]]
    notes: list[str]


class _Scan:
    """A scan with its images and their maps.

    Args:
        part: What it is called, and where it comes from.
        images: Its images `(n, 1, *space)`.
        maps: Their maps `(n, *space)`.
        row: The row of its first image in the table.
    """

    def __init__(self, part: ScanRows, images: Image, maps: Maps, row: pd.Series) -> None:
        self.part, self.images, self.maps, self.row = part, images, maps, row
        self.heads = heads_in(images)
        self.score = float(scan_scores(maps.flatten()[None], torch.from_numpy(self.heads.ravel())[None])[0])

    def picture(self, *, own_size: bool = False) -> tuple[Tensor, Tensor]:
        """Return a picture of the scan and its map: of a volume, slices through the highest point."""
        inside = torch.where(torch.from_numpy(self.heads), self.maps, self.maps.new_tensor(-1.0))
        image, *place = (int(at) for at in torch.unravel_index(inside.argmax(), inside.shape))
        sides: list[Tensor] = [self.images[image, 0], self.maps[image]]
        if len(place) == 3:
            z, y, x = place
            sides = [torch.cat([side[z], side[:, y], side[:, :, x]], dim=1) for side in sides]
        if own_size and not self.part.is_volume:
            sides = [torch.from_numpy(restore_slice(side.numpy(), self.part.origin)) for side in sides]
        return sides[0], sides[1]


@dataclass
class _Work:
    """What is collected while scans are looked at."""

    done: int = 0
    rows: list[dict[str, object]] = field(default_factory=list)
    shown: list[ShownScan] = field(default_factory=list)
    judged: dict[str, list[JudgedMap]] = field(default_factory=lambda: {name: [] for name in MAPS})

    def show(self, one: _Scan, detector: Detector) -> None:
        """Keep a scan to show if it is among the strangest so far."""
        if len(self.shown) == _SHOWN and one.score <= self.shown[-1].score:
            return
        quantile = float(detector.quantiles(np.array([one.score]))[0])
        self.shown.append(ShownScan(one.part.name, *one.picture(), one.score, quantile))
        self.shown = sorted(self.shown, key=lambda scan: -scan.score)[:_SHOWN]


def find_anomalies(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    out: Path,
    healthy: PreparedDataset | None = None,
    method: Method = "combined",
    split: Literal["all", "test"] = "all",
    lesions: LesionFiles | None = None,
    seed: int = 0,
    overwrite: bool = False,
    phases: Phases = silent,
) -> Found:
    """Write a map of each scan on its own grid, an overlay, a table of scores, a sheet and a page.

    A volume's map is `<name>.map.nii.gz`, rarities as `float32` with the affine of the scan. A picture's is
    `<name>.map.png` of its own size with 16 bits, where 65535 is the rarity `pages.anomaly_page.HIGHEST`. The page and
    the sheet show the strangest scans first. `scores.csv` holds for each scan its path, its score (the highest rarity
    in the head), the share of healthy scans that score lower, the share of the head that is stranger than 1 in 1,000
    healthy pixels, and where the highest point is.

    Args:
        vocabulary: A vocabulary that was trained on healthy scans.
        dataset: Images of the scans, in the size of the vocabulary.
        out: Folder for the results.
        healthy: Healthy scans to calibrate by; see `healthy_images`.
        method: How maps are made; see `Detector`.
        split: The scans to look at: all, or the held-out ones.
        lesions: The lesions that are known, to judge the maps by.
        seed: Seed of the draws.
        overwrite: Write into a folder that is not empty.
        phases: Receives the progress of the work.

    Raises:
        DataError: If the folder cannot be used, there are too few healthy scans, a file of lesions does not fit, or no
            scan has a lesion although lesions are given.
        RunError: If the method needs a prior, and the run has none.
        ValueError: If the method is unknown.
    """
    if vocabulary.prior is None and method != "reconstruction":
        raise RunError(
            f"method {method}: expected a run with a prior, got one without; train it with --stage prior, or use "
            "--method reconstruction"
        )
    check_folder(out, overwrite=overwrite)
    if lesions is not None:
        lesions.check(_grids(dataset.subset(split)))
    known, notes = healthy_images(vocabulary, dataset, healthy)
    reference = _spread(known, MOST_HEALTHY)
    with phases("looking at healthy scans") as progress:
        detector = Detector(
            vocabulary.autoencoder,
            vocabulary.prior,
            healthy=known.tensor(reference),
            groups=[known.manifest["group"].iloc[row] for row in reference],
            method=method,
            seed=seed,
            progress=progress,
        )
    nearest = NearestHealthy(_references(vocabulary, healthy or dataset, known)) if lesions is not None else None
    dataset, out = dataset.subset(split), output_folder(out, overwrite=overwrite)
    results, work = ResultWriter(out, ending=".map"), _Work()
    pairs = _mapped(detector, dataset)
    with phases("looking at scans") as progress:
        for scan in scans_of(dataset.manifest, endings=(".map", ".overlay"), limit=length_limit(out)):
            images, maps = (torch.stack(side) for side in zip(*islice(pairs, scan.count), strict=True))
            for part, own in _parts(scan):
                one = _Scan(part, images[own], maps[own], dataset.manifest.iloc[work.done])
                _write(one, results)
                work.rows.append(_described(one, detector))
                work.show(one, detector)
                if lesions is not None and nearest is not None:
                    _judge(one, lesions, nearest, work.judged)
                work.done += len(images[own])
            progress(work.done, len(dataset))
    figures = _figures(work.judged, notes) if lesions is not None else {}
    found = Found(pd.DataFrame(work.rows).sort_values("score", ascending=False, kind="stable"), figures, notes)
    _write_tables(out, found, work.shown, dataset)
    return found


def healthy_images(
    vocabulary: Vocabulary, dataset: PreparedDataset, healthy: PreparedDataset | None
) -> tuple[PreparedDataset, list[str]]:
    """Return the images that maps are calibrated by, and what a user should know of them.

    These are healthy scans that are given, or else the scans themselves. Of the data set that the run was trained on,
    only the validation part is taken, which nothing was fitted to. Scans are never calibrated by scans of their own
    group. A calibration is made at each call and is not stored in the run: it depends on the method, and healthy scans
    of the same scanner as the others calibrate better than those that the run was trained on.
    """
    trained_on = vocabulary.metadata.get("data", {}).get("fingerprint")
    known = dataset if healthy is None else healthy
    if known.fingerprint == trained_on:
        held_out = known.manifest[known.manifest["split"] == "validation"]
        if len(held_out) >= FEWEST and held_out["group"].nunique() > 1:
            return known.subset("validation"), []
        return known, [
            f"The validation part has {len(held_out)} images, too few to calibrate by. So all images calibrate one "
            "another, also those that the run has learned from."
        ]
    if healthy is not None:
        return known, []
    return known, [
        "No healthy scans were given, so the scans calibrate one another: what many of them show counts as usual. "
        "Give healthy ones with --healthy."
    ]


def _mapped(detector: Detector, dataset: PreparedDataset) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image `(1, *space)` with its map `(*space)`."""
    groups = list(dataset.manifest["group"])
    for rows in batches(len(dataset), pixels_per_image=dataset.images[0].size, at_most=_AT_ONCE):
        images = dataset.tensor(rows)
        yield from zip(images, detector(images, groups[rows]), strict=True)


def _parts(scan: ScanRows) -> Iterator[tuple[ScanRows, slice]]:
    """Yield a picture or a whole volume, and each slice of a volume that is not whole, with its images."""
    if scan.is_volume or scan.count == 1:
        yield scan, slice(0, scan.count)
        return
    for number, name in enumerate(scan.image_names()):
        yield replace(scan, name=name, count=1), slice(number, number + 1)


def _restored(one: _Scan, images: Sequence[np.ndarray], *, labels: bool = False) -> np.ndarray:
    """Return images on the scan's own grid."""
    if one.part.is_volume:
        return restore_grid(images, one.part.origin, labels=labels)
    return restore_slice(images[0], one.part.origin, labels=labels)


def _write(one: _Scan, results: ResultWriter) -> None:
    """Write the map on the scan's own grid, and the overlay."""
    values, name = _restored(one, list(one.maps.numpy())), one.part.name
    if one.part.is_volume:
        results.write(name, one.part.origin.place(values))
    else:
        results.write(name, Scan(voxels=_BRIGHTNESS.from_unit(values / HIGHEST)))
    write_overlay(results.folder / f"{name}.overlay.png", *one.picture(own_size=True))


def _described(one: _Scan, detector: Detector) -> dict[str, object]:
    score = one.score
    row: dict[str, object] = {
        "path": one.row["path"],
        "name": one.part.name,
        "score": round(score, 4),
        "quantile": round(float(detector.quantiles(np.array([score]))[0]), 4),
        "strange_share": round(float((one.maps.numpy()[one.heads] >= START).mean()) if one.heads.any() else 0.0, 6),
    }
    values = _restored(one, list(np.where(one.heads, one.maps.numpy(), 0).astype(np.float32)))
    place = np.unravel_index(int(values.argmax()), values.shape)
    if one.part.is_volume:
        millimetres = one.part.origin.grid.affine @ [*place, 1]
        return row | {f"{axis}_mm": round(float(at), 2) for axis, at in zip("xyz", millimetres, strict=False)}
    return row | {"row": int(place[0]), "column": int(place[1])}


def _judge(one: _Scan, lesions: LesionFiles, nearest: NearestHealthy, judged: dict[str, list[JudgedMap]]) -> None:
    values = _restored(one, list(one.maps.numpy()))
    lesion = lesions.of(one.row["path"], one.part.origin, values.shape)
    head = _restored(one, list(one.heads), labels=True).astype(bool)
    others = [list(of_all(one.images).numpy()) for of_all in (equalised_intensity, nearest)]
    for name, own in zip(MAPS, (values, *(_restored(one, own) for own in others)), strict=True):
        judged[name].append(JudgedMap.within(own, lesion, head, group=one.row["group"]))


def _grids(dataset: PreparedDataset) -> Iterator[tuple[str, Origin, tuple[int, ...]]]:
    """Yield the path, the origin and the shape of each map."""
    done = 0
    for scan in scans_of(dataset.manifest):
        path = dataset.manifest["path"].iloc[done]
        for part, own in _parts(scan):
            origin = part.origin
            yield path, origin, origin.grid.shape if part.is_volume else (origin.height, origin.width)
            done += own.stop - own.start


def _figures(judged: dict[str, list[JudgedMap]], notes: list[str]) -> dict[str, dict[str, float]]:
    figures = {name: judge_maps(maps, threshold=START if name == MAPS[0] else None) for name, maps in judged.items()}
    if "scan_auroc" in figures[MAPS[0]]:
        notes.append(
            "The AUROC of scans compares scans with and without lesions. If the two come from different scanners or "
            "collections, it measures the scanner, and only the figures of pixels count."
        )
    return figures


def _references(vocabulary: Vocabulary, dataset: PreparedDataset, known: PreparedDataset) -> Image:
    """Return the images among which the nearest healthy one is searched for: the training part, if it is there."""
    own = vocabulary.metadata.get("data", {}).get("fingerprint") == dataset.fingerprint
    images = dataset.subset("train") if own else known
    return images.tensor(evenly_spaced(len(images), _MOST_REFERENCES))


def _spread(dataset: PreparedDataset, at_most: int) -> list[int]:
    """Return evenly spaced rows among those that are not empty, as many as fit into memory."""
    rows = [row for row in range(len(dataset)) if dataset.images[row].any()] or list(range(len(dataset)))
    at_most = max(min(at_most, _MOST_PIXELS // dataset.images[0].size), 1)
    return [rows[place] for place in evenly_spaced(len(rows), at_most)]


def _write_tables(out: Path, found: Found, shown: Sequence[ShownScan], dataset: PreparedDataset) -> None:
    with atomic_file(out / SCORES) as building:
        found.scores.to_csv(building, index=False)
    shown = sorted(shown, key=lambda scan: -scan.score)
    anomaly_sheet(out / SHEET, shown[:_ON_SHEET])
    more = f", of which the {len(shown)} strangest are shown" if len(shown) < len(found.scores) else ""
    write_anomaly_page(
        out / PAGE,
        shown,
        title=f"What does not belong in {dataset.name}",
        summary=f"{len(found.scores):,} scans{more}. What is strange in a scan has colour on the right of it.",
        notes=[
            *found.notes,
            "A map shows what differs from the healthy scans of the calibration. It is not a diagnosis.",
        ],
        figures=found.figures,
    )
    if found.figures:
        write_json(out / FIGURES, found.figures)
