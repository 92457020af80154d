"""What a command says of scans that were left out."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voxlex.data.dataset import PreparedDataset


def show_skipped(dataset: "PreparedDataset") -> None:
    """Print which scans were left out of a data set, and why, on standard error."""
    from voxlex.workflows.source import skipped_lines

    for line in skipped_lines(dataset):
        print(line, file=sys.stderr)
