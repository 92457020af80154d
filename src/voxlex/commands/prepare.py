"""`voxlex prepare`: make a data set ready to train on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from voxlex.commands.common import Source
from voxlex.commands.skipped import show_skipped
from voxlex.config.options import PhantomOptions, SliceOptions


@dataclass(kw_only=True)
class Prepare:
    """Make a data set ready to train on: decoded, resized, divided into splits, memory-mapped.

    Attributes:
        source: Folder or table of scans, or "phantom".
        out: Folder to make; use it as SOURCE from then on.
        size: Side of the square canvas in pixels, or of the cube in voxels.
        seed: The same seed gives the same division into splits, and the same phantom.
        spacing_mm: Make a cube of each volume, with so many mm between its voxels, and not slices.
        slices: Which slices of volumes to take.
        allow_leak: Take a table's split as it is, even if subjects or near-duplicates cross it.
        phantom: What the phantom should be like; only for the source "phantom".
    """

    source: Source
    out: Path
    size: int = 128
    seed: int = 0
    spacing_mm: Annotated[float | None, tyro.conf.arg(metavar="MM")] = None
    slices: SliceOptions = field(default_factory=SliceOptions)
    allow_leak: bool = False
    phantom: PhantomOptions = field(default_factory=PhantomOptions)

    def run(self) -> None:
        """Prepare."""
        from voxlex.data.sources import SourceOptions
        from voxlex.images.frame import Frame
        from voxlex.workflows.prepare import prepare
        from voxlex.workflows.progress import progress_bar

        dataset = prepare(
            self.source,
            Frame(size=self.size, slices=self.slices, spacing_mm=self.spacing_mm),
            out=self.out,
            seed=self.seed,
            options=SourceOptions(phantom=self.phantom, allow_leak=self.allow_leak),
            phases=progress_bar,
        )
        show_skipped(dataset)
        print(f"{len(dataset)} images in {self.out}, {len(dataset.skipped)} skipped")
