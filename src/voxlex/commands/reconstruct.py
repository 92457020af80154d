"""`voxlex reconstruct`: encode and decode scans, and write the results."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from voxlex.commands.common import OnRay, Run, Source, name_of, place, say
from voxlex.config import Decoding, ReadingOptions
from voxlex.names import counted


@dataclass(kw_only=True)
class Reconstruct:
    """Encode and decode scans. Write the results, and a sheet of originals, reconstructions and differences.

    Attributes:
        run_folder: Run folder.
        source: A folder or table of scans, a single scan, a prepared data set, or "phantom".
        out: Folder for the results, which are named after the scans. Pictures are written as PNG, and volumes as NIfTI
            on their own grid.
        inputs: Also write each scan as the model sees it, as NAME.input.png or NAME.input.nii.gz.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        decoding: "faithful" writes what is closest to the original. "textured" also draws likely fine detail, so that
            images look like real ones; it is not the detail of the original.
        seed: Seed of the texture.
        on_ray: Let the workers of a Ray cluster do the work, with the same results.
        overwrite: Write into the folder even if it is not empty.
    """

    run_folder: Run
    source: Source
    out: Annotated[Path | None, place("reconstructed/SOURCE")] = None
    inputs: bool = False
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    decoding: Decoding = "faithful"
    seed: int = 0
    on_ray: OnRay = field(default_factory=OnRay)
    overwrite: bool = False

    def run(self) -> None:
        """Reconstruct the scans."""
        from voxlex.commands.terminal import progress_bar, show_notes, show_skipped, warn_if_inside
        from voxlex.outputs import check_folder
        from voxlex.vocabulary import load
        from voxlex.workflows.opening import files_of, open_for
        from voxlex.workflows.reconstruct import reconstruct

        out = self.out or Path("reconstructed") / name_of(self.source)
        check_folder(out, overwrite=self.overwrite, reads=files_of(self.source))
        warn_if_inside(out, self.source)
        vocabulary = load(self.run_folder)
        with self.on_ray.open() as workers:
            dataset = open_for(
                vocabulary.config,
                self.source,
                whole=True,
                reading=self.reading,
                workers=workers,
                phases=progress_bar,
            )
            show_skipped(dataset)
            written = reconstruct(
                vocabulary,
                dataset,
                out=out,
                inputs=self.inputs,
                decoding=self.decoding,
                seed=self.seed,
                overwrite=self.overwrite,
                workers=workers,
                phases=progress_bar,
            )
        show_notes(written.notes)
        say(f"{counted(written.count, 'reconstruction')} in {out}")
