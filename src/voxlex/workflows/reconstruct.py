"""Reconstruct images: what the vocabulary makes of them, as files."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from voxlex.data.prepared import PreparedDataset
from voxlex.data.selection import evenly_spaced
from voxlex.evaluation.pictures import quality_captions, reconstruction_sheet
from voxlex.evaluation.reconstruction import reconstruct_in_batches
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.outputs import image_suffix, intensity_maps, output_folder, relative_names, write_image
from voxlex.workflows.progress import progress_bar

SHEET = "reconstructions.png"
SHOWN = 12


def reconstruct(
    vocabulary: Vocabulary, dataset: PreparedDataset, *, out: Path, inputs: bool = False, overwrite: bool = False
) -> int:
    """Write the reconstruction of every image, and a sheet of originals, reconstructions and differences.

    Args:
        vocabulary: A trained vocabulary.
        dataset: Images at the vocabulary's size.
        out: Folder for `<relative name>.png` (of volumes `.nii.gz`), at the model's size and in the image's own grey
            values, and the sheet.
        inputs: Also write each image as the model saw it, `<relative name>.input.png`.
        overwrite: Write into a folder that is not empty.

    Returns:
        The number of images.

    Raises:
        DataError: If the folder is in the way or cannot be written.
    """
    out = output_folder(out, overwrite=overwrite)
    names = relative_names(list(dataset.manifest["path"]))
    intensities = intensity_maps(dataset.manifest)
    shown = set(evenly_spaced(len(dataset), SHOWN))
    pairs: list[tuple[Tensor, Tensor]] = []
    done = 0
    suffix = image_suffix(vocabulary.autoencoder.spatial_dims)
    write = partial(write_image, spacing_mm=vocabulary.config.data.spacing_mm)
    with progress_bar("reconstructing") as progress:
        for x, _, x_hat in reconstruct_in_batches(vocabulary.autoencoder, dataset):
            for original, reconstruction in zip(x, x_hat, strict=True):
                write(out / f"{names[done]}{suffix}", reconstruction, intensities[done])
                if inputs:
                    write(out / f"{names[done]}.input{suffix}", original, intensities[done])
                if done in shown:
                    pairs.append((original, reconstruction))
                done += 1
            progress(done, len(dataset))
    originals, reconstructions = (torch.stack(side) for side in zip(*pairs, strict=True))
    captions = quality_captions(originals, reconstructions, [names[row] for row in sorted(shown)])
    reconstruction_sheet(out / SHEET, originals, reconstructions, captions=captions)
    return done
