"""The training data of a prior: codes of images and of their variations, with the condition of each image."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from voxlex.codes import concatenate, for_each_level, from_levels
from voxlex.config import Config
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import ConfigError
from voxlex.models import Autoencoder
from voxlex.models.batches import batch_rows
from voxlex.priors import Conditions
from voxlex.priors.conditions import Table
from voxlex.progress import Phases, Progress, part_of, silent
from voxlex.training.augmentation import Augmentation
from voxlex.training.objectives import CodeBatch
from voxlex.training.team import Team
from voxlex.types import Codes, Levels


def prior_data(
    autoencoder: Autoencoder,
    images: PreparedDataset,
    conditions: Conditions,
    *,
    augmentation: Augmentation | None = None,
    variations: int = 0,
    team: Team | None = None,
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
        team: The processes that train. Each encodes some batches, which are the batches of one process, and gets the
            codes of all of them.
        phases: Receives the progress of encoding, in this process.

    Returns:
        The codes on the CPU: first those of the images in their order, then those of one variation of each, and so on.
    """
    known = conditions.look_up(images.manifest)
    every = torch.arange(len(images))

    def encoded(rows: slice) -> Codes | Levels:
        return autoencoder.encode(images.tensor(rows))

    with phases("encoding for the prior") as progress:
        found = [_of_all(encoded, autoencoder, images, team, progress)]
    if augmentation is None:
        return CodeBatch(found[0], known)
    with phases("varying images for the prior") as progress:
        for variation in range(variations):

            def varied(rows: slice, variation: int = variation) -> Codes | Levels:
                x = images.tensor(rows).to(autoencoder.device)
                return autoencoder.encode(augmentation(x, every[rows], step=variation))

            own = part_of(progress, variation, 1, variations)
            found.append(_of_all(varied, autoencoder, images, team, own))
    return CodeBatch(concatenate(found), known.repeat(1 + variations, 1))


def _of_all(
    encode: Callable[[slice], Codes | Levels],
    autoencoder: Autoencoder,
    images: PreparedDataset,
    team: Team | None,
    progress: Progress | None,
) -> Codes | Levels:
    """Return what is encoded of all images, on the CPU, of which each process encodes some batches."""
    parts = list(batch_rows(images))
    own = parts if team is None else parts[team.own(len(parts))]
    found = []
    with nullcontext() if team is None else team.working("encoding"):
        for done, rows in enumerate(own, start=1):
            found.append(for_each_level(Tensor.cpu, encode(rows)))
            if team is not None:
                team.gets_on()
            if progress is not None:
                progress(done, len(own))
        if team is None or team.alone:
            return concatenate(found)
        # All processes must give as many rows, so what is missing in the last ones is filled up.
        each = parts[0].stop * -(-len(parts) // team.size)
        layouts = autoencoder.layouts(images.images.shape[2:])
        full = concatenate([*found, from_levels([torch.zeros(each, *layout.shape).long() for layout in layouts])])
        return for_each_level(lambda level: team.joined(level[:each])[: len(images)], full)


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
