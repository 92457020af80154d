"""Plan what training does with its run folder: create it, continue the run in it, or replace its prior."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voxlex.config import Config
from voxlex.config.consistency import check_consistent, check_resumable
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import RunError
from voxlex.run_folder import RunFolder
from voxlex.workflows.replacement import replacing

Stage = Literal["autoencoder", "prior", "all"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a training, made before anything is changed.

    Attributes:
        folder: The run folder.
        goes_on: Whether the existing run is continued. Otherwise a new run is created.
        replaces: Whether something is replaced: the prior of a run that is continued, otherwise the whole run.
        autoencoder_share: Share of the minutes for the first stage; 0 to use the existing autoencoder.
        prior_share: Share of the minutes for the second stage; 0 to skip it.
    """

    folder: RunFolder
    goes_on: bool
    replaces: bool
    autoencoder_share: float
    prior_share: float

    def check_data(self, dataset: PreparedDataset) -> None:
        """Check that a run is continued with the same images, because others would be divided in another way.

        Raises:
            RunError: If the run was trained on other data.
        """
        before = self.folder.metadata().get("data") if self.goes_on else None
        if before and before["fingerprint"] != dataset.fingerprint:
            raise RunError(
                f"{self.folder.path}: was trained on other data: expected {before['name']} with fingerprint "
                f"{before['fingerprint']}, got {dataset.fingerprint}"
            )

    def carried_out(self, config: Config) -> AbstractContextManager[None]:
        """Make or change the folder, as far as that comes before the training that is the block; see `replacing`."""
        return replacing(self.folder, config, goes_on=self.goes_on, without_prior=self.goes_on and self.replaces)


def plan_training(out: Path, *, config: Config, stage: Stage, resume: bool, overwrite: bool) -> Plan:
    """Plan what to do with a run folder, without changing anything.

    Args:
        out: The run folder, which may not exist yet.
        config: The whole experiment.
        stage: The stage to train; "prior" continues a run that has an autoencoder.
        resume: Continue the run where it stopped, if it exists.
        overwrite: Replace an existing run, or, for the stage "prior", the prior of the run.

    Raises:
        ConfigError: If the settings do not fit together, or differ from those of the run that is continued.
        RunError: If the folder exists and must not be overwritten, or the run to continue does not exist.
    """
    check_consistent(config)
    folder = RunFolder(out)
    if stage == "prior" and not folder.autoencoder_file.exists():
        raise RunError(f"{out}: expected a run with a trained autoencoder, got none; train the autoencoder first")
    only_prior = stage == "prior"
    goes_on = (resume or only_prior) and not folder.is_unbegun()
    if goes_on:
        replaces = only_prior and overwrite
        keeps_prior = folder.has_prior() and not replaces
        check_resumable(RunFolder.open(out).config(), config, where=out, keeps_prior=keeps_prior)
    else:
        replaces = overwrite
        folder.check_free(overwrite=overwrite)
    prior_share = {"all": config.training.prior_share, "autoencoder": 0.0, "prior": 1.0}[stage]
    return Plan(
        folder=folder,
        goes_on=goes_on,
        replaces=replaces,
        autoencoder_share=1 - prior_share,
        prior_share=prior_share,
    )
