"""`voxlex encode`: store scans as codes."""

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated

from voxlex.commands.common import OnRay, Run, Source, name_of, place, say
from voxlex.config import ReadingOptions
from voxlex.names import counted


@dataclass(kw_only=True)
class Encode:
    """Store scans as codes in a Parquet table, with a row for each picture, slice or volume.

    Attributes:
        run_folder: Run folder.
        source: A folder or table of scans, a single scan, a prepared data set, or "phantom".
        out: File to write. Its name must end in .parquet.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        on_ray: Let the workers of a Ray cluster do the work, with the same results.
        overwrite: Replace an existing file.
    """

    run_folder: Run
    source: Source
    out: Annotated[Path | None, place("codes/SOURCE.parquet")] = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    on_ray: OnRay = field(default_factory=OnRay)
    overwrite: bool = False

    def run(self) -> None:
        """Encode the scans."""
        from voxlex.commands.terminal import progress_bar, show_skipped
        from voxlex.run_folder import RunFolder
        from voxlex.vocabulary import load
        from voxlex.workflows.encode import check_code_file, encode
        from voxlex.workflows.opening import files_of, open_for

        out = self.out or Path("codes") / f"{name_of(self.source)}.parquet"
        reads = chain(RunFolder(self.run_folder).files(), files_of(self.source))
        check_code_file(out, overwrite=self.overwrite, reads=reads)
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
            count = encode(vocabulary, dataset, out=out, overwrite=self.overwrite, workers=workers, phases=progress_bar)
        say(f"codes of {counted(count, 'image')} in {out}")
