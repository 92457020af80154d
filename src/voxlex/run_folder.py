"""The run folder, which contains all files of one experiment under fixed names."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NotRequired

from annotated_types import Ge
from typing_extensions import TypedDict  # pydantic does not take that of `typing` before Python 3.12

from voxlex import hub, shipped
from voxlex.config import Config, check_shape, dump_config, read_config
from voxlex.config.settings import NotNegative
from voxlex.errors import ConfigError, RunError, brief
from voxlex.files import atomic_file, is_building, locked, made, remove, sweep, write_json
from voxlex.locks import Held
from voxlex.outputs import RUN_METADATA, is_run
from voxlex.stores.fetching import at_hand

FORMAT_VERSION = 1

AUTOENCODER, TEXTURE, PRIOR = "autoencoder", "texture", "prior"
"""Names of the stages."""

CURVES = "events.out.tfevents.*"
"""What files in the folder of curves are called."""

ASIDE = ".replaced"
"""Folder in a run folder, for what a training replaces until it has saved something."""

_LOCK = ".lock"
_REMEDY = "restore it from a copy, or train anew with --overwrite"


class StageFacts(TypedDict):
    """What the metadata of a run must say of each finished stage."""

    steps: Annotated[int, Ge(0)]
    minutes: NotNegative
    kept_step: NotRequired[Annotated[int, Ge(0)]]


class Metadata(TypedDict, total=False):
    """The parts of the metadata of a run that are read, none of which an unfinished run must have."""

    versions: dict[str, str]
    data: dict[str, Any]
    stages: dict[str, StageFacts]
    conditions: list[dict[str, Any]]


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
        return self.path / RUN_METADATA

    @property
    def autoencoder_file(self) -> Path:
        """Weights of the autoencoder."""
        return self.path / f"{AUTOENCODER}.safetensors"

    @property
    def texture_file(self) -> Path:
        """Weights of the decoder that draws fine detail."""
        return self.path / f"{TEXTURE}.safetensors"

    @property
    def prior_file(self) -> Path:
        """Weights of the prior."""
        return self.path / f"{PRIOR}.safetensors"

    @property
    def tables_file(self) -> Path:
        """Probability tables of the codes, for archives."""
        return self.path / "tables.safetensors"

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

    def validations_file(self, stage: str) -> Path:
        """Return the pictures of held-out images that a stage writes after each validation."""
        return self.path / f"{stage}.validations.png"

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

    def files_of(self, stage: str) -> tuple[Path, ...]:
        """Return where the weights of a stage are, and what it would resume from; there or not."""
        return (self.path / f"{stage}.safetensors", self.state_file(stage))

    def files_of_stages(self) -> tuple[Path, ...]:
        """Return where weights and states are; there or not."""
        return tuple(file for stage in (AUTOENCODER, TEXTURE, PRIOR) for file in self.files_of(stage))

    def files(self) -> tuple[Path, ...]:
        """Return all that a run is made of, there or not: files, and the folder of curves."""
        pictures = (self.reconstructions_file, self.samples_file, self.report_file)
        seen = (self.validations_file(AUTOENCODER), self.validations_file(TEXTURE))
        measured = (self.tables_file, self.journal_file, self.curves_folder, *seen)
        others = (*measured, *pictures, self.config_file, self.metadata_file)
        return (*self.files_of_stages(), *others)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings out of the folder, which is made if need be, and is removed if it stays empty.

        A process that is killed gives its lock up. What it was writing is removed.

        Raises:
            RunError: If another process trains here, or the folder cannot be written.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path}: expected a place for a run folder, got a file")
        with ExitStack() as stack:
            try:
                stack.enter_context(made(self.path))
                stack.enter_context(locked(self.path / _LOCK))
            except Held as cause:
                raise RunError(f"{self.path}: {cause.holder} trains in this folder; wait for it, or stop it") from cause
            except OSError as cause:
                raise RunError(f"{self.path}: cannot be written: {cause.strerror or cause}") from cause
            sweep(self.path)
            yield

    @classmethod
    def create(cls, path: Path, config: Config) -> "RunFolder":
        """Make a new run folder.

        Raises:
            RunError: If the folder exists and must not be overwritten, or cannot be created.
        """
        run = cls(path)
        run.check_free(overwrite=False)
        run.begin(config)
        return run

    def begin(self, config: Config) -> None:
        """Write the two descriptions of a new run, in place of others; first the metadata, by which it is known.

        Raises:
            RunError: If the place cannot be written.
        """
        write_json(self.metadata_file, {"format_version": FORMAT_VERSION, "versions": versions()})
        self.write_config(config)

    def is_unbegun(self) -> bool:
        """Return whether nothing is here that a new run would replace: at most what a start left when it was killed."""
        if not self.path.exists():
            return True
        names = self._names()
        return not names or (names == {RUN_METADATA} and is_run(self.path))

    def is_damaged(self) -> bool:
        """Return whether this is a run whose metadata cannot be read, because of a power cut, say.

        Nothing else may be here than files of a run, and the metadata must be empty or cut short.
        """
        try:
            text = self.metadata_file.read_bytes().strip(b"\0 \n")
        except OSError:
            return False
        own = {file.name for file in self.files()} | {ASIDE}
        return not text.endswith((b"}", b"]")) and self._names() <= own

    def check_free(self, *, overwrite: bool) -> None:
        """Raise RunError if a run must not be created here, without changing anything."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path}: expected a place for a run folder, got a file")
        if self.is_unbegun():
            return
        if not overwrite:
            raise RunError(f"{self.path}: exists already; continue it with --resume, or replace it with --overwrite")
        if not is_run(self.path) and not self.is_damaged():
            raise RunError(
                f"{self.path}: expected a run or an empty folder, got a folder with other files; choose another one"
            )

    def _names(self) -> set[str]:
        """Return what is in the folder, without the lock and what is being built."""
        return {path.name for path in self.path.iterdir() if path.name != _LOCK and not is_building(path)}

    @classmethod
    def located(cls, path: Path) -> "RunFolder":
        """Return the folder of a run, also of one that is given by a name or an address, without looking into it."""
        path = Path(at_hand(path))
        address = hub.address_of(path)
        return cls(shipped.located(path) if address is None else hub.downloaded(address))

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run folder, a vocabulary that comes with the package by its name, or a run at an address.

        Raises:
            ConfigError: If the run is at an address, and the extra is not installed.
            DataError: If its store refuses.
            RunError: If there is no such folder, it is not a run, is damaged, or comes from an incompatible version.
        """
        run = cls.located(path)
        path = run.path
        if not path.exists():
            known = ", ".join(shipped.names())
            raise RunError(
                f"{path}: no such folder; expected the folder of a run, the name of a vocabulary ({known}), or "
                "hf://owner/name"
            )
        if not path.is_dir():
            raise RunError(f"{path}: expected a run folder, got a file")
        if not run.config_file.is_file():
            raise RunError(f"{path}: expected a run folder, got one without {run.config_file.name}")
        found = run.metadata().get("format_version")
        if found != FORMAT_VERSION:
            raise RunError(
                f"{path}: expected a run of format {FORMAT_VERSION}, got {brief(found)} from another version of voxlex"
            )
        return run

    def has_prior(self) -> bool:
        """Return whether there is a prior, whose training has finished or begun."""
        return self.prior_file.exists() or self.state_file(PRIOR).exists()

    def remove_stage(self, stage: str) -> None:
        """Remove the weights of a stage, and the state from which it would resume."""
        for file in self.files_of(stage):
            remove(file)

    def config(self) -> Config:
        """Read the configuration.

        Raises:
            ConfigError: If it cannot be read, is not valid, or is not complete.
        """
        return read_config(self.config_file, complete=True)

    def write_config(self, config: Config) -> None:
        """Write the configuration."""
        with atomic_file(self.config_file) as building:
            building.write_text(dump_config(config), encoding="utf-8")

    def metadata(self) -> dict[str, Any]:
        """Read the metadata.

        Raises:
            RunError: If it cannot be read, is empty or cut short, or is not the metadata of a run.
        """
        try:
            text = self.metadata_file.read_text(encoding="utf-8")
            if not text.strip("\0\n "):
                raise RunError(f"{self.metadata_file}: expected the description of a run, got an empty file; {_REMEDY}")
            content = json.loads(text)
            check_shape(Metadata, content, where=str(self.metadata_file))
        except ConfigError as cause:
            raise RunError(str(cause)) from cause
        except FileNotFoundError as cause:
            raise RunError(
                f"{self.metadata_file}: expected the description of a run, got no such file; an upload or a copy may "
                f"have stopped half-way: copy the whole run again, or train into another folder"
            ) from cause
        except OSError as cause:
            raise RunError(f"{self.metadata_file}: cannot be read: {cause.strerror or cause}") from cause
        except (ValueError, RecursionError) as cause:  # bytes that are not text, numbers without end, nested too deeply
            place = f": {cause}" if isinstance(cause, json.JSONDecodeError) else ""
            raise RunError(f"{self.metadata_file}: cannot be read as JSON{place}; {_REMEDY}") from cause
        return content

    def update_metadata(self, additions: Mapping[str, Any]) -> None:
        """Add entries to the metadata, or replace them."""
        before = self.metadata() if self.metadata_file.exists() else {}
        write_json(self.metadata_file, before | dict(additions))


def versions() -> dict[str, str]:
    """Return the versions of voxlex and of the libraries that most affect its results."""
    names = ("voxlex", "torch", "lightning-fabric", "torchmetrics", "numpy")
    return {name: metadata.version(name) for name in names}
