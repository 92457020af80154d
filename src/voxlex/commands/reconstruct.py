"""`voxlex reconstruct`: write what a vocabulary makes of scans."""

from dataclasses import dataclass
from pathlib import Path

from voxlex.commands.common import Run, Source
from voxlex.commands.skipped import show_skipped


@dataclass(kw_only=True)
class Reconstruct:
    """Write what the vocabulary makes of scans, and a sheet of originals, reconstructions and differences.

    Attributes:
        run_folder: Run folder.
        source: Folder or table of scans, single scan, prepared data set, or "phantom".
        out: Folder for the results, named after the scans: pictures as PNG, volumes as NIfTI on their own grid.
        inputs: Also write each scan as the model saw it, as NAME.input.png or NAME.input.nii.gz.
        overwrite: Write into a folder that is not empty.
    """

    run_folder: Run
    source: Source
    out: Path
    inputs: bool = False
    overwrite: bool = False

    def run(self) -> None:
        """Reconstruct."""
        from voxlex.vocabulary import load
        from voxlex.workflows.outputs import check_apart, check_output_folder
        from voxlex.workflows.progress import progress_bar
        from voxlex.workflows.reconstruct import reconstruct
        from voxlex.workflows.source import open_for

        check_apart(self.source, self.out)
        check_output_folder(self.out, overwrite=self.overwrite)
        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, self.source, whole=True, phases=progress_bar)
        show_skipped(dataset)
        count = reconstruct(vocabulary, dataset, out=self.out, inputs=self.inputs, overwrite=self.overwrite)
        print(f"{count} reconstructions in {self.out}")
