"""How well maps find lesions that are planted into held-out slices or heads of the phantom, by kind, size and contrast.

    python benchmarks/anomaly.py RUN
    python benchmarks/anomaly.py RUN --methods combined --contrasts obvious medium faint --picture curves.png

RUN must have been trained on the source "phantom", which holds no lesions. Each lesion is planted into a healthy image
of the test part, and its mask is known. The map, and two maps that know nothing of codes, are judged by the average
precision of the pixels of each image (AP) and by the share of images whose highest point lies inside the lesion
(pointing). Calibration and the nearest healthy image never see the test part.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from voxlex.anomaly import Detector
from voxlex.anomaly.baselines import NearestHealthy, equalised_intensity
from voxlex.anomaly.fields import heads_in
from voxlex.data.phantoms.lesions import CONTRASTS, LESION_KINDS, LesionKind, plant
from voxlex.evaluation.detection import JudgedMap, judge_maps, means_over
from voxlex.rows import evenly_spaced
from voxlex.vocabulary import load
from voxlex.workflows.opening import open_for

Found = dict[tuple[LesionKind, float], dict[str, float]]
"""Figures by kind and size."""

SIZES_MM = (8, 12, 16, 24)
REFERENCES = 2048


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run folder")
    parser.add_argument("--images", type=int, default=48, help="images to plant a lesion of each kind into")
    parser.add_argument("--healthy", type=int, default=128, help="images of the validation part to calibrate by")
    parser.add_argument("--methods", nargs="+", default=["combined", "restoration", "surprise", "reconstruction"])
    parser.add_argument("--contrasts", nargs="+", default=["medium"], choices=list(CONTRASTS))
    parser.add_argument("--sizes", nargs="+", type=float, default=list(SIZES_MM), help="diameters in mm")
    parser.add_argument("--picture", type=Path, help="PNG file for curves of the last map against size and contrast")
    given = parser.parse_args()
    vocabulary = load(given.run)
    dataset = open_for(vocabulary.config, "phantom")
    test, validation, train = (dataset.subset(split) for split in ("test", "validation", "train"))
    rows = evenly_spaced(len(validation), given.healthy)
    healthy, groups = validation.tensor(rows), [validation.manifest["group"].iloc[row] for row in rows]
    chosen = evenly_spaced(len(test), given.images)
    images, subjects = test.tensor(chosen), [test.manifest["group"].iloc[row] for row in chosen]
    data = vocabulary.config.data
    pixel_mm = data.spacing_mm or data.phantom.field_of_view_mm / data.size
    maps: dict[str, Callable[[Tensor], Tensor]] = {
        "equalised intensity": equalised_intensity,
        "nearest healthy image": NearestHealthy(train.tensor(evenly_spaced(len(train), REFERENCES))),
    }
    for method in given.methods:
        started = time.process_time()
        maps[method] = Detector(vocabulary.autoencoder, vocabulary.prior, healthy=healthy, groups=groups, method=method)
        seconds = (time.process_time() - started) / len(healthy)
        print(f"{method}: {seconds:.3f} s of processor time for an image of the calibration")
    curves = {}
    for contrast in given.contrasts:
        curves[contrast] = detection(maps, images, subjects, contrast=contrast, sizes=given.sizes, pixel_mm=pixel_mm)
        show(curves[contrast], contrast=contrast, sizes=given.sizes)
    show_curves(curves, sizes=given.sizes)
    if given.picture is not None:
        draw(given.picture, {contrast: of_maps[list(maps)[-1]] for contrast, of_maps in curves.items()}, given.sizes)


def detection(
    maps: dict[str, Callable[[Tensor], Tensor]],
    images: Tensor,
    subjects: Sequence[str],
    *,
    contrast: str,
    sizes: Sequence[float],
    pixel_mm: float,
) -> dict[str, Found]:
    """Return the figures of each map for each kind and size of lesions of one contrast."""
    found: dict[str, Found] = {name: {} for name in maps}
    for kind in LESION_KINDS:
        for size in sizes:
            planted = plant(
                images,
                kind=kind,
                size_mm=size,
                pixel_mm=pixel_mm,
                contrast=CONTRASTS[contrast],
                generator=torch.Generator().manual_seed(round(size)),
            )
            heads, masks = heads_in(planted.images), planted.masks[:, 0].numpy()
            for name, of_images in maps.items():
                values = of_images(planted.images).numpy()
                pairs = zip(values, masks, heads, subjects, strict=True)
                found[name][kind, size] = judge_maps(
                    [JudgedMap.within(own, mask, head, group=subject) for own, mask, head, subject in pairs]
                )
    return found


def show(found: Mapping[str, Found], *, contrast: str, sizes: Sequence[float]) -> None:
    """Print AP / pointing of each map for each kind of lesions of one contrast, and for each size."""
    print(f"\n{contrast} contrast, {CONTRASTS[contrast]:g}: AP / pointing")
    print("| | " + " | ".join(LESION_KINDS) + " | mean of kinds | by size |\n|" + "---|" * (len(LESION_KINDS) + 3))
    for name, of_map in found.items():
        by_kind = [means_over([of_map[kind, size] for size in sizes]) for kind in LESION_KINDS]
        by_size = [means_over([of_map[kind, size] for kind in LESION_KINDS]) for size in sizes]
        cells = [written(one) for one in (*by_kind, means_over(by_kind))]
        print(f"| {name} | {' | '.join(cells)} | {', '.join(written(one) for one in by_size)} |", flush=True)
    chance = means_over([one for of_map in found.values() for one in of_map.values()])
    print(f"chance: AP {chance['pixel_ap_chance']:.3f}, pointing {chance['pointing_chance']:.3f}")


def show_curves(curves: Mapping[str, Mapping[str, Found]], *, sizes: Sequence[float]) -> None:
    """Print AP / pointing of each map against contrast and size, as means over kinds."""
    print("\n| | contrast | " + " | ".join(f"{size:g} mm" for size in sizes) + " |\n|" + "---|" * (len(sizes) + 2))
    for name in next(iter(curves.values())):
        for contrast, of_maps in curves.items():
            cells = [written(means_over([of_maps[name][kind, size] for kind in LESION_KINDS])) for size in sizes]
            print(f"| {name} | {contrast}, {CONTRASTS[contrast]:g} | {' | '.join(cells)} |")


def draw(path: Path, curves: Mapping[str, Found], sizes: Sequence[float]) -> None:
    """Draw the average precision of one map against the size: a panel for each kind, a line for each contrast."""
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    panels = figure.subplots(1, len(LESION_KINDS), sharey=True)
    for kind, panel in zip(LESION_KINDS, panels, strict=True):
        for contrast, found in curves.items():
            panel.plot(sizes, [found[kind, size]["pixel_ap"] for size in sizes], marker="o", label=contrast)
        chance = [next(iter(curves.values()))[kind, size]["pixel_ap_chance"] for size in sizes]
        panel.plot(sizes, chance, color="grey", linestyle=":", label="chance")
        panel.set(title=kind, xlabel="diameter in mm", ylim=(0, 1), xticks=sizes)
    panels[0].set_ylabel("average precision")
    panels[-1].legend(fontsize="small")
    figure.savefig(path, dpi=110)


def written(figures: dict[str, float]) -> str:
    """Return both figures as text."""
    return f"{figures['pixel_ap']:.2f} / {figures['pointing']:.2f}"


if __name__ == "__main__":
    main()
