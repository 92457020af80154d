"""`voxlex anomaly`: map what does not belong in scans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from voxlex.commands.common import Run, Source, name_of, place, say
from voxlex.config import ReadingOptions
from voxlex.names import counted


@dataclass(kw_only=True)
class Anomaly:
    """Map what does not belong in scans, with a run that was trained on healthy scans.

    Write a map of each scan on its own grid, an overlay, a table of scores, a sheet and a page. Pixels that are strange
    need not be ill, and pixels of an illness need not be strange: this is not a medical device.

    Attributes:
        run_folder: Run folder.
        source: A folder or table of scans, a single scan, a prepared data set, or "phantom".
        out: Folder for the results, which are named after the scans: NAME.map.nii.gz for volumes, NAME.map.png with 16
            bits for pictures, and NAME.overlay.png.
        healthy: Healthy scans that the run has not learned from, which say what is usual: a source like SOURCE. Of the
            data that the run was trained on, the validation part is used. By default SOURCE itself.
        method: Evidence to look at: "surprise" of codes, "restoration" (the distance from what the prior expects),
            "reconstruction" (the error of the autoencoder), or "combined", the last two together.
        split: Scans to look at: "all", or the held-out scans ("test").
        masks: Folder of masks of known lesions, called like the scans, to judge the maps by.
        boxes: Folder of text files with boxes around known lesions (YOLO), called like the scans, to judge by.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        seed: Seed of the draws.
        overwrite: Write into the folder even if it is not empty.
    """

    run_folder: Run
    source: Source
    out: Annotated[Path | None, place("anomalies/SOURCE")] = None
    healthy: str | None = None
    method: Literal["combined", "surprise", "restoration", "reconstruction"] = "combined"
    split: Literal["all", "test"] = "all"
    masks: Path | None = None
    boxes: Path | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    seed: int = 0
    overwrite: bool = False

    def run(self) -> None:
        """Map the scans."""
        from voxlex.commands.terminal import progress_bar, show_notes, show_skipped, warn_if_inside
        from voxlex.errors import DataError
        from voxlex.outputs import check_folder
        from voxlex.vocabulary import load
        from voxlex.workflows.anomaly import find_anomalies
        from voxlex.workflows.lesion_files import LesionFiles
        from voxlex.workflows.opening import files_of, open_for

        if self.masks is not None and self.boxes is not None:
            raise DataError("expected --masks or --boxes, got both")
        folder = self.masks or self.boxes
        lesions = None if folder is None else LesionFiles(folder, boxes=self.boxes is not None)
        out = self.out or Path("anomalies") / name_of(self.source)
        check_folder(out, overwrite=self.overwrite, reads=files_of(self.source))
        warn_if_inside(out, self.source)
        vocabulary = load(self.run_folder)
        whole = vocabulary.autoencoder.spatial_dims == 2  # a prior knows cubes of one size alone
        sources = [self.source] if self.healthy is None else [self.source, self.healthy]
        dataset, *healthy = (
            open_for(vocabulary.config, source, whole=whole, reading=self.reading, phases=progress_bar)
            for source in sources
        )
        show_skipped(dataset)
        found = find_anomalies(
            vocabulary,
            dataset,
            out=out,
            healthy=healthy[0] if healthy else None,
            method=self.method,
            split=self.split,
            lesions=lesions,
            seed=self.seed,
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        show_notes(found.notes)
        if found.figures:
            _show(found.figures)
        say(f"{counted(len(found.scores), 'map')} in {out}; open {out / 'anomalies.html'}")


def _show(figures: Mapping[str, Mapping[str, float]]) -> None:
    """Print the figures of the map beside those of the baselines."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", *figures, box=None, header_style="dim")
    for name in dict.fromkeys(name for of_one in figures.values() for name in of_one):
        if not name.endswith(("_low", "_high")):
            table.add_row(name, *[f"{of_one[name]:.4g}" if name in of_one else "" for of_one in figures.values()])
    Console().print(table)
