"""`voxlex pack`: pack scans into an archive."""

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from voxlex.commands.common import OnRay, Run, Source, name_of, place, say
from voxlex.config import ReadingOptions

if TYPE_CHECKING:
    from voxlex.workflows.pack import Packed


@dataclass(kw_only=True)
class Pack:
    """Pack scans into an archive, a small file from which they can be unpacked, each by itself.

    Attributes:
        run_folder: Run folder.
        source: A folder or table of scans, a single scan, a prepared data set, or "phantom".
        out: File to write.
        coder: "table" codes with integer tables, which any machine reads. "prior" codes with the prior of the run; it
            takes fewer bits and far more time, and needs a machine that computes alike.
        fit_on: Source to whose training images tables are fitted first, if the run has none. They become part of the
            run, and later archives share them. Without such tables, the archive holds its own, which take more bits.
        lossless: Store the samples of each scan exactly, too, in its own size, so that it comes back bit for bit, also
            without the run. Takes about 13 microseconds a sample.
        no_codes: With --lossless, leave out the codes, which saves their bytes and the time of the network. Tables are
            not needed then, so it does not go with --fit-on.
        codebooks: Keep this many codebooks of a residual quantizer: fewer bits, less detail. By default, all are kept.
        with_model: Put the decoder into the archive, so that nothing else is needed to open it.
        append: Add the scans to an archive that is there, with the coder that it has.
        reading: What to read of scan files that leave a choice. By default, what the run was trained with.
        on_ray: Let the workers of a Ray cluster do the work, with the same results.
        overwrite: Replace an existing file.
    """

    run_folder: Run
    source: Source
    out: Annotated[Path | None, place("SOURCE.vxl")] = None
    coder: Literal["table", "prior"] = "table"
    fit_on: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    lossless: bool = False
    no_codes: bool = False
    codebooks: int | None = None
    with_model: bool = False
    append: bool = False
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    on_ray: OnRay = field(default_factory=OnRay)
    overwrite: bool = False

    def run(self) -> None:
        """Pack the scans."""
        from voxlex.commands.terminal import progress_bar, show_skipped
        from voxlex.outputs import check_file
        from voxlex.run_folder import RunFolder
        from voxlex.vocabulary import load
        from voxlex.workflows.opening import files_of, open_for, source_of
        from voxlex.workflows.originals import Originals
        from voxlex.workflows.pack import check_codes, fit_run_tables, pack

        out = self.out or Path(f"{name_of(self.source)}.vxl")
        reads = list(chain(RunFolder(self.run_folder).files(), files_of(self.source)))
        if not self.append:
            check_file(out, overwrite=self.overwrite, reads=reads, suffixes=(".vxl",))
        check_codes(with_codes=not self.no_codes, exact=self.lossless, coder=self.coder, fitted=self.fit_on is not None)
        vocabulary = load(self.run_folder)
        originals = None
        if self.lossless:
            source = source_of(vocabulary.config, self.source, self.reading)
            originals = Originals.of(source, self.reading.over(vocabulary.config.data.reading))
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
            if self.fit_on is not None:
                training = open_for(vocabulary.config, self.fit_on, workers=workers, phases=progress_bar)
                fit_run_tables(self.run_folder, vocabulary, training, workers=workers, phases=progress_bar)
            packed = pack(
                self.run_folder,
                vocabulary,
                dataset,
                out=out,
                coder=self.coder,
                originals=originals,
                with_codes=not self.no_codes,
                codebooks=self.codebooks,
                with_model=self.with_model,
                append=self.append,
                overwrite=self.overwrite,
                reads=reads,
                workers=workers,
                phases=progress_bar,
            )
        self._show(out, packed)

    def _show(self, out: Path, packed: "Packed") -> None:
        fallen_back = packed.coders.get("table", 0) if self.coder == "prior" and not self.append else 0
        others = f", {fallen_back} of them by tables" if fallen_back else ""
        scans = "1 scan" if packed.scans == 1 else f"{packed.scans} scans"
        say(f"{scans}{others} at {packed.rate_bpp:.3f} bit/pixel, {packed.record_bytes:,} bytes")
        say(f"{out}: {packed.bytes:,} bytes, with all that the scans share")
