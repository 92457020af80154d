"""Encode images and store their codes in a table."""

from collections.abc import Iterable
from pathlib import Path

from voxlex.code_table import write_code_batches
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import CodesError
from voxlex.models.batches import encode_in_batches
from voxlex.outputs import check_file
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers


def encode(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    out: Path,
    overwrite: bool = False,
    workers: Workers = HERE,
    phases: Phases = silent,
) -> int:
    """Write the codes of images to a Parquet file with one row for each image; see `voxlex.code_table`.

    Returns:
        The number of images.

    Raises:
        CodesError: If the file is not called Parquet.
        DataError: If it exists and is not to be overwritten.
    """
    check_code_file(out, overwrite=overwrite)
    with phases("encoding") as progress:
        codes = encode_in_batches(vocabulary, dataset, progress=progress, workers=workers)
        write_code_batches(out, codes, dataset.manifest, autoencoder=vocabulary.autoencoder)
    return len(dataset)


def check_code_file(out: Path, *, overwrite: bool, reads: Iterable[Path] = ()) -> None:
    """Refuse a place for codes before the work is done.

    Raises:
        CodesError: If the file is not called Parquet.
        DataError: If it exists and is not to be overwritten, or is what is read.
    """
    if out.suffix.lower() != ".parquet":
        raise CodesError(f"{out}: expected a name that ends in .parquet")
    check_file(out, overwrite=overwrite, reads=reads)
