"""Train a vocabulary: images to an autoencoder, its codes to a prior, both to a report."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from rich.console import Console

from voxlex.assembly import build_autoencoder, build_prior
from voxlex.codes import from_levels
from voxlex.config import AugmentConfig, Config, StageConfig, validated
from voxlex.config.consistency import check_consistent, check_resumable
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import ConfigError, RunError
from voxlex.models import VQVAE, Autoencoder
from voxlex.models.weights import save_weights
from voxlex.priors import Conditions
from voxlex.run_folder import RunFolder, versions
from voxlex.training.augmentation import Augmentation
from voxlex.training.budget import Budget
from voxlex.training.checkpoint import state_file
from voxlex.training.devices import automatic_precision, launch
from voxlex.training.loop import Schedule, fit
from voxlex.training.memory import estimate_step_memory
from voxlex.training.objectives import AutoencoderObjective, Objective, PriorObjective
from voxlex.training.patches import Patches
from voxlex.vocabulary import load
from voxlex.workflows.prior_data import prior_data
from voxlex.workflows.progress import progress_bar
from voxlex.workflows.report import write_run_report
from voxlex.workflows.source import open_for, skipped_lines

Stage = Literal["autoencoder", "prior", "all"]


def train(
    source: str,
    *,
    out: Path,
    config: Config,
    stage: Stage = "all",
    resume: bool = False,
    overwrite: bool = False,
) -> RunFolder:
    """Train a vocabulary on a source, into a run folder.

    Args:
        source: A folder of images, a prepared data set, or "phantom".
        out: The run folder.
        config: The whole experiment; with `resume` it must agree with the run's.
        stage: One stage, or both; "prior" goes on with a run that has an autoencoder.
        resume: Go on with the run where it stopped.
        overwrite: Replace a run folder that is there; for the stage "prior", the prior in it.

    Raises:
        VoxlexError: Whatever is wrong, named; `Interrupted` when asked to stop, after saving.
    """
    config = validated(config)
    check_consistent(config)
    accelerator, precision = config.training.accelerator, config.training.precision
    if precision == "auto":
        precision = automatic_precision(accelerator)
    fabric = launch(accelerator=accelerator, devices=config.training.devices, precision=precision)
    if stage == "prior" and not RunFolder(out).autoencoder_file.exists():
        raise RunError(f"{out}: there is no trained autoencoder here that a prior could be added to; train that first")
    resume = (resume or stage == "prior") and out.exists()
    anew = stage == "prior" and overwrite
    if resume:
        there = RunFolder(out).prior_file.exists() or state_file(out, PriorObjective.name).exists()
        check_resumable(RunFolder.open(out).config(), config, where=out, keeps_prior=there and not anew)
    elif fabric.is_global_zero:
        RunFolder(out).check_free(overwrite=overwrite)
    dataset = open_for(config, source, phases=progress_bar)
    for line in skipped_lines(dataset):
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(line)
    conditions = _conditions(config, dataset)
    if resume:
        _check_same_data(RunFolder(out), dataset)
    fabric.barrier()
    if fabric.is_global_zero and anew:
        _remove_prior(out)
    if fabric.is_global_zero and resume:
        RunFolder(out).write_config(config)
    elif fabric.is_global_zero:
        RunFolder.create(out, config, overwrite=overwrite)
    fabric.barrier()
    folder = RunFolder.open(out)
    run = _TrainingRun(
        folder=folder,
        config=config,
        dataset=dataset,
        conditions=conditions,
        fabric=fabric,
        precision=precision,
        resume=resume,
    )
    run.describe_data()
    share = {"all": 1 - config.training.prior_share, "autoencoder": 1.0, "prior": 0.0}[stage]
    autoencoder = run.autoencoder(share) if share else load(out).autoencoder
    if share < 1:
        run.prior(autoencoder, 1 - share)
    if fabric.is_global_zero:
        write_run_report(folder, dataset, phases=progress_bar)
    return folder


class _TrainingRun:
    """One call of `train`: its stages, on the same data and devices."""

    def __init__(
        self,
        *,
        folder: RunFolder,
        config: Config,
        dataset: PreparedDataset,
        conditions: Conditions,
        fabric: Fabric,
        precision: str,
        resume: bool,
    ) -> None:
        self.folder = folder
        self.config = config
        self.training = dataset.subset("train")
        self.validation = dataset.subset("validation")
        self.dataset = dataset
        self.fabric = fabric
        self.precision = precision
        self.resume = resume
        self.conditions = conditions

    def describe_data(self) -> None:
        """Note in the metadata what the run learns from."""
        splits = self.dataset.manifest["split"].value_counts()
        description = {
            "name": self.dataset.name,
            "fingerprint": self.dataset.fingerprint,
            "images": {str(split): int(count) for split, count in splits.items()},
            "subjects_known": bool((self.dataset.manifest["subject"] != "").any()),
            "skipped": len(self.dataset.skipped),
        }
        self._note({"data": description})

    def autoencoder(self, share: float) -> VQVAE:
        """Train the first stage with a share of the run's minutes."""
        torch.manual_seed(self.config.training.seed)
        autoencoder = build_autoencoder(self.config.model)
        stage = self.config.training.autoencoder
        autoencoder.checkpoint_activations = stage.checkpoint_activations
        objective = AutoencoderObjective(
            autoencoder=autoencoder,
            training=self.training,
            validation=self.validation,
            loss_weights=asdict(self.config.losses),
            continuous_share=stage.continuous_share,
            patches=self._patches(),
            augmentation=self._augmentation(stage.augment),
        )
        self._announce_memory(autoencoder)
        before = self.folder.metadata().get("stages", {}).get(objective.name)
        self._fit(objective, stage, share, self.folder.autoencoder_file)
        if before and self.fabric.is_global_zero and before["steps"] != self._steps(objective.name):
            # The codes mean something else now: a prior over the old ones would draw nonsense.
            _remove_prior(self.folder.path)
        return autoencoder

    def _patches(self) -> Patches | None:
        stage = self.config.training.autoencoder
        if stage.patch_size is None:
            return None
        return Patches(
            self.training,
            size=stage.patch_size,
            foreground_share=stage.foreground_share,
            seed=self.config.training.seed,
        )

    def _augmentation(self, augment: AugmentConfig) -> Augmentation | None:
        return Augmentation(**asdict(augment), seed=self.config.training.seed) if augment.active else None

    def _announce_memory(self, autoencoder: VQVAE) -> None:
        """Say before a long run what it will need, where that may be much: of volumes and patches."""
        stage, dims = self.config.training.autoencoder, autoencoder.spatial_dims
        if not self.fabric.is_global_zero or (dims == 2 and stage.patch_size is None):
            return
        space = (stage.patch_size or self.config.data.size,) * dims
        memory = estimate_step_memory(
            autoencoder,
            space=space,
            batch_size=stage.batch_size,
            autocast=torch.bfloat16 if self.precision == "bf16-mixed" else None,
        )
        shape = "×".join(map(str, space))
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"memory: a step of {stage.batch_size} × {shape} will take about {memory.total / 1e9:.2f} GB"
        )

    def _steps(self, stage: str) -> int:
        return self.folder.metadata()["stages"][stage]["steps"]

    def prior(self, autoencoder: Autoencoder, share: float) -> None:
        """Train the second stage on the codes of the first, with a share of the run's minutes."""
        autoencoder = autoencoder.eval().to(self.fabric.device)
        stage = self.config.training.prior
        training = prior_data(
            autoencoder,
            self.training,
            self.conditions,
            augmentation=self._augmentation(stage.augment) if stage.variations else None,
            variations=stage.variations,
        )
        validation = prior_data(autoencoder, self.validation, self.conditions)
        torch.manual_seed(self.config.training.seed)
        prior = build_prior(
            self.config.prior,
            layouts=autoencoder.layouts(self.training.images.shape[2:]),
            conditions=self.conditions,
        )
        prior.start(training[0], from_levels([quantizer.codewords() for quantizer in autoencoder.quantizers]))
        self._note({"conditions": self.conditions.describe()})
        objective = PriorObjective(prior=prior, training=training, validation=validation)
        self._fit(objective, stage, share, self.folder.prior_file)

    def _fit(self, objective: Objective, stage: StageConfig, share: float, weights: Path) -> None:
        training = self.config.training
        budget = Budget(steps=training.steps) if training.steps else Budget(minutes=(training.minutes or 0) * share)
        fitted = fit(
            objective,
            fabric=self.fabric,
            budget=budget,
            schedule=Schedule(**{item.name: getattr(stage, item.name) for item in fields(StageConfig)}),
            seed=training.seed,
            folder=self.folder.path,
            resume=self.resume,
        )
        if not self.fabric.is_global_zero:
            return
        save_weights(weights, objective.module, about={"voxlex": versions()["voxlex"], "stage": objective.name})
        facts = {
            "steps": fitted.step,
            "kept_step": fitted.kept_step,
            "minutes": round(fitted.elapsed_s / 60, 2),
            "parameters": sum(parameter.numel() for parameter in objective.module.parameters()),
            "device": str(self.fabric.device),
            "precision": self.precision,
        }
        self._note({"stages": self.folder.metadata().get("stages", {}) | {objective.name: facts}})

    def _note(self, additions: Mapping[str, Any]) -> None:
        if self.fabric.is_global_zero:
            self.folder.update_metadata(additions)


def _check_same_data(folder: RunFolder, dataset: PreparedDataset) -> None:
    before = folder.metadata().get("data")
    if before and before["fingerprint"] != dataset.fingerprint:
        raise RunError(
            f"{folder.path}: was trained on other data: {before['name']} with fingerprint "
            f"{before['fingerprint']}, not {dataset.fingerprint}"
        )


def _remove_prior(run: Path) -> None:
    RunFolder(run).prior_file.unlink(missing_ok=True)
    state_file(run, PriorObjective.name).unlink(missing_ok=True)


def _conditions(config: Config, dataset: PreparedDataset) -> Conditions:
    """What the prior can be asked for, from what the training images are known to be."""
    try:
        return Conditions.of(dataset.subset("train").manifest, config.prior.condition_columns)
    except ValueError as cause:
        raise ConfigError(f"prior.condition_columns: {cause}") from cause
