"""What a training does with the folder it is to write into: a new run, the same one from there on, or another prior."""

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
    """What is to be done, decided before anything is changed.

    Attributes:
        folder: The run folder.
        goes_on: With the run that is there; else a run is made.
        replaces: What is there: the whole run, or, if it goes on, the prior in it.
        autoencoder_share: Share of the minutes for the first stage; 0 to take the autoencoder that is there.
        prior_share: Share of the minutes for the second stage; 0 to leave it out.
    """

    folder: RunFolder
    goes_on: bool
    replaces: bool
    autoencoder_share: float
    prior_share: float

    def check_data(self, dataset: PreparedDataset) -> None:
        """Refuse to go on with other images: they would be divided in another way.

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
    """Decide what to do with a folder; nothing is changed yet.

    Args:
        out: The run folder, there or not.
        config: The whole experiment.
        stage: What is to be trained; "prior" goes on with a run that has an autoencoder.
        resume: Go on with the run where it stopped, if it is there.
        overwrite: Replace the run that is there; for the stage "prior", the prior in it.

    Raises:
        ConfigError: If the settings do not fit together, or are not those of the run to go on with.
        RunError: If something is in the way, or what is to go on is not there.
    """
    check_consistent(config)
    folder = RunFolder(out)
    if stage == "prior" and not folder.autoencoder_file.exists():
        raise RunError(f"{out}: there is no trained autoencoder here that a prior could be added to; train that first")
    only_prior = stage == "prior"
    goes_on = (resume or only_prior) and out.exists()
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
