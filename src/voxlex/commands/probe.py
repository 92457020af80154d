"""`voxlex probe`: measure what codes tell of a column of the table."""

from dataclasses import dataclass, field
from pathlib import Path

from voxlex.commands.common import Run, Source, say
from voxlex.config import ReadingOptions


@dataclass(kw_only=True)
class Probe:
    """Measure what the codes of scans tell of a column of their table, such as the label or the age.

    A linear reader and the nearest neighbours read the column, cross-validated so that images of one subject, and
    near-duplicates, are never on both sides. The same is read from small pixels, from grey values alone, and for
    shuffled values. What grey values tell as well as codes is likely to be the scanner.

    Attributes:
        run_folder: Run folder.
        source: A table of scans, or a folder whose subfolders are labels, or a prepared data set.
        target: Column to read. Columns of numbers with more than ten values are read as numbers, others as names.
        json: File to write the figures to.
        out: Folder for pictures: which classes are taken for which, and the codewords that weigh most.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        overwrite: Replace the file, and write into the folder even if it is not empty.
    """

    run_folder: Run
    source: Source
    target: str = "label"
    json: Path | None = None
    out: Path | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    overwrite: bool = False

    def run(self) -> None:
        """Probe the codes."""
        from voxlex.commands.terminal import progress_bar, show_skipped
        from voxlex.outputs import check_file, check_folder
        from voxlex.vocabulary import load
        from voxlex.workflows.opening import files_of, open_for
        from voxlex.workflows.probe import probe_column, write_probe

        if self.json is not None:
            check_file(self.json, overwrite=self.overwrite, reads=files_of(self.source), suffixes=(".json",))
        if self.out is not None:
            check_folder(self.out, overwrite=self.overwrite, reads=files_of(self.source))
        vocabulary = load(self.run_folder)
        dataset = open_for(vocabulary.config, self.source, reading=self.reading, phases=progress_bar)
        show_skipped(dataset)
        probed = probe_column(
            vocabulary, dataset, column=self.target, out=self.out, overwrite=self.overwrite, phases=progress_bar
        )
        _show(probed.figures, title=f"{self.target} of {probed.images} images in {probed.groups} groups")
        if self.json is not None:
            write_probe(self.json, probed, column=self.target)
        if self.out is not None:
            say(f"pictures in {self.out}")


def _show(figures: dict[str, dict[str, dict[str, float]]], *, title: str) -> None:
    """Print each figure of each description and reader, with its confidence interval."""
    from rich.console import Console
    from rich.table import Table

    first = next(iter(next(iter(figures.values())).values()))
    names = [name for name in first if not name.endswith(("_low", "_high"))]
    readers = [(reader, name) for reader in next(iter(figures.values())) for name in names]
    heads = [f"{reader} {name}" for reader, name in readers]
    table = Table("", *heads, title=title, box=None, title_justify="left", header_style="dim")
    for description, of_readers in figures.items():
        cells = []
        for reader, name in readers:
            found = of_readers[reader]
            cells.append(f"{found[name]:.3f}\n{found[f'{name}_low']:.3f} to {found[f'{name}_high']:.3f}")
        table.add_row(description, *cells)
    Console().print(table)
