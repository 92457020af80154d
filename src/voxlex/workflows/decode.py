"""Turn a file of codes back into scans."""

from math import prod
from pathlib import Path

from voxlex.code_table import read_code_table
from voxlex.codes import levels_of, take
from voxlex.config import Decoding
from voxlex.errors import naming
from voxlex.models.batches import BATCH_SIZE
from voxlex.outputs import check_folder
from voxlex.progress import Phases, silent
from voxlex.rows import batches
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.results import Written, output_folder
from voxlex.workflows.scan_writer import ScanWriter


def decode(
    vocabulary: Vocabulary,
    codes: Path,
    *,
    out: Path,
    original_size: bool = False,
    decoding: Decoding = "faithful",
    seed: int = 0,
    overwrite: bool = False,
    phases: Phases = silent,
) -> Written:
    """Decode a file of codes, and write the scans in their own grey values.

    Args:
        vocabulary: The vocabulary that wrote the codes.
        codes: A file that `encode` wrote.
        out: Folder for pictures, `<relative name>.png`, and for volumes on their own grid, `<relative name>.nii.gz`.
        original_size: Resize each picture to its original size. Otherwise it has the size of the model.
        decoding: How codes become images; see `Vocabulary.decode`.
        seed: Seed of the texture.
        overwrite: Write into a folder that is not empty.
        phases: Receives the progress of the work.

    Returns:
        The number of scans, and notes about their names.

    Raises:
        CodesError: If the file cannot be read, or its codes do not belong to this vocabulary.
        RunError: If the run has no textured decoder, and one is asked for.
        DataError: If the folder cannot be used or written, or a path in the file leads out of it.
    """
    vocabulary.check_decoding(decoding)
    autoencoder = vocabulary.autoencoder
    table = read_code_table(codes, autoencoder=autoencoder, space=vocabulary.space)
    check_folder(out, overwrite=overwrite, reads=[codes])
    with naming(codes):
        writer = ScanWriter(out, table.rows, original_size=original_size)
    output_folder(out, overwrite=overwrite)
    pixels = prod(autoencoder.space_of([level.shape[2:] for level in levels_of(table.codes)]))
    with phases("decoding") as progress:
        for rows in batches(len(table.rows), pixels_per_image=pixels, at_most=BATCH_SIZE):
            for image in vocabulary.decode(take(table.codes, rows), decoding=decoding, seed=seed).cpu():
                writer.add(image)
            progress(rows.stop, len(table.rows))
    return writer.report()
