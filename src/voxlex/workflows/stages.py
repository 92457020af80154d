"""The stages of a training: the autoencoder and the textured decoder on images, and the prior on codes."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from voxlex.assembly import build_autoencoder, build_prior, build_texture
from voxlex.codes import from_levels
from voxlex.config import AugmentConfig, AutoencoderStageConfig, Config, StageConfig
from voxlex.data.dataset import PreparedDataset
from voxlex.errors import DataError
from voxlex.files import remove
from voxlex.models import Autoencoder
from voxlex.models.weights import load_weights, save_tensors
from voxlex.priors import Conditions, Prior
from voxlex.run_folder import PRIOR, TEXTURE, RunFolder, versions
from voxlex.training.augmentation import Augmentation
from voxlex.training.batch_size import StageT, number_of, sized
from voxlex.training.budget import Budget
from voxlex.training.display import Display
from voxlex.training.loop import Fitted, fit
from voxlex.training.memory import BYTES_PER_WEIGHT, estimate_step_memory, memory_of
from voxlex.training.objective import Objective
from voxlex.training.objectives import AutoencoderObjective, PriorObjective
from voxlex.training.patches import Patches
from voxlex.training.sharding import whole
from voxlex.training.team import Team
from voxlex.training.texture import TextureObjective
from voxlex.training.threads import ThreadChooser
from voxlex.workflows.opening import data_notes
from voxlex.workflows.pretrained import Pretrained
from voxlex.workflows.prior_data import prior_data


class Stages:
    """The stages of one training, on the same data and devices.

    Args:
        folder: The run folder.
        config: The whole experiment.
        dataset: All images, divided into splits.
        conditions: Conditions of the prior.
        team: The devices, and the processes that train on them.
        precision: Precision of the arithmetic.
        resume: Continue each stage where it stopped.
        pretrained: The run whose weights new stages begin with; None to begin with random weights.
        display: Display that shows the progress.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        config: Config,
        dataset: PreparedDataset,
        conditions: Conditions,
        team: Team,
        precision: str,
        resume: bool,
        pretrained: Pretrained | None,
        display: Display,
    ) -> None:
        self.folder = folder
        self.config = config
        self.dataset = dataset
        self.training = dataset.subset("train")
        self.validation = dataset.subset("validation")
        self.conditions = conditions
        self.team = team
        self.precision = precision
        self.resume = resume
        self.pretrained = pretrained
        self.display = display
        self._unsaid = data_notes(dataset)  # said before the first stage learns, when nothing is refused any more

    def describe_data(self) -> None:
        """Write a description of the data into the metadata of the run."""
        splits = self.dataset.manifest["split"].value_counts()
        description = {
            "name": self.dataset.name,
            "fingerprint": self.dataset.fingerprint,
            "images": {str(split): int(count) for split, count in splits.items()},
            "subjects_known": bool((self.dataset.manifest["subject"] != "").any()),
            "subject_unknown": int((self.dataset.manifest["subject"] == "").sum()),
            "skipped": len(self.dataset.skipped),
        }
        begun_with = {}
        if self.pretrained is not None:
            self.display.note(self.pretrained.said)
            begun_with["pretrained"] = self.pretrained.describe()
        self._note({"data": description} | begun_with)

    def autoencoder(self, share: float) -> Autoencoder:
        """Train the autoencoder with a share of the run's minutes."""
        torch.manual_seed(self.config.training.seed)
        autoencoder = build_autoencoder(self.config.model)
        if self.pretrained is not None:
            self.pretrained.start_autoencoder(autoencoder)
        stage = self._sized(self.config.training.autoencoder)
        autoencoder.checkpoint_activations = stage.checkpoint_activations
        objective = AutoencoderObjective(
            autoencoder=autoencoder,
            training=self.training,
            validation=self.validation,
            schedule=stage,
            loss_weights=asdict(self.config.losses),
            continuous_share=stage.continuous_share,
            patches=self._patches(),
            augmentation=self._augmentation(stage.augment),
        )
        self._announce_memory(autoencoder, stage)
        before = self._facts(objective.name)
        self._fit(objective, stage, share, self.folder.autoencoder_file)
        if before and self.team.first and before["steps"] != self._facts(objective.name)["steps"]:
            # The meaning of the codes has changed, so what was learned about the old codes would be nonsense.
            for later in (TEXTURE, PRIOR):
                self.folder.remove_stage(later)
        return autoencoder

    def trained_autoencoder(self) -> Autoencoder:
        """Load the autoencoder that the run has."""
        autoencoder = build_autoencoder(self.config.model)
        load_weights(self.folder.autoencoder_file, autoencoder)
        return autoencoder

    def texture(self, autoencoder: Autoencoder, share: float) -> None:
        """Train the textured decoder for the codes of the autoencoder, with a share of the run's minutes."""
        autoencoder = autoencoder.eval().to(self.team.fabric.device)
        torch.manual_seed(self.config.training.seed)
        stage = self._sized(self.config.training.texture)
        objective = TextureObjective(
            autoencoder=autoencoder,
            texture=build_texture(autoencoder).to(self.team.fabric.device),
            training=self.training,
            validation=self.validation,
            schedule=stage,
            loss_weights=asdict(self.config.losses),
            patches=self._patches(),
            augmentation=self._augmentation(self.config.training.autoencoder.augment),
        )
        self._fit(objective, stage, share, self.folder.texture_file)

    def prior(self, autoencoder: Autoencoder, share: float) -> None:
        """Train the prior on the codes of the autoencoder, with a share of the run's minutes."""
        autoencoder = autoencoder.eval().to(self.team.fabric.device)
        stage = self._sized(self.config.training.prior)
        training = prior_data(
            autoencoder,
            self.training,
            self.conditions,
            augmentation=self._augmentation(stage.augment) if stage.variations else None,
            variations=stage.variations,
            team=self.team,
            phases=self.display.phase,
        )
        validation = prior_data(
            autoencoder, self.validation, self.conditions, team=self.team, phases=self.display.phase
        )
        torch.manual_seed(self.config.training.seed)
        prior = build_prior(
            self.config.prior,
            layouts=autoencoder.layouts(self.training.images.shape[2:]),
            conditions=self.conditions,
        )
        prior.start(training.codes, from_levels([quantizer.codewords() for quantizer in autoencoder.quantizers]))
        if self.pretrained is not None:
            self.pretrained.start_prior(prior, self.conditions)
        self._note({"conditions": self.conditions.describe()})
        objective = PriorObjective(prior=prior, training=training, validation=validation, schedule=stage)
        objective.player.sharded = self._shards(prior)
        self._fit(objective, stage, share, self.folder.prior_file)

    def _shards(self, prior: Prior) -> bool:
        """Return whether to divide the parameters of the prior among the processes."""
        strategy, device = self.config.training.strategy, self.team.fabric.device
        if strategy != "auto":
            return strategy == "fsdp"
        limit = memory_of(device) if device.type == "cuda" else None
        needed = BYTES_PER_WEIGHT * sum(parameter.numel() for parameter in prior.parameters())
        return limit is not None and needed > limit / 2

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

    def _sized(self, stage: StageT) -> StageT:
        """Return the settings of a stage with a number as the batch size."""
        return sized(
            stage,
            device=self.team.fabric.device.type,
            pixels=self.training.images[0].size,
            rows=len(self.training) // self.team.fabric.world_size,
        )

    def _announce_memory(self, autoencoder: Autoencoder, stage: AutoencoderStageConfig) -> None:
        """Announce the memory that a step will need, for volumes and patches, where it may be large."""
        dims = autoencoder.spatial_dims
        if not self.team.first or (dims == 2 and stage.patch_size is None):
            return
        space = (stage.patch_size or self.config.data.size,) * dims
        memory = estimate_step_memory(
            autoencoder,
            space=space,
            batch_size=number_of(stage),
            autocast=torch.bfloat16 if self.precision == "bf16-mixed" else None,
        )
        shape = "×".join(map(str, space))
        self.display.note(f"memory: a step of {stage.batch_size} × {shape} will take about {memory.total / 1e9:.2f} GB")

    def _fit(self, objective: Objective[Any], stage: StageConfig, share: float, weights: Path) -> None:
        """Train a stage until its budget is spent, save its weights, and remove the state for resuming."""
        for line in self._unsaid:
            self.display.note(line)
        self._unsaid = []
        self.team.fabric.barrier()  # the first process may still write the files of the previous stage
        training = self.config.training
        budget = Budget(steps=training.steps) if training.steps else Budget(minutes=(training.minutes or 0) * share)
        state_file = self.folder.state_file(objective.name)
        begun = None if state_file.exists() else self._begun(objective, weights)
        if begun is not None and budget.progress(step=begun.step, elapsed_s=begun.elapsed_s) >= 1:
            return
        if begun is not None:
            what = (
                f"continues from the weights of step {begun.step}; its state was not kept, so the optimizer starts anew"
            )
            self.display.note(f"{objective.name}: {what}")
        fitted = fit(
            objective,
            team=self.team,
            budget=budget,
            schedule=stage,
            seed=training.seed,
            files=self.folder,
            resume=self.resume,
            begun=begun,
            display=self.display,
            threads=self._threads(budget),
            record=training.cuda_graphs,
        )
        kept = whole(objective.result.state_dict(), keep=self.team.first)
        if not self.team.first:
            return
        try:
            save_tensors(weights, kept, about={"voxlex": versions()["voxlex"], "stage": objective.name})
            self._note_stage(objective, stage, fitted)
        except DataError as cause:
            further = "; --resume goes on from the last saved state" if state_file.exists() else ""
            raise DataError(f"{cause}{further}") from cause
        if not training.keep_state:
            remove(state_file)

    def _begun(self, objective: Objective[Any], weights: Path) -> Fitted | None:
        """Load the weights of a finished stage and return how long it trained; return None if it has not finished."""
        facts = self._facts(objective.name)
        if not (self.resume and facts and weights.exists()):
            return None
        load_weights(weights, objective.result)
        # Minutes are stored with two decimals; half a unit of the last one makes up for rounding.
        return Fitted(
            step=facts["steps"],
            elapsed_s=60 * (facts["minutes"] + 0.005),
            kept_step=facts.get("kept_step", facts["steps"]),
        )

    def _threads(self, budget: Budget) -> ThreadChooser | None:
        """Return a chooser of the number of threads; None if the number is given or must not change.

        The last bits of the weights depend on this number. A budget in steps promises the same weights each time. A
        budget in minutes does not, because the clock decides the number of steps.
        """
        given = self.config.training.threads != "auto" or "OMP_NUM_THREADS" in os.environ
        if given or budget.minutes is None or self.team.fabric.device.type != "cpu" or not self.team.alone:
            return None
        return ThreadChooser(torch.get_num_threads())

    def _note_stage(self, objective: Objective[Any], stage: StageConfig, fitted: Fitted) -> None:
        facts = {
            "steps": fitted.step,
            "kept_step": fitted.kept_step,
            "minutes": round(fitted.elapsed_s / 60, 2),
            "parameters": sum(parameter.numel() for parameter in objective.result.parameters()),
            "device": str(self.team.fabric.device),
            "precision": self.precision,
            "batch_size": number_of(stage),
            "accumulate": stage.accumulate,
            "processes": self.team.size,
            "learning_rate": stage.learning_rate,
        }
        self._note({"stages": self.folder.metadata().get("stages", {}) | {objective.name: facts}})

    def _facts(self, stage: str) -> dict[str, Any]:
        """Return the metadata of a finished stage; empty if the stage has not finished."""
        return self.folder.metadata().get("stages", {}).get(stage, {})

    def _note(self, additions: Mapping[str, Any]) -> None:
        if self.team.first:
            self.folder.update_metadata(additions)
