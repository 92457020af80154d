"""`voxlex encode`: store scans as codes."""

from dataclasses import dataclass
from pathlib import Path

from voxlex.commands.common import Run, Source
from voxlex.commands.skipped import show_skipped


@dataclass(kw_only=True)
class Encode:
    """Store scans as codes: one row a picture, or a slice of a volume.

    Attributes:
        run_folder: Run folder.
        source: Folder or table of scans, single scan, prepared data set, or "phantom".
        out: Parquet file to write, NAME.parquet.
        overwrite: Replace a file that is there.
    """

    run_folder: Run
    source: Source
    out: Path
    overwrite: bool = False

    def run(self) -> None:
        """Encode."""
        from voxlex.vocabulary import load
        from voxlex.workflows.encode import encode
        from voxlex.workflows.progress import progress_bar
        from voxlex.workflows.source import open_for

        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, self.source, whole=True, phases=progress_bar)
        show_skipped(dataset)
        count = encode(vocabulary, dataset, out=self.out, overwrite=self.overwrite, phases=progress_bar)
        print(f"codes of {count} images in {self.out}")
