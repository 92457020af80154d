"""Store images as codes in a table, and read them back."""

import hashlib
from math import prod
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from voxlex.data.dataset import PreparedDataset
from voxlex.errors import CodesError
from voxlex.files import atomic_file
from voxlex.images.origin import ORIGIN_COLUMNS, ORIGIN_DEFAULTS
from voxlex.models.batches import BATCH_SIZE, encode_dataset
from voxlex.progress import silent as progress_bar
from voxlex.rows import images_at_once
from voxlex.tables.manifest import INDEX_COLUMNS
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.outputs import check_output_folder, output_folder
from voxlex.workflows.scan_writer import ScanWriter

_KEPT = (*(column for column in INDEX_COLUMNS if column != "group"), *ORIGIN_COLUMNS)
_NEEDED = {"path", "slice", *ORIGIN_COLUMNS} - set(ORIGIN_DEFAULTS)
_DECODER_KEY = b"voxlex.decoder"


def encode(vocabulary: Vocabulary, dataset: PreparedDataset, *, out: Path, overwrite: bool = False) -> int:
    """Write the codes of every image to a Parquet file, one row an image.

    Columns: `path`; `codes`, flat in the order (q, *grid); `shape`, the lengths of those axes; `ORIGIN_COLUMNS`, the
    way back to the scan's own grid and grey values; and what the manifest knows of subject, slice and label.

    Returns:
        The number of images.

    Raises:
        CodesError: If the file is not called Parquet, or exists and is not to be overwritten.
    """
    if out.suffix.lower() != ".parquet":
        raise CodesError(f"{out}: expected a name that ends in .parquet")
    if out.exists() and not overwrite:
        raise CodesError(f"{out}: exists already; choose another file, or replace it with --overwrite")
    codes = encode_dataset(vocabulary, dataset)
    narrow = codes.flatten(1).numpy().astype(np.min_scalar_type(vocabulary.autoencoder.quantizer.num_embeddings - 1))
    table = pa.Table.from_pandas(dataset.manifest[list(_KEPT)], preserve_index=False)
    table = table.append_column("shape", pa.array([list(codes.shape[1:])] * len(codes)))
    table = table.append_column("codes", pa.array(list(narrow)))
    table = table.replace_schema_metadata({_DECODER_KEY: decoder_fingerprint(vocabulary).encode()})
    with atomic_file(out) as building:
        pq.write_table(table, building, compression="zstd")
    return len(codes)


def decode(
    vocabulary: Vocabulary, codes: Path, *, out: Path, original_size: bool = False, overwrite: bool = False
) -> int:
    """Write the scans that a file of codes stands for, in their own grey values.

    Args:
        vocabulary: The one that wrote the codes.
        codes: A file that `encode` wrote.
        out: Folder for `<relative name>.png`, and `<relative name>.nii.gz` for volumes, which come on their own grid.
        original_size: Resize each picture to the size it came in; otherwise it has the model's size.
        overwrite: Write into a folder that is not empty.

    Returns:
        The number of scans.

    Raises:
        CodesError: If the file cannot be read, or its codes do not belong to this vocabulary.
        DataError: If the folder is in the way or cannot be written, or a path in the file leads out of it.
    """
    table = _read(codes, vocabulary)
    grids = _grids(table, codes, vocabulary)
    rows = table.drop_columns(["codes", "shape"]).to_pandas()
    check_output_folder(out, overwrite=overwrite)
    writer = ScanWriter(out, rows, original_size=original_size)
    output_folder(out, overwrite=overwrite)
    at_once = images_at_once(prod(side * vocabulary.autoencoder.downsampling for side in grids.shape[2:]), BATCH_SIZE)
    with progress_bar("decoding") as progress:
        for start in range(0, len(grids), at_once):
            for image in vocabulary.decode(grids[start : start + at_once]).cpu():
                writer.add(image)
            progress(min(start + at_once, len(grids)), len(grids))
    return writer.written


def decoder_fingerprint(vocabulary: Vocabulary) -> str:
    """Return a hash of quantizer and decoder: codes mean something only beside what turns them into images.

    The codewords alone would not do: those of finite scalars and of signs are the same in every run.
    """
    digest = hashlib.sha256()
    for part in (vocabulary.autoencoder.quantizer, vocabulary.autoencoder.decoder):
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(path: Path, vocabulary: Vocabulary) -> pa.Table:
    if not path.is_file():
        raise CodesError(f"{path}: no such file of codes")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as cause:
        raise CodesError(f"{path}: cannot be read as Parquet: {' '.join(str(cause).split())}") from cause
    missing = {*_NEEDED, "codes", "shape"} - set(table.column_names)
    if missing:
        raise CodesError(f"{path}: not a file of codes: it lacks the columns {', '.join(sorted(missing))}")
    stamp = (table.schema.metadata or {}).get(_DECODER_KEY)
    if stamp is not None and stamp.decode() != decoder_fingerprint(vocabulary):
        raise CodesError(f"{path}: written by another run; decode it with the run that encoded it")
    return table


def _grids(table: pa.Table, path: Path, vocabulary: Vocabulary) -> torch.Tensor:
    expected = (vocabulary.autoencoder.quantizer.num_codebooks, *vocabulary.grid)
    shapes = {tuple(shape) for shape in table["shape"].to_pylist()}
    if vocabulary.autoencoder.spatial_dims == 3 and len(shapes) == 1 and len(min(shapes)) == len(expected):
        expected = (expected[0], *min(shapes)[1:])  # a whole volume may be larger than those that were learned from
    if shapes - {expected}:
        raise CodesError(f"{path}: expected codes of shape {expected}, found {sorted(shapes - {expected})[0]}")
    rows = [np.asarray(row, dtype=np.int64) for row in table["codes"].to_pylist()]
    if any(row.shape != (int(np.prod(expected)),) for row in rows):
        raise CodesError(f"{path}: the number of codes in a row does not fit its shape")
    grids = torch.from_numpy(np.stack(rows)).view(len(rows), *expected) if rows else torch.empty(0, *expected).long()
    vocabulary.autoencoder.quantizer.check_codes(grids)
    return grids
