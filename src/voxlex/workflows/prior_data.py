"""What a prior learns from: the codes of images, of variations of them, and what is known of each image."""

import torch
from torch import Tensor

from voxlex.codes import concatenate, for_each_level
from voxlex.data.dataset import PreparedDataset
from voxlex.models import Autoencoder
from voxlex.models.batches import BATCH_SIZE, encode_dataset
from voxlex.priors import Conditions
from voxlex.progress import Phases, silent
from voxlex.rows import batches
from voxlex.training.augmentation import Augmentation
from voxlex.training.objectives import CodeBatch


def prior_data(
    autoencoder: Autoencoder,
    images: PreparedDataset,
    conditions: Conditions,
    *,
    augmentation: Augmentation | None = None,
    variations: int = 0,
    phases: Phases = silent,
) -> CodeBatch:
    """Encode images, on the CPU; with an augmentation, also some variations of each, known to be as their originals.

    A prior that sees each image in one version only begins to learn grids of codes by heart after a few passes; one
    that sees several goes on longer to learn what they have in common.

    Args:
        autoencoder: What encodes.
        images: The images, and what is known of each.
        conditions: What of that the prior can be asked for.
        augmentation: How images are varied; None to leave variations out.
        variations: How many of each image.
        phases: Told how far the work is.

    Returns:
        The images' codes first, in their order, then those of one variation of each, and so on.
    """
    known = conditions.look_up(images.manifest)
    with phases("encoding for the prior") as progress:
        codes = encode_dataset(autoencoder, images, progress=progress)
    if augmentation is None:
        return CodeBatch(codes, known)
    parts = list(batches(len(images), pixels_per_image=images.images[0].size, at_most=BATCH_SIZE))
    every, found = torch.arange(len(images)), [codes]
    with phases("varying images for the prior") as progress:
        for variation in range(variations):
            for done, part in enumerate(parts, start=1):
                varied = augmentation(images.tensor(part), every[part], step=variation)
                found.append(for_each_level(Tensor.cpu, autoencoder.encode(varied)))
                progress(variation * len(parts) + done, variations * len(parts))
    return CodeBatch(concatenate(found), known.repeat(1 + variations, 1))
