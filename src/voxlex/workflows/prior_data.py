"""The training data of a prior: codes of images and of their variations, with the condition of each image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from voxlex.codes import concatenate, for_each_level
from voxlex.config import Config
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import ConfigError
from voxlex.models import Autoencoder
from voxlex.models.batches import BATCH_SIZE, encode_dataset
from voxlex.priors import Conditions
from voxlex.priors.conditions import Table
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
    """Encode images, and with an augmentation also variations of each image, which get the same conditions.

    A prior that sees only one version of each image starts to memorise codes after a few passes. With several versions
    it generalises for longer.

    Args:
        autoencoder: The autoencoder that encodes the images.
        images: The images, with a table of what is known about them.
        conditions: The conditions of the prior, which are looked up in this table.
        augmentation: The augmentation that varies images; None for no variations.
        variations: Number of variations of each image.
        phases: Receives the progress of encoding the variations.

    Returns:
        The codes on the CPU: first those of the images in their order, then those of one variation of each, and so on.
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
                varied = augmentation(images.tensor(part).to(autoencoder.device), every[part], step=variation)
                found.append(for_each_level(Tensor.cpu, autoencoder.encode(varied)))
                progress(variation * len(parts) + done, variations * len(parts))
    return CodeBatch(concatenate(found), known.repeat(1 + variations, 1))


def conditions_of(config: Config, dataset: PreparedDataset) -> Conditions:
    """Return the conditions of the prior, from the table of the training images.

    Raises:
        ConfigError: If a column is missing, or cannot be used.
        DataError: If there are no training images.
    """
    return conditions_in(dataset.subset("train").manifest, config.prior.condition_columns)


def conditions_in(table: Table, names: Sequence[str]) -> Conditions:
    """Return the conditions of a prior, from columns of a table.

    Raises:
        ConfigError: If a column is missing, names persons or files, or cannot be used.
    """
    personal = {"path", "subject", "group"} & set(names)
    if personal:
        raise ConfigError(
            f"prior.condition_columns: expected columns that do not name persons or files, got {min(personal)!r}; the "
            "values of conditions are kept beside the weights"
        )
    try:
        return Conditions.of(table, names)
    except ValueError as cause:
        raise ConfigError(f"prior.condition_columns: {cause}") from cause
