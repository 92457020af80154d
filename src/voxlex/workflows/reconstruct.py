"""Encode and decode scans, and write the results."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from voxlex.config import Decoding
from voxlex.data.dataset import PreparedDataset
from voxlex.models.batches import reconstruct_in_batches
from voxlex.pages.pictures import quality_captions, reconstruction_sheet
from voxlex.progress import Phases, silent
from voxlex.rows import evenly_spaced
from voxlex.vocabulary import Vocabulary
from voxlex.workers import HERE, Workers
from voxlex.workflows.results import Written, output_folder
from voxlex.workflows.scan_writer import ScanWriter

SHEET = "reconstructions.png"
SHOWN = 12


def reconstruct(
    vocabulary: Vocabulary,
    dataset: PreparedDataset,
    *,
    out: Path,
    inputs: bool = False,
    decoding: Decoding = "faithful",
    seed: int = 0,
    overwrite: bool = False,
    workers: Workers = HERE,
    phases: Phases = silent,
) -> Written:
    """Write the reconstruction of every scan, and a sheet of originals, reconstructions and differences.

    Pictures are written as `<relative name>.png`, in the size of the model and with their own grey values. Volumes are
    written as `<relative name>.nii.gz`, on their own grid and in their own units.

    Args:
        vocabulary: A trained vocabulary.
        dataset: Images in the size of the vocabulary. To write a volume, it must contain every slice.
        out: Folder for the scans and the sheet.
        inputs: Also write each scan as the model sees it, as `<relative name>.input.png` or `.input.nii.gz`.
        decoding: How codes become images; see `Vocabulary.decode`.
        seed: Seed of the texture.
        overwrite: Write into a folder that is not empty.
        workers: Who encodes and decodes.
        phases: Receives the progress of the work.

    Returns:
        The number of scans, and notes about their names.

    Raises:
        DataError: If the folder cannot be used or written.
        RunError: If the run has no textured decoder, and one is asked for.
    """
    vocabulary.check_decoding(decoding)
    decode = partial(vocabulary.decode, decoding=decoding, seed=seed)
    out = output_folder(out, overwrite=overwrite)
    writer = ScanWriter(out, dataset.manifest, endings=("", ".input") if inputs else ("",))
    shown = _rows_to_show(dataset)
    pairs: list[tuple[Tensor, Tensor]] = []
    done = 0
    with phases("reconstructing") as progress:
        for x, _, x_hat in reconstruct_in_batches(vocabulary, dataset, decode=decode, workers=workers):
            for original, reconstruction in zip(x, x_hat, strict=True):
                writer.add(*((reconstruction, original) if inputs else (reconstruction,)))
                if done in shown:
                    pairs.append((original, reconstruction))
                done += 1
            progress(done, len(dataset))
    originals, reconstructions = (torch.stack(side) for side in zip(*pairs, strict=True))
    captions = quality_captions(originals, reconstructions, [writer.image_names[row] for row in shown])
    reconstruction_sheet(out / SHEET, originals, reconstructions, captions=captions)
    return writer.report()


def _rows_to_show(dataset: PreparedDataset) -> list[int]:
    """Return evenly spaced rows among those that are not empty; a whole volume begins and ends with empty slices."""
    rows = [row for row in range(len(dataset)) if dataset.images[row].any()] or list(range(len(dataset)))
    return [rows[place] for place in evenly_spaced(len(rows), SHOWN)]
