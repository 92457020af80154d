"""Pack scans into an archive."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from voxlex.archive.coders import BATCH, PriorCoder
from voxlex.archive.content import Content
from voxlex.archive.fitting import LARGE, SMALL, fit_tables
from voxlex.archive.format import Header
from voxlex.archive.model import check_keeps_tables, keep_tables, model_files, prior_fingerprint, tables_of_run
from voxlex.archive.tables import Tables
from voxlex.archive.writer import ArchiveWriter, longer_archive, new_archive
from voxlex.code_table import decoder_fingerprint
from voxlex.codes import from_levels, levels_of
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import ArchiveError, CodesError, RunError
from voxlex.models.batches import encode_dataset, encoded_batch
from voxlex.names import printable
from voxlex.outputs import check_file
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.originals import Originals
from voxlex.workflows.packing import Coding, Packer

CoderName = Literal["table", "prior"]

_CODES_OF_AN_ENTRY = 8  # as a binary logarithm
_MOST_FOLDERS = 1000
_FITTED_ON = 1024
"""Images to which tables are fitted if the run has none."""


@dataclass(frozen=True)
class Packed:
    """What was packed: scans, their bytes and those of the whole archive, bits per pixel, and scans by their coder."""

    scans: int
    record_bytes: int
    bytes: int
    rate_bpp: float
    coders: dict[str, int]


def fit_run_tables(
    run: Path,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    workers: Workers = HERE,
    phases: Phases = silent,
) -> Tables:
    """Fit tables to the training images of a data set, and make them part of a run, whose archives share them.

    Tables that the run has stay, because its archives cannot be read without them.

    Raises:
        DataError: If there are no training images, or the run cannot be written.
        RunError: If the run is given by a name, not by its folder.
    """
    there = tables_of_run(run, vocabulary)
    if there is not None:
        return there
    check_keeps_tables(run)
    with phases("encoding for the tables") as progress:
        codes = encode_dataset(vocabulary, dataset.subset("train"), progress=progress, workers=workers)
    tables = _fitted(vocabulary, [level.numpy() for level in levels_of(codes)], LARGE, phases)
    keep_tables(run, tables)
    return tables


def pack(
    run: Path,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    out: Path,
    coder: CoderName = "table",
    codebooks: int | None = None,
    originals: Originals | None = None,
    with_codes: bool = True,
    with_model: bool = False,
    append: bool = False,
    overwrite: bool = False,
    reads: Iterable[Path] = (),
    workers: Workers = HERE,
    phases: Phases = silent,
) -> Packed:
    """Write the codes of scans into an archive, a record for each scan; see docs/archive.md.

    If the run has tables, the archive names them. Otherwise tables are fitted to the first images, and are part of
    the archive.

    Args:
        run: The run folder.
        vocabulary: The vocabulary of the run.
        dataset: Images in the size of the vocabulary, with every slice of each volume.
        out: The archive.
        coder: "table", or "prior" for the prior of the run.
        codebooks: Number of codebooks of each level to keep; all by default.
        originals: The scan files, to store their samples exactly, too.
        with_codes: Store codes. Only exact scans can do without.
        with_model: Put the decoder into the archive, and all that is needed to read it.
        append: Add the scans to an archive of this run that is there.
        overwrite: Replace a file that is there.
        reads: Files that must not be replaced.
        workers: Who encodes and codes.
        phases: Receives the progress of the work.

    Raises:
        ArchiveError: If the prior cannot code, a scan is there already, the archive is of another run, or nothing would
            be stored.
        CodesError: If not as many codebooks can be kept.
        RunError: If the coder is the prior, and the run has none.
        DataError: If the file exists and is not to be overwritten, or cannot be written, or the samples of a scan
            cannot be stored exactly.
    """
    check_codes(with_codes=with_codes, exact=originals is not None, coder=coder)
    if append:
        return _extend(run, vocabulary, dataset, out, originals, with_codes, workers, phases)
    check_file(out, overwrite=overwrite, reads=reads, suffixes=(".vxl",))
    kept = _kept(vocabulary, codebooks)
    if coder == "prior":
        _check_prior(vocabulary, codebooks)
    tables = tables_of_run(run, vocabulary) if with_codes else None
    held = tables is None
    if tables is None and with_codes:
        tables = _fitted_on_first(vocabulary, dataset, workers, phases)
    prior = vocabulary.prior if coder == "prior" and tables is not None else None
    coding = Coding(tables, PriorCoder(prior, tables) if prior and tables else None)
    packer = Packer(vocabulary, coding, kept, originals, workers)
    header = Header(
        model=decoder_fingerprint(vocabulary.autoencoder),
        tables="" if tables is None else tables.fingerprint,
        coder=coder,
        channels=vocabulary.autoencoder.in_channels,
        space=vocabulary.space,
        layouts=tuple(
            replace(layout, num_codebooks=count) for layout, count in zip(vocabulary.layouts, kept, strict=True)
        ),
        folders=_folders(dataset),
        prior={} if prior is None else {"fingerprint": prior_fingerprint(prior), "numbers": "float32"},
        conditions=vocabulary.conditions.describe() if with_model and prior is not None else [],
        made_by=f"voxlex {metadata.version('voxlex')}",
    )
    model = model_files(vocabulary, with_prior=prior is not None) if with_model else {}
    content = tables.content if tables is not None and (held or with_model) else None
    writing = new_archive(out, header, tables=content, model=model, version=_version(originals))
    return _write(packer, writing, dataset, out, phases)


def check_codes(*, with_codes: bool, exact: bool, coder: CoderName, fitted: bool = False) -> None:
    """Refuse to leave out codes if nothing else would be stored, or if they are what something else is for.

    Args:
        with_codes: Whether codes are stored.
        exact: Whether the samples of scans are stored.
        coder: What codes the codes.
        fitted: Whether tables for codes are to be fitted.

    Raises:
        ArchiveError: If so.
    """
    if not with_codes and (not exact or coder != "table"):
        raise ArchiveError("--no-codes: expected exact scans (--lossless) and the coder table beside it, got others")
    if not with_codes and fitted:
        raise ArchiveError("--fit-on: expected codes to fit tables for, got --no-codes; leave one of them out")


def _version(originals: Originals | None) -> int:
    return 1 if originals is None else 2


def _folders(dataset: PreparedDataset) -> tuple[str, ...]:
    """Return the folders with most scans, as names begin with them."""
    names = map(printable, dataset.manifest["path"].unique())
    counts = Counter(name[: name.rindex("/") + 1] for name in names if "/" in name)
    return tuple(sorted(folder for folder, count in counts.most_common(_MOST_FOLDERS) if count > 1))


def _extend(
    run: Path,
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    out: Path,
    originals: Originals | None,
    with_codes: bool,
    workers: Workers,
    phases: Phases,
) -> Packed:
    """Add scans to an archive, with the coder that it has."""
    content = Content.open(out)
    header = content.header
    if decoder_fingerprint(vocabulary.autoencoder) != header.model:
        raise ArchiveError(f"{out}: expected an archive of this run to add to, got one of another run")
    tables = _tables_of(content, run, vocabulary) if with_codes else None
    prior = None
    if header.coder == "prior" and tables is not None:
        _check_prior(vocabulary, None)
        if vocabulary.prior is None or prior_fingerprint(vocabulary.prior) != header.prior.get("fingerprint"):
            raise ArchiveError(
                f"{out}: expected the prior that it was packed with, got another; pack into a new archive"
            )
        prior = PriorCoder(vocabulary.prior, tables)
    kept = [layout.num_codebooks for layout in header.layouts]
    there = {path for path in dataset.manifest["path"].unique() if printable(path) in content.numbers}
    if there:
        raise ArchiveError(f"{out}: {printable(min(there))}: is in the archive already")
    packer = Packer(vocabulary, Coding(tables, prior), kept, originals, workers)
    return _write(packer, longer_archive(out, version=_version(originals)), dataset, out, phases)


def _tables_of(content: Content, run: Path, vocabulary: Vocabulary) -> Tables:
    """Return the tables of an archive."""
    out, header = content.file.path, content.header
    if not header.tables:
        raise ArchiveError(f"{out}: expected an archive that codes can be added to, got one without; use --no-codes")
    held = content.read_tables()
    tables = tables_of_run(run, vocabulary) if held is None else Tables.from_bytes(held)
    if tables is None or tables.fingerprint != header.tables:
        raise ArchiveError(f"{out}: expected the tables that it was packed with, got others; pack into a new archive")
    return tables


def _write(
    packer: Packer,
    writing: AbstractContextManager[ArchiveWriter],
    dataset: PreparedDataset,
    out: Path,
    phases: Phases,
) -> Packed:
    coders: dict[str, int] = {}
    size = pixels = 0
    with writing as writer, phases("packing") as progress:
        for record in packer.records(dataset, progress):
            writer.add(record)
            coders[record.coder] = coders.get(record.coder, 0) + 1
            pixels += record.pixels
            size += writer.entries[-1].size
    return Packed(sum(coders.values()), size, out.stat().st_size, 8 * size / pixels, coders)


def _check_prior(vocabulary: Vocabulary, codebooks: int | None) -> None:
    if vocabulary.prior is None:
        raise RunError(
            "coder: expected a run with a prior, got one without; train it with --stage prior, or code by tables"
        )
    if codebooks is not None:
        raise ArchiveError("codebooks: expected the coder table, got prior, which needs all codebooks")


def _kept(vocabulary: Vocabulary, codebooks: int | None) -> list[int]:
    """Return how many codebooks of each level are kept."""
    counts = [layout.num_codebooks for layout in vocabulary.layouts]
    if codebooks is None:
        return counts
    if not 1 <= codebooks <= max(counts):
        raise CodesError(f"codebooks: expected 1 to {max(counts)}, got {codebooks}")
    kept = [min(count, codebooks) for count in counts]
    tried = [
        torch.zeros(1, count, *layout.grid, dtype=torch.int64)
        for count, layout in zip(kept, vocabulary.layouts, strict=True)
    ]
    try:
        vocabulary.decode(from_levels(tried))
    except CodesError as cause:
        raise CodesError(
            f"codebooks: expected a quantizer whose first codes can be decoded alone, as the residual ones can: {cause}"
        ) from cause
    return kept


def _fitted_on_first(vocabulary: Vocabulary, dataset: PreparedDataset, workers: Workers, phases: Phases) -> Tables:
    rows = range(0, len(dataset), -(-len(dataset) // _FITTED_ON))
    with phases("encoding for the tables") as progress:
        found: list[list[np.ndarray]] = []
        some = (list(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH))
        pixels = (np.array(dataset.images[own]) for own in some)
        done = 0
        for codes in workers.map(partial(encoded_batch, vocabulary), pixels):
            found.append([level.numpy() for level in levels_of(codes)])
            done += len(found[-1][0])
            progress(done, len(rows))
    whole = [np.concatenate(level) for level in zip(*found, strict=True)]
    # The fewer codes there are, the less is known of them, and the more the bytes of the tables weigh.
    size = min(SMALL, max(whole[-1].size.bit_length() - _CODES_OF_AN_ENTRY, 0))
    return _fitted(vocabulary, whole, size, phases)


def _fitted(vocabulary: Vocabulary, codes: Sequence[np.ndarray], size: int, phases: Phases) -> Tables:
    words = [quantizer.codewords().cpu().numpy() for quantizer in vocabulary.autoencoder.quantizers]
    with phases("fitting tables") as progress:
        return fit_tables(codes, words, model=decoder_fingerprint(vocabulary.autoencoder), size=size, report=progress)
