"""Open an archive: scans, images and codes by number or name, in any order, without reading the rest."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from voxlex.archive.coders import Coded, Coder, PriorCoder, TableCoder
from voxlex.archive.coders import Scan as Codings
from voxlex.archive.content import Content
from voxlex.archive.format import Entry, Header
from voxlex.archive.model import model_from_files, prior_fingerprint, tables_of_run
from voxlex.archive.record import NOTHING, Record
from voxlex.archive.tables import Tables
from voxlex.code_table import decoder_fingerprint
from voxlex.codes import from_levels
from voxlex.errors import ArchiveError, CodesError
from voxlex.images.origin import Origin
from voxlex.images.restore import restore_scan
from voxlex.models import MultiScaleVQVAE
from voxlex.rows import batches
from voxlex.scans.samples import Samples
from voxlex.scans.scan import Scan
from voxlex.stores.fetching import at_hand
from voxlex.types import Codes, Image, Levels
from voxlex.vocabulary import Vocabulary, load

_BATCH = 8
"""Images that are decoded at a time: what the network computes with then stays in the cache of a processor."""


class Archive(Dataset[Tensor]):
    """The scans of an archive.

    Any number of threads and processes can read one archive at once, also through one object.

    Args:
        content: The blocks of the archive.
        vocabulary: The model that decodes codes; None to read codes and facts alone.
        tables: The tables of the coder; None if there are none.

    Attributes:
        names: The name of each scan.
        damage: Sentences about what is damaged; an archive that is whole has none.
    """

    def __init__(self, content: Content, *, vocabulary: Vocabulary | None, tables: Tables | None) -> None:
        self.content = content
        self.names = [entry.name for entry in content.entries]
        self.damage = list(content.damage)
        self._vocabulary = vocabulary
        self._tables = tables
        self._coders: dict[str, Coder] = {}

    @property
    def header(self) -> Header:
        """What all scans share."""
        return self.content.header

    @property
    def entries(self) -> list[Entry]:
        """Name, place and bytes of each record."""
        return self.content.entries

    @property
    def vocabulary(self) -> Vocabulary:
        """The model.

        Raises:
            ArchiveError: If there is none.
        """
        if self._vocabulary is None:
            raise ArchiveError(
                f"{self.content.file.path}: expected a model, got an archive that holds none; name the run that packed "
                "it with --run RUN (in Python, run=RUN)"
            )
        return self._vocabulary

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, which: Any) -> Tensor:
        """Return the images of a scan, by its number or name, in [0, 1].

        Returns:
            A picture `(c, h, w)` or a cube `(c, d, h, w)` of the size of the model; of a sliced volume `(n, c, h, w)`.
        """
        number = self.number(which)
        images = self.images(number)
        return images if self.record(number).slices else images[0]

    def number(self, which: int | str) -> int:
        """Return the number of a scan that is given by its number, also from the end, or by its name.

        Raises:
            IndexError: If there is none of this number.
            KeyError: If there is none of this name.
        """
        if isinstance(which, str):
            return self.content.numbers[which]
        number = int(which) + (len(self) if which < 0 else 0)
        if not 0 <= number < len(self):
            raise IndexError(f"expected the number of one of {len(self)} scans, got {which}")
        return number

    def record(self, which: int | str) -> Record:
        """Return a record as stored.

        Raises:
            ArchiveError: If it is damaged.
        """
        return self.content.record(self.number(which))

    def codes(self, which: int | str, *, levels: int | None = None) -> Codes | Levels:
        """Return the codes `(n, q, *grid)` of the n images of a scan; for several levels a tuple, coarsest first.

        Args:
            which: Number or name of the scan.
            levels: Number of levels to read, from the coarsest; all by default.

        Raises:
            ArchiveError: If the record is damaged, or what decodes it is missing.
        """
        record = self.record(which)
        with self.content.naming(record.name):
            found = self.codes_of([record], levels=levels)[0]
        return from_levels([torch.from_numpy(level) for level in found])

    def images(self, which: int | str) -> Image:
        """Return the images `(n, c, *space)` of a scan, in [0, 1] and of the size of the model."""
        codes = self.codes(which)
        return self.decode(codes)

    def preview(self, which: int | str) -> Image:
        """Return the images `(n, c, *space)` of a scan from the codes of the coarsest level alone, at a coarse look.

        The codes of finer levels are not read. In their place are codes that add little.
        """
        record = self.record(which)
        coarse = self.codes_of([record], levels=1)[0]
        levels = list(coarse)
        for number in range(1, len(record.grids)):
            usual = [self._filling(number, codebook) for codebook in range(self.header.layouts[number].num_codebooks)]
            own = np.reshape(usual, (1, -1, *[1] * len(record.grids[number])))
            levels.append(np.broadcast_to(own, (record.images, len(usual), *record.grids[number])).copy())
        return self.decode(from_levels([torch.from_numpy(level) for level in levels]))

    def _filling(self, level: int, codebook: int) -> int:
        """Return the code that stands for one that is not read: the one that adds least, or the commonest."""
        if isinstance(self.vocabulary.autoencoder, MultiScaleVQVAE):
            return int(self.vocabulary.autoencoder.quantizers[level].codeword_norms()[codebook].argmin())
        return self.tables.levels[level][codebook].commonest

    def samples(self, which: int | str) -> Samples:
        """Return the numbers of a scan that was packed with `--lossless`, exactly as its file stores them.

        Raises:
            ArchiveError: If the record is damaged, or holds codes alone.
        """
        from voxlex.archive.exact import samples_of  # compilers take a second to import

        record = self.record(which)
        with self.content.naming(record.name):
            return samples_of(record)

    def scan(self, which: int | str) -> Scan:
        """Return a scan on its own grid, in its own grey values.

        Of a scan that was packed with `--lossless`, these are the very values that reading its file gives, and of a
        colour JPEG those of the PNG that `unpack` writes. Otherwise, they are what the model decodes.

        Raises:
            ArchiveError: If the record is damaged, or slices of the volume are missing.
        """
        record = self.record(which)
        if record.residual_kind != NOTHING:
            from voxlex.archive.exact import scan_of

            with self.content.naming(record.name):
                return scan_of(record)
        images = self.images(which)[:, 0].numpy()
        with self.content.naming(record.name):
            try:
                return restore_scan(list(images), Origin.from_facts(record.facts))
            except ValueError as cause:
                raise ArchiveError(f"expected all slices of the volume, got {record.images} of them") from cause

    def flat(self) -> "ArchiveImages":
        """Return all images of all scans as a data set for training."""
        return ArchiveImages(self)

    @property
    def tables(self) -> Tables:
        """The tables of the coder.

        Raises:
            ArchiveError: If they are missing.
        """
        if self._tables is None:
            raise ArchiveError(
                f"{self.content.file.path}: expected tables, got an archive that holds none; name the run that "
                "packed it with --run RUN (in Python, run=RUN)"
            )
        return self._tables

    @property
    def has_model(self) -> bool:
        """Whether there is a model to decode codes with."""
        return self._vocabulary is not None

    @property
    def has_tables(self) -> bool:
        """Whether there are tables to read codes with."""
        return self._tables is not None

    def decode(self, codes: Codes | Levels) -> Image:
        """Decode codes to images `(n, c, *space)` in [0, 1], on the CPU, a few at a time."""
        levels = codes if isinstance(codes, tuple) else (codes,)
        space = self.vocabulary.autoencoder.space_of([level.shape[2:] for level in levels])
        parts = [
            self.vocabulary.decode(from_levels([level[rows] for level in levels])).cpu()
            for rows in batches(len(levels[0]), pixels_per_image=int(np.prod(space)), at_most=_BATCH)
        ]
        return torch.cat(parts)

    def codes_of(self, records: Sequence[Record], *, levels: int | None = None) -> list[Codings]:
        """Return the codes `(n, q, *grid)` of each level of several records; faster than one after the other.

        Raises:
            ArchiveError: If one is damaged, or what decodes it is missing.
        """
        found: dict[int, Codings] = {}
        if not all(record.has_codes for record in records):
            raise ArchiveError("expected codes, got a scan that was packed without them; pack it without --no-codes")
        for coder in {record.coder for record in records}:
            own = [number for number, record in enumerate(records) if record.coder == coder]
            some = [records[number] for number in own]
            coded = [Coded(coder, record.images, record.streams, record.side) for record in some]
            try:
                decoded = self._coder(coder).decode(coded, [record.grids for record in some], levels=levels)
            except CodesError as cause:
                raise ArchiveError(str(cause)) from cause
            found |= dict(zip(own, decoded, strict=True))
        return [found[number] for number in range(len(records))]

    def _coder(self, name: str) -> Coder:
        if name not in self._coders:
            if name == "table":
                self._coders[name] = TableCoder(self.tables)
            else:
                prior = self.vocabulary.prior
                if prior is None or prior_fingerprint(prior) != self.header.prior.get("fingerprint"):
                    raise ArchiveError(
                        f"{self.content.file.path}: expected the prior of the run that packed it, got "
                        f"{'none' if prior is None else 'another one'}; name that run with --run RUN"
                    )
                self._coders[name] = PriorCoder(prior, self.tables)
        return self._coders[name]


class ArchiveImages(Dataset[Tensor]):
    """All images of an archive, to train on: each `(c, *space)`, float32 in [0, 1].

    A data loader may read it with several workers.

    Args:
        archive: The archive.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        counts = [archive.record(number).images for number in range(len(archive))]
        self._first = np.cumsum([0, *counts])

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: int) -> Float[Tensor, "c *space"]:
        """Return one image."""
        if not 0 <= index < len(self):
            raise IndexError(f"expected the number of one of {len(self)} images, got {index}")
        scan = int(np.searchsorted(self._first, index, side="right")) - 1
        place = index - int(self._first[scan])
        codes = self.archive.codes(scan)
        levels = codes if isinstance(codes, tuple) else (codes,)
        return self.archive.decode(from_levels([level[place : place + 1] for level in levels]))[0]


def open_archive(path: str | Path, *, run: str | Path | None = None, device: str | torch.device = "cpu") -> Archive:
    """Open an archive that `voxlex pack` wrote.

    Args:
        path: The archive, or its address.
        run: The run that packed it. An archive that holds its model needs none.
        device: Where the model computes.

    Raises:
        ArchiveError: If the archive cannot be read, is damaged as a whole, or was packed with another run.
        DataError: If an address cannot be read.
        RunError: If the run cannot be used.
    """
    content = Content.open(Path(at_hand(path)))
    run = None if run is None else at_hand(run)
    header, held = content.header, content.read_tables()
    vocabulary, tables = None, None
    with content.naming("tables"):
        tables = None if held is None else _checked(held, header)
    if run is not None:
        vocabulary = load(run, device=device)
        if decoder_fingerprint(vocabulary.autoencoder) != header.model:
            raise ArchiveError(f"{path}: expected the run that packed it, got another run: {run}")
        if tables is None and header.tables:  # without codes, there are none
            tables = tables_of_run(Path(run), vocabulary)
            if tables is not None and tables.fingerprint != header.tables:
                raise ArchiveError(
                    f"{path}: expected the tables that it was packed with, got others in {run}; restore its "
                    "tables.safetensors from a copy"
                )
    elif content.model:
        vocabulary = model_from_files(content.read_model(), conditions=header.conditions)
    return Archive(content, vocabulary=vocabulary, tables=tables)


def _checked(held: bytes, header: Header) -> Tables:
    try:
        tables = Tables.from_bytes(held)
    except CodesError as cause:
        raise ArchiveError(str(cause)) from cause
    if tables.fingerprint != header.tables:
        raise ArchiveError("expected the tables of the header, got others: damaged")
    return tables
