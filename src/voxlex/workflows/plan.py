"""Plan what training does with its run folder: create it, continue the run in it, or replace one of its stages."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voxlex.config import Config
from voxlex.config.consistency import check_consistent, check_resumable
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import RunError
from voxlex.run_folder import AUTOENCODER, PRIOR, TEXTURE, RunFolder
from voxlex.workflows.replacement import replacing

Stage = Literal["autoencoder", "texture", "prior", "all"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a training, made before anything is changed.

    Attributes:
        folder: The run folder.
        goes_on: Whether the existing run is continued. Otherwise a new run is created.
        replaces: The stage of a run that is continued which is replaced; None if none is.
        autoencoder_share: Share of the minutes for the autoencoder; 0 to use the existing one.
        texture_share: Share of the minutes for the textured decoder; 0 to skip it.
        prior_share: Share of the minutes for the prior; 0 to skip it.
    """

    folder: RunFolder
    goes_on: bool
    replaces: str | None
    autoencoder_share: float
    texture_share: float
    prior_share: float

    @property
    def begins_anything(self) -> bool:
        """Whether an autoencoder or a prior is trained of which nothing is there yet."""
        shares = {AUTOENCODER: self.autoencoder_share, PRIOR: self.prior_share}
        trained = [stage for stage, share in shares.items() if share]
        kept = [stage for stage in trained if self.goes_on and stage != self.replaces]
        return any(stage not in kept or not any(map(Path.exists, self.folder.files_of(stage))) for stage in trained)

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
        return replacing(self.folder, config, goes_on=self.goes_on, without=self.replaces)


def plan_training(out: Path, *, config: Config, stage: Stage, resume: bool, overwrite: bool) -> Plan:
    """Plan what to do with a run folder, without changing anything.

    Args:
        out: The run folder, which may not exist yet.
        config: The whole experiment.
        stage: The stage to train; "texture" and "prior" continue a run that has an autoencoder.
        resume: Continue the run where it stopped, if it exists.
        overwrite: Replace an existing run, or, for the stages "texture" and "prior", this stage of the run.

    Raises:
        ConfigError: If the settings do not fit together, or differ from those of the run that is continued.
        RunError: If the folder exists and must not be overwritten, or the run to continue does not exist.
    """
    check_consistent(config)
    folder = RunFolder(out)
    later = stage if stage in (TEXTURE, PRIOR) else None
    if later and not folder.autoencoder_file.exists():
        raise RunError(f"{out}: expected a run with a trained autoencoder, got none; train the autoencoder first")
    goes_on = (resume or later is not None) and not folder.is_unbegun()
    replaces = later if goes_on and overwrite else None
    if goes_on:
        keeps_prior = folder.has_prior() and replaces != PRIOR
        check_resumable(RunFolder.open(out).config(), config, where=out, keeps_prior=keeps_prior)
    else:
        folder.check_free(overwrite=overwrite)
    training = config.training
    shares = {AUTOENCODER: 0.0, TEXTURE: 0.0, PRIOR: 0.0} | {stage: 1.0}
    if stage == "all":
        shares = {TEXTURE: training.texture_share, PRIOR: training.prior_share}
        shares[AUTOENCODER] = 1 - sum(shares.values())
    return Plan(
        folder=folder,
        goes_on=goes_on,
        replaces=replaces,
        autoencoder_share=shares[AUTOENCODER],
        texture_share=shares[TEXTURE],
        prior_share=shares[PRIOR],
    )
