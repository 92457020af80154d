"""Describe a run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxlex.config import Config
from voxlex.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A description of a run folder.

    Attributes:
        metadata: Versions, data, and the steps and the time of each stage.
        files: Size in bytes of each main file, by name; None for a file that does not exist yet.
        config: The settings of the run.
    """

    metadata: Mapping[str, Any]
    files: Mapping[str, int | None]
    config: Config


def info(path: Path) -> RunInfo:
    """Return a description of a run folder.

    Raises:
        RunError: If the folder is not a run, or is damaged.
    """
    folder = RunFolder.open(path)
    files = (folder.autoencoder_file, folder.prior_file, folder.report_file)
    sizes = {file.name: file.stat().st_size if file.exists() else None for file in files}
    return RunInfo(metadata=folder.metadata(), files=sizes, config=folder.config())
