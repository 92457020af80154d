"""`voxlex prepare`: prepare a data set for training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import OnRay, Source, say
from voxlex.config import DataConfig, PhantomOptions, ReadingOptions, SliceOptions
from voxlex.names import counted


@dataclass(kw_only=True)
class Prepare:
    """Prepare a data set for training: decode and resize its images, and divide them into splits.

    Attributes:
        source: A folder or table of scans, or "phantom".
        out: Folder to create. Other commands accept it as SOURCE.
        size: Side of the square canvas in pixels, or of the cube in voxels.
        seed: Seed of the division into splits.
        spacing_mm: Make a cube of each volume instead of slices, with this distance between voxels in mm.
        slices: Slices to take from volumes.
        reading: What to read of scan files that leave a choice, and what to assume where they say nothing.
        allow_leak: Use the splits of a table even if a subject or a pair of near-duplicates lies in two of them.
        subject: Column of the table that names persons. By default, it is known by its name, such as "patient_id".
        phantom: Appearance of the phantom. Only for the source "phantom".
        on_ray: Let the workers of a Ray cluster do the work, with the same results.
    """

    source: Source
    out: Path
    size: int = DataConfig.size
    seed: int = 0
    spacing_mm: Annotated[float | None, tyro.conf.arg(metavar="MM")] = None
    slices: SliceOptions = field(default_factory=SliceOptions)
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    allow_leak: bool = False
    subject: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None
    phantom: PhantomOptions = field(default_factory=PhantomOptions)
    on_ray: OnRay = field(default_factory=OnRay)

    def run(self) -> None:
        """Prepare the data set."""
        from voxlex.commands.terminal import progress_bar, show_notes, show_skipped, warn_if_inside
        from voxlex.data.sources import SourceOptions
        from voxlex.images.frame import Frame
        from voxlex.workflows.opening import data_notes
        from voxlex.workflows.prepare import prepare

        options = SourceOptions(
            phantom=self.phantom, allow_leak=self.allow_leak, reading=self.reading, subject=self.subject
        )
        with self.on_ray.open() as workers:
            dataset = prepare(
                self.source,
                Frame(size=self.size, slices=self.slices, spacing_mm=self.spacing_mm),
                out=self.out,
                seed=self.seed,
                options=options,
                workers=workers,
                phases=progress_bar,
            )
        show_skipped(dataset)
        show_notes(data_notes(dataset))
        warn_if_inside(self.out, self.source)
        say(f"{counted(len(dataset), 'image')} in {self.out}, {len(dataset.skipped)} skipped")
