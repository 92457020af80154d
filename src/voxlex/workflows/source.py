"""Open a source the way a trained vocabulary needs it."""

from voxlex.data.prepared import PreparedDataset
from voxlex.data.sources import open_source
from voxlex.vocabulary import Vocabulary
from voxlex.workflows.progress import progress_bar


def open_for(vocabulary: Vocabulary, source: str) -> PreparedDataset:
    """Return the images of a source at the vocabulary's size, divided as they were for its training.

    Raises:
        DataError: If the source cannot be used.
    """
    config = vocabulary.config
    with progress_bar("preparing") as progress:
        return open_source(
            source, size=config.data.size, seed=config.training.seed, phantom=config.data.phantom, progress=progress
        )
