"""The table of codes: a Parquet file with one row for each image, and all that the way back to its scan needs.

Columns: `path`; `codes`, flat in the order (q, *grid); `shape`, the lengths of those axes; `ORIGIN_COLUMNS`, the way
back to the scan's own grid and grey values; and what the manifest knows of subject, slice and label. Codes of several
levels stand in `codes_0`, `codes_1` and so on, coarsest first, each with its own `shape_0`, `shape_1` and so on.

The file also carries a fingerprint of the decoder, so that codes are not decoded by another one.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from voxlex.codes import CodeLayout, from_levels, levels_of
from voxlex.errors import CodesError, naming
from voxlex.files import atomic_file
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS
from voxlex.models import Autoencoder
from voxlex.tables.manifest import INDEX_COLUMNS
from voxlex.types import Codes, LevelCodes, Levels

_KEPT = (*(column for column in INDEX_COLUMNS if column != "group"), *ORIGIN_COLUMNS)
_NEEDED = {"path", "slice", *ORIGIN_COLUMNS} - set(ORIGIN_DEFAULTS)
_DECODER_KEY = b"voxlex.decoder"


@dataclass(frozen=True)
class CodeTable:
    """What a file of codes holds.

    Attributes:
        codes: The codes of every image, on the CPU.
        rows: One row for each image: where it came from, and the way back to its scan.
    """

    codes: Codes | Levels
    rows: pd.DataFrame


def write_code_table(path: Path, codes: Codes | Levels, manifest: pd.DataFrame, *, autoencoder: Autoencoder) -> None:
    """Write the codes of images as a table.

    Args:
        path: The file.
        codes: As `autoencoder` gives them, on the CPU.
        manifest: The table of a prepared data set, with one row for each image.
        autoencoder: The one that encoded the images.

    Raises:
        DataError: If the file cannot be written.
    """
    table = pa.Table.from_pandas(manifest[list(_KEPT)], preserve_index=False)
    levels = levels_of(codes)
    for (codes_name, shape_name), level, quantizer in zip(
        _column_names(len(levels)), levels, autoencoder.quantizers, strict=True
    ):
        narrow = level.flatten(1).numpy().astype(np.min_scalar_type(quantizer.num_embeddings - 1))
        table = table.append_column(shape_name, pa.array([list(level.shape[1:])] * len(level)))
        table = table.append_column(codes_name, pa.array(list(narrow)))
    table = table.replace_schema_metadata({_DECODER_KEY: decoder_fingerprint(autoencoder).encode()})
    with atomic_file(path) as building:
        pq.write_table(table, building, compression="zstd")


def read_code_table(path: Path, *, autoencoder: Autoencoder, space: Sequence[int]) -> CodeTable:
    """Read a table of codes.

    Args:
        path: The file.
        autoencoder: The one that shall decode the codes.
        space: Sides of the images that it was trained on; volumes may have others.

    Raises:
        CodesError: If the file cannot be read, was written with another decoder, or holds codes that do not fit.
    """
    if not path.is_file():
        raise CodesError(f"{path}: no such file of codes")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as cause:
        raise CodesError(f"{path}: cannot be read as Parquet: {' '.join(str(cause).split())}") from cause
    names = _column_names(len(autoencoder.quantizers))
    of_codes = [name for pair in names for name in pair]
    missing = {*_NEEDED, *of_codes} - set(table.column_names)
    if missing:
        raise CodesError(f"{path}: not a file of codes: it lacks the columns {', '.join(sorted(missing))}")
    stamp = (table.schema.metadata or {}).get(_DECODER_KEY)
    if stamp is not None and stamp.decode() != decoder_fingerprint(autoencoder):
        raise CodesError(f"{path}: written by another run; decode it with the run that encoded it")
    shapes = [_shapes(table[shape_name]) for _, shape_name in names]
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
    """Return a hash of quantizers and decoder: codes mean something only beside what turns them into images.

    The codewords alone would not do: those of finite scalars and of signs are the same in every run.
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


def _shapes(column: pa.ChunkedArray) -> set[tuple[int, ...]]:
    return {tuple(shape or ()) for shape in column.to_pylist()}


def _layouts(
    shapes: Sequence[set[tuple[int, ...]]], autoencoder: Autoencoder, space: Sequence[int]
) -> tuple[CodeLayout, ...]:
    """Return the layouts that codes of these shapes should have."""
    if autoencoder.spatial_dims == 3 and all(len(found) == 1 for found in shapes):
        with suppress(CodesError):  # a whole volume may be larger than those that were learned from
            space = autoencoder.space_of([min(found)[1:] for found in shapes])
    return autoencoder.layouts(space)


def _codes(column: pa.ChunkedArray, layout: CodeLayout, *, name: str) -> LevelCodes:
    values = pc.list_flatten(column)
    lengths = pc.list_value_length(column).unique().to_pylist()
    if set(lengths) - {layout.codes_per_image}:
        raise CodesError(f"{name}: expected {layout.codes_per_image} codes in each row, as its shape says")
    if not pa.types.is_integer(values.type) or values.null_count:
        raise CodesError(f"{name}: expected integers, got {values.type} with {values.null_count} missing")
    return torch.from_numpy(values.to_numpy().astype(np.int64)).view(len(column), *layout.shape)
