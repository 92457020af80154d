"""The run folder, which contains all files of one experiment under fixed names."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from voxlex.config import Config, dump_config, read_config
from voxlex.errors import RunError
from voxlex.files import atomic_file

FORMAT_VERSION = 1

AUTOENCODER, PRIOR = "autoencoder", "prior"
"""Names of the two stages."""


@dataclass(frozen=True)
class RunFolder:
    """The files of a run folder, with its two descriptions `config.yaml` and `metadata.json`."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The complete configuration."""
        return self.path / "config.yaml"

    @property
    def metadata_file(self) -> Path:
        """Versions, data, and the steps and the time of each stage."""
        return self.path / "metadata.json"

    @property
    def autoencoder_file(self) -> Path:
        """Weights of the first stage."""
        return self.path / f"{AUTOENCODER}.safetensors"

    @property
    def prior_file(self) -> Path:
        """Weights of the second stage."""
        return self.path / f"{PRIOR}.safetensors"

    @property
    def journal_file(self) -> Path:
        """Figures of the training, in the order in which they were measured."""
        return self.path / "metrics.csv"

    @property
    def curves_folder(self) -> Path:
        """Folder with the same figures for TensorBoard."""
        return self.path / "tensorboard"

    def state_file(self, stage: str) -> Path:
        """Return the file from which an unfinished stage resumes."""
        return self.path / f"{stage}.state.pt"

    @property
    def reconstructions_file(self) -> Path:
        """Held-out images beside their reconstructions."""
        return self.path / "reconstructions.png"

    @property
    def samples_file(self) -> Path:
        """New images."""
        return self.path / "samples.png"

    @property
    def report_file(self) -> Path:
        """The report of the run."""
        return self.path / "report.html"

    @classmethod
    def create(cls, path: Path, config: Config, *, overwrite: bool = False) -> "RunFolder":
        """Create a new run folder.

        Raises:
            RunError: If the folder exists and must not be overwritten, or cannot be created.
        """
        run = cls(path)
        run.check_free(overwrite=overwrite)
        shutil.rmtree(path, ignore_errors=True)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise RunError(f"{path}: cannot be created: {cause.strerror}") from cause
        run.write_config(config)
        run.update_metadata({"format_version": FORMAT_VERSION, "versions": versions()})
        return run

    def check_free(self, *, overwrite: bool) -> None:
        """Raise RunError if `create` would fail here, without changing anything."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path}: expected a place for a run folder, got a file")
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        if not overwrite:
            raise RunError(f"{self.path}: exists already; continue it with --resume, or replace it with --overwrite")
        if not self.config_file.exists():
            raise RunError(
                f"{self.path}: expected a run or an empty folder, got a folder with other files; choose another one"
            )

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run folder.

        Raises:
            RunError: If the folder is not a run, is damaged, or comes from an incompatible version.
        """
        run = cls(path)
        if not run.config_file.is_file():
            raise RunError(f"{path}: expected a run folder, got one without {run.config_file.name}")
        found = run.metadata().get("format_version")
        if found != FORMAT_VERSION:
            raise RunError(
                f"{path}: expected a run of format {FORMAT_VERSION}, got {found} from another version of voxlex"
            )
        return run

    def has_prior(self) -> bool:
        """Return whether there is a prior, whose training has finished or begun."""
        return self.prior_file.exists() or self.state_file(PRIOR).exists()

    def remove_prior(self) -> None:
        """Remove the prior, and the state from which it would resume."""
        self.prior_file.unlink(missing_ok=True)
        self.state_file(PRIOR).unlink(missing_ok=True)

    def config(self) -> Config:
        """Read the configuration."""
        return read_config(self.config_file)

    def write_config(self, config: Config) -> None:
        """Write the configuration."""
        with atomic_file(self.config_file) as building:
            building.write_text(dump_config(config), encoding="utf-8")

    def metadata(self) -> dict[str, Any]:
        """Read the metadata."""
        try:
            return json.loads(self.metadata_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as cause:
            raise RunError(f"{self.metadata_file}: cannot be read: {cause}") from cause

    def update_metadata(self, additions: Mapping[str, Any]) -> None:
        """Add entries to the metadata, or replace them."""
        before = self.metadata() if self.metadata_file.exists() else {}
        with atomic_file(self.metadata_file) as building:
            building.write_text(
                json.dumps(before | dict(additions), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )


def versions() -> dict[str, str]:
    """Return the versions of voxlex and of the libraries that most affect its results."""
    names = ("voxlex", "torch", "lightning-fabric", "torchmetrics", "numpy")
    return {name: metadata.version(name) for name in names}
