"""Encode images and store their codes in a table."""

from pathlib import Path

from voxlex.code_table import write_code_table
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import CodesError
from voxlex.models.batches import encode_dataset
from voxlex.progress import Phases, silent
from voxlex.vocabulary import Vocabulary


def encode(
    vocabulary: Vocabulary, dataset: PreparedDataset, *, out: Path, overwrite: bool = False, phases: Phases = silent
) -> int:
    """Write the codes of images to a Parquet file with one row for each image; see `voxlex.code_table`.

    Returns:
        The number of images.

    Raises:
        CodesError: If the name of the file does not end in .parquet, or the file exists and `overwrite` is False.
    """
    if out.suffix.lower() != ".parquet":
        raise CodesError(f"{out}: expected a name that ends in .parquet, got {out.suffix!r}")
    if out.exists() and not overwrite:
        raise CodesError(f"{out}: exists already; choose another file, or replace it with --overwrite")
    with phases("encoding") as progress:
        codes = encode_dataset(vocabulary, dataset, progress=progress)
    write_code_table(out, codes, dataset.manifest, autoencoder=vocabulary.autoencoder)
    return len(dataset)
