"""`voxlex phantom`: write the embedded data set as files."""

from dataclasses import dataclass, field
from pathlib import Path

from voxlex.commands.common import say
from voxlex.config.options import PhantomOptions
from voxlex.names import counted


@dataclass(kw_only=True)
class Phantom:
    """Write the embedded data set as files, for experiments: slices as PNG, or whole heads as NIfTI.

    Attributes:
        out: Folder for the files.
        volumes: Write whole heads, `sub-001.nii.gz`, instead of slices, `sub-001/slice-01.png`.
        labels: Folder of label maps. For each of them, write a volume of random contrast on the same grid instead.
        size: Side of the slices in pixels, 128 by default, or of the heads in voxels, 64 by default.
        spacing_mm: Distance between the voxels of a head in mm.
        seed: Seed of the subjects.
        overwrite: Write into the folder even if it is not empty.
        phantom: Appearance of the subjects.
    """

    out: Path
    volumes: bool = False
    labels: Path | None = None
    size: int | None = None
    spacing_mm: float = 3.0
    seed: int = 0
    overwrite: bool = False
    phantom: PhantomOptions = field(default_factory=PhantomOptions)

    def run(self) -> None:
        """Write the files."""
        from voxlex.commands.terminal import progress_bar
        from voxlex.images.frame import Frame
        from voxlex.workflows.phantom import write, write_from_labels

        if self.labels is not None:
            files = write_from_labels(
                self.out, self.labels, seed=self.seed, overwrite=self.overwrite, phases=progress_bar
            )
            say(f"{counted(len(files), 'volume')} in {self.out}")
            return
        size = self.size if self.size is not None else (64 if self.volumes else 128)
        files = write(
            self.out,
            Frame(size=size, spacing_mm=self.spacing_mm if self.volumes else None),
            options=self.phantom,
            seed=self.seed,
            overwrite=self.overwrite,
            phases=progress_bar,
        )
        say(f"{len(files)} {'volumes' if self.volumes else 'slices'} in {self.out}")
