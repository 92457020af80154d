"""What a prior learns from: the codes of images, of variations of them, and what is known of each image."""

import torch

from voxlex.data.dataset import PreparedDataset
from voxlex.models import VQVAE
from voxlex.models.batches import BATCH_SIZE, encode_dataset
from voxlex.priors import Conditions
from voxlex.priors.conditions import Condition
from voxlex.progress import silent as progress_bar
from voxlex.rows import images_at_once
from voxlex.training.augmentation import Augmentation
from voxlex.types import Codes


def prior_data(
    autoencoder: VQVAE,
    images: PreparedDataset,
    conditions: Conditions,
    *,
    augmentation: Augmentation | None = None,
    variations: int = 0,
) -> tuple[Codes, Condition]:
    """Encode images, on the CPU; with an augmentation, also some variations of each, known to be as their originals.

    A prior that sees each image in one version only begins to learn grids of codes by heart after a few passes; one
    that sees several goes on longer to learn what they have in common.
    """
    codes, known = encode_dataset(autoencoder, images), conditions.look_up(images.manifest)
    if augmentation is None:
        return codes, known
    at_once = images_at_once(images.images[0].size, BATCH_SIZE)
    batches = [rows for _ in range(variations) for rows in torch.arange(len(images)).split(at_once)]
    varied: list[Codes] = []
    with progress_bar("varying images for the prior") as progress:
        for done, rows in enumerate(batches):
            variation = done * variations // len(batches)
            varied.append(autoencoder.encode(augmentation(images.tensor(rows), rows, step=variation)).cpu())
            progress(done + 1, len(batches))
    return torch.cat([codes, *varied]), known.repeat(1 + variations, 1)
