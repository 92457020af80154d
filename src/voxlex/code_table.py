"""The table of codes: a Parquet file with one row for each image, and with all that is needed to restore its scan.

The columns are: `path`; `codes`, flattened in the order (q, *grid); `shape`, the lengths of these axes;
`ORIGIN_COLUMNS` and `ORIGIN_EXTRAS`, from which the scan's own grid and grey values are restored; and subject, slice
and label from the manifest. Codes of several levels are stored in `codes_0`, `codes_1` and so on, coarsest first, with
their shapes in `shape_0`, `shape_1` and so on.

The file also contains a fingerprint of the decoder, so that codes are not decoded with another one.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from voxlex.codes import CodeLayout, concatenate, from_levels, levels_of
from voxlex.errors import CodesError, naming
from voxlex.files import atomic_file
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS, ORIGIN_EXTRAS
from voxlex.models import Autoencoder
from voxlex.tables.manifest import INDEX_COLUMNS
from voxlex.types import Codes, LevelCodes, Levels

_KEPT = (*(column for column in INDEX_COLUMNS if column != "group"), *ORIGIN_COLUMNS)
_NEEDED = {"path", "slice", *ORIGIN_COLUMNS} - set(ORIGIN_DEFAULTS)
_DECODER_KEY = b"voxlex.decoder"
_ROWS_AT_ONCE = 1024
_CODES_AT_ONCE = 2**22
"""Codes of a level in a row group of the file, so many of which are in memory at a time."""


@dataclass(frozen=True)
class CodeTable:
    """The content of a file of codes.

    Attributes:
        codes: The codes of every image, on the CPU.
        rows: One row for each image, with its path and the facts that restore its scan.
    """

    codes: Codes | Levels
    rows: pd.DataFrame


def write_code_table(path: Path, codes: Codes | Levels, manifest: pd.DataFrame, *, autoencoder: Autoencoder) -> None:
    """Write the codes of images as a table.

    Args:
        path: The file.
        codes: Codes from `autoencoder`, on the CPU.
        manifest: The table of a prepared data set, with one row for each image.
        autoencoder: The autoencoder that encoded the images.

    Raises:
        DataError: If the file cannot be written.
    """
    write_code_batches(path, [codes], manifest, autoencoder=autoencoder)


def write_code_batches(
    path: Path, batches: Iterable[Codes | Levels], manifest: pd.DataFrame, *, autoencoder: Autoencoder
) -> None:
    """Write the codes of images as a table while they come, batch after batch; only a few are in memory.

    How the images are divided into batches makes no difference to the file. For the arguments see `write_code_table`.

    Raises:
        DataError: If the file cannot be written.
        ValueError: If there are fewer codes than rows, or none.
    """
    kept = [*_KEPT, *(column for column in ORIGIN_EXTRAS if column in manifest.columns)]
    rows = pa.Table.from_pandas(manifest[kept], preserve_index=False)
    metadata = {_DECODER_KEY: decoder_fingerprint(autoencoder).encode()}
    done = 0
    with atomic_file(path) as building, building.open("wb") as file, ExitStack() as stack:
        writer = None  # gets a file, for pyarrow takes paths of Unicode alone
        for codes in _regrouped(batches):
            own = rows.slice(done, len(codes[0]))
            table = _with_codes(own, codes, autoencoder).replace_schema_metadata(metadata)
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(file, table.schema, compression="zstd"))
            writer.write_table(table)
            done += len(own)
        if done != len(rows) or not done:
            raise ValueError(f"codes: expected those of {len(rows)} images, at least one, got those of {done}")


def _regrouped(batches: Iterable[Codes | Levels]) -> Iterator[Levels]:
    """Yield codes in groups of equal size, however large the batches are; the last group may be smaller."""
    waiting: list[Levels] = []
    for batch in batches:
        waiting.append(levels_of(batch))
        size = max(1, _CODES_AT_ONCE // max(level[0].numel() for level in waiting[0]))
        while sum(len(levels[0]) for levels in waiting) >= size:
            whole = _joined(waiting)
            yield tuple(level[:size] for level in whole)
            waiting = [tuple(level[size:] for level in whole)]
    if waiting and len(waiting[0][0]):
        yield _joined(waiting)


def _joined(parts: Sequence[tuple[Tensor, ...]]) -> Levels:
    return parts[0] if len(parts) == 1 else levels_of(concatenate(parts))


def _with_codes(table: pa.Table, levels: Levels, autoencoder: Autoencoder) -> pa.Table:
    """Append the columns of codes and their shapes."""
    for (codes_name, shape_name), level, quantizer in zip(
        _column_names(len(levels)), levels, autoencoder.quantizers, strict=True
    ):
        narrow = level.flatten(1).numpy().astype(np.min_scalar_type(quantizer.num_embeddings - 1))
        table = table.append_column(shape_name, pa.array([list(level.shape[1:])] * len(level)))
        table = table.append_column(codes_name, pa.array(list(narrow)))
    return table


def read_code_table(
    path: Path, *, autoencoder: Autoencoder, space: Sequence[int], max_gigabytes: float = 8.0
) -> CodeTable:
    """Read a table of codes.

    Args:
        path: The file.
        autoencoder: The autoencoder that will decode the codes.
        space: Sides of the images that it was trained on. Volumes may have other sides.
        max_gigabytes: Largest table to read, in gigabytes of memory. A small file can unpack to a very large one.

    Raises:
        CodesError: If the file cannot be read, was written with another decoder, or holds codes that do not fit.
    """
    table = _read(path, at_most=int(max_gigabytes * 1e9))
    names = _column_names(len(autoencoder.quantizers))
    of_codes = [name for pair in names for name in pair]
    missing = {*_NEEDED, *of_codes} - set(table.column_names)
    if not missing and len(table.column_names) > len(set(table.column_names)):
        raise CodesError(f"{path}: expected a file of codes, got one with a column twice")
    if not missing and not len(table):
        raise CodesError(f"{path}: expected the codes of at least one image, got none")
    if missing:
        raise CodesError(f"{path}: expected a file of codes, got one without the columns {', '.join(sorted(missing))}")
    stamp = (table.schema.metadata or {}).get(_DECODER_KEY)
    if stamp is not None and stamp != decoder_fingerprint(autoencoder).encode():
        raise CodesError(
            f"{path}: expected codes of this run, got those of another run; decode them with the run that encoded them"
        )
    shapes = [_shapes(table[shape_name], name=f"{path}: {shape_name}") for _, shape_name in names]
    layouts = _layouts(shapes, autoencoder, space)
    levels = []
    for (codes_name, _), found, layout, quantizer in zip(names, shapes, layouts, autoencoder.quantizers, strict=True):
        others = sorted(found - {layout.shape})
        if others:
            raise CodesError(f"{path}: {codes_name}: expected codes of shape {layout.shape}, got {others[0]}")
        level = _codes(table[codes_name], layout, name=f"{path}: {codes_name}")
        with naming(path):
            quantizer.check_codes(level)
        levels.append(level)
    return CodeTable(codes=from_levels(levels), rows=table.drop_columns(of_codes).to_pandas())


def decoder_fingerprint(autoencoder: Autoencoder) -> str:
    """Return a hash of the quantizers and the decoder, which together give codes their meaning.

    The codewords alone are not enough: finite scalar and lookup-free quantizers have the same ones in every run.
    """
    digest = hashlib.sha256()
    for part in autoencoder.decoding_modules:
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _column_names(levels: int) -> list[tuple[str, str]]:
    """Return the columns of codes and shape of each level."""
    return [("codes", "shape")] if levels == 1 else [(f"codes_{level}", f"shape_{level}") for level in range(levels)]


def _read(path: Path, *, at_most: int) -> pa.Table:
    """Read a Parquet file of up to so many bytes of memory, in parts: what its footer claims need not be true."""
    if not path.is_file():
        missing = "expected a file of codes, got a folder" if path.is_dir() else "no such file"
        raise CodesError(f"{path}: {missing}")
    too_large = CodesError(
        f"{path}: expected a table of up to {at_most / 1e9:g} GB of memory, got a larger one; divide it into several"
    )
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:  # its path need not be Unicode
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            if sum(max(group.total_byte_size, group.num_rows) for group in groups) > at_most:
                raise too_large
            parts, size = [], 0
            for part in file.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
                part.validate(full=True)  # text that is not UTF-8, and lists that reach beyond their values
                parts.append(part)
                size += part.nbytes
                if size > at_most:
                    raise too_large
            return pa.Table.from_batches(parts, schema=file.schema_arrow)
    except CodesError:
        raise
    except MemoryError as cause:
        raise too_large from cause
    except Exception as cause:  # a damaged footer makes Arrow raise nearly anything
        reason = cause.strerror if isinstance(cause, OSError) else None
        raise CodesError(
            f"{path}: cannot be read as Parquet: {reason or 'it is of another kind, damaged or cut short'}"
        ) from cause


def _shapes(column: pa.ChunkedArray, *, name: str) -> set[tuple[int, ...]]:
    """Return the distinct shapes in a column."""
    if not _is_integers(column.type):
        raise CodesError(f"{name}: expected lists of integers, got {column.type}")
    shapes = {tuple(shape or ()) for shape in column.to_pylist()}
    strange = [shape for shape in shapes if None in shape or not shape or min(shape) < 1]
    if strange:
        raise CodesError(f"{name}: expected numbers from 1, got {strange[0]}")
    return shapes


def _is_integers(kind: pa.DataType) -> bool:
    """Tell lists of integers from other columns."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return lists and pa.types.is_integer(kind.value_type)


def _layouts(
    shapes: Sequence[set[tuple[int, ...]]], autoencoder: Autoencoder, space: Sequence[int]
) -> tuple[CodeLayout, ...]:
    """Return the layouts that codes of these shapes should have."""
    if autoencoder.spatial_dims == 3 and all(len(found) == 1 for found in shapes):
        with suppress(CodesError):  # a whole volume may be larger than the training images
            space = autoencoder.space_of([min(found)[1:] for found in shapes])
    return autoencoder.layouts(space)


def _codes(column: pa.ChunkedArray, layout: CodeLayout, *, name: str) -> LevelCodes:
    if not _is_integers(column.type):
        raise CodesError(f"{name}: expected lists of integers, got {column.type}")
    lengths = pc.list_value_length(column).unique().to_pylist()
    if set(lengths) - {layout.codes_per_image}:
        got = ", ".join("none" if length is None else str(length) for length in lengths[:3])
        raise CodesError(f"{name}: expected {layout.codes_per_image} codes in each row, got {got}")
    values = pc.list_flatten(column)
    if values.null_count:
        raise CodesError(f"{name}: expected integers, got {values.null_count} that are missing")
    return torch.from_numpy(values.to_numpy().astype(np.int64)).view(len(column), *layout.shape)
