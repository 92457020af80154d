"""Check a whole experiment before any work is done: what would be refused later is refused here."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import torch
from lightning_fabric import Fabric

from voxlex.assembly import build_autoencoder, build_shapes
from voxlex.config import Config, validated
from voxlex.config.consistency import check_consistent
from voxlex.data.dataset import COLUMNS, PreparedDataset
from voxlex.data.sources import Source, SourceLike
from voxlex.errors import ConfigError, DataError, RunError, VoxlexError
from voxlex.files import cache_folder
from voxlex.images.frame import Frame
from voxlex.models import Autoencoder
from voxlex.models.weights import load_weights
from voxlex.names import resolved
from voxlex.outputs import check_apart
from voxlex.priors import Conditions, Prior
from voxlex.training.batch_size import number_of, sized
from voxlex.training.devices import Precision, automatic_precision, choose_devices
from voxlex.training.memory import BYTES_PER_WEIGHT, estimate_step_memory, memory_of
from voxlex.training.processes import launched
from voxlex.workflows.extent import Extent, check_extent, estimate_extent, extent_of, prepared_already
from voxlex.workflows.opening import files_of, frame_of, source_of
from voxlex.workflows.plan import Plan, Stage, plan_training
from voxlex.workflows.pretrained import Pretrained
from voxlex.workflows.prior_data import conditions_in, conditions_of

_OF_REPORT = 30e6  # bytes of the report, the pictures and the curves


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        name: What was checked.
        said: What was found, or what is wrong.
        ok: Whether the training can begin, as far as this goes.
    """

    name: str
    said: str
    ok: bool = True


class Experiment:
    """An experiment that is to be trained, and its checks. They change nothing, and take seconds.

    Args:
        source: Path or name of the source, or scans in memory; see `find_source`.
        out: The run folder.
        config: The whole experiment.
        stage: The stage to train, or "all".
        resume: Continue the run where it stopped.
        overwrite: Replace an existing run, or its prior.
    """

    def __init__(
        self,
        source: SourceLike,
        *,
        out: Path,
        config: Config,
        stage: Stage = "all",
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.place = source
        self.out = out
        self.config = config
        self.stage: Stage = stage
        self.resume = resume
        self.overwrite = overwrite

    @property
    def checks(self) -> dict[str, Callable[[], str]]:
        """The checks by name, in their order. Each returns what it found, or raises a VoxlexError."""
        return {
            "settings": self.check_settings,
            "run folder": self.check_folder,
            "device": self.check_device,
            "data": self.check_data,
            "images": self.check_images,
            "conditions": self.check_conditions,
            "models": self.check_models,
            "memory": self.check_memory,
            "disk": self.check_disk,
        }

    def check(self) -> None:
        """Raise the error of the first check that fails."""
        for check in self.checks.values():
            check()

    def findings(self) -> list[Finding]:
        """Return what each check finds. Of checks that fail for one reason, only the first is named.

        Nothing else is checked if the settings themselves are wrong.
        """
        found: list[Finding] = []
        for name, check in self.checks.items():
            try:
                found.append(Finding(name, check()))
            except VoxlexError as error:
                if str(error) not in [finding.said for finding in found]:
                    found.append(Finding(name, str(error), ok=False))
                if check == self.check_settings:
                    break
        return found

    def check_settings(self) -> str:
        """Check that every setting is valid, and that they fit together."""
        check_consistent(validated(self.config))
        training = self.config.training
        budget = f"{training.steps} steps a stage" if training.steps else f"{training.minutes:g} minutes"
        return f"{self.config.model.spatial_dims}D, {'×'.join(map(str, self.frame.shape))}, {budget}"

    def check_folder(self) -> str:
        """Check that the run can be written, and replaces nothing that it must not."""
        plan = self.plan
        if not plan.goes_on:
            check_apart(self.out, files_of(self.place))
        above = _nearest(self.out)
        if not os.access(above, os.W_OK):
            raise RunError(f"{self.out}: cannot be written: no permission to write in {above}")
        return f"{self.out}: {'goes on' if plan.goes_on else 'replaced' if self.overwrite else 'new'}"

    def check_device(self) -> str:
        """Check that the devices are there."""
        several = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{self.fabric.device.type}, {self.precision}{several}"

    def check_data(self) -> str:
        """Check that there is data that can be read, and that a run goes on with its own."""
        extent = self.extent
        if self.prepared is not None:
            self.plan.check_data(self.prepared)
        if extent is None:
            return "not known before it is prepared"
        if extent.counted:
            return f"{extent.images} prepared images"
        read = f"{extent.opened - len(extent.unreadable)} of {extent.opened} opened scans can be read"
        bad = "".join(f"; {skip.path}: {skip.reason}" for skip in extent.unreadable)
        return f"about {extent.images} images" + (f"; {read}{bad}" if extent.opened else "")

    def check_images(self) -> str:
        """Check that each split gets images, and that they are enough for a batch."""
        if self.extent is None:
            return "not known before they are prepared"
        check_extent(self.config, self.extent, self.plan, processes=self.processes)
        extent, about = self.extent, "" if self.extent.counted else "about "
        return about + ", ".join(f"{count} for {split}" for split, count in extent.per_split.items())

    def check_conditions(self) -> str:
        """Check that there are the columns that the prior is conditioned on."""
        if not self.plan.prior_share:
            return "no prior is trained"
        return ", ".join(self.conditions.names) or "none"

    def check_models(self) -> str:
        """Check that both networks can be built, and that an autoencoder that is used as it is can be loaded."""
        if not self.plan.autoencoder_share:
            load_weights(self.plan.folder.autoencoder_file, build_autoencoder(self.config.model))
        begun = "" if self.pretrained is None else f"; {self.pretrained.said}"
        weights = [f"autoencoder {_weights(self.models[0]):,} weights"]
        weights += [f"prior {_weights(self.models[1]):,} weights"] * (self.plan.prior_share > 0)
        return ", ".join(weights) + begun

    def check_memory(self) -> str:
        """Check that a step of the autoencoder and the codes of all images fit into the memory of the machine."""
        dims = self.config.model.spatial_dims
        stage = sized(
            self.config.training.autoencoder,
            device=self.fabric.device.type,
            pixels=prod(self.frame.shape),
            rows=self.extent.train if self.extent is not None else sys.maxsize,
        )
        limit = memory_of(self.fabric.device)
        needed = BYTES_PER_WEIGHT * sum(map(_weights, self.models))
        if limit is None or needed < limit:
            autoencoder = build_autoencoder(self.config.model)
            autoencoder.checkpoint_activations = stage.checkpoint_activations
            step = estimate_step_memory(
                autoencoder,
                space=(stage.patch_size or self.config.data.size,) * dims,
                batch_size=number_of(stage),
                autocast=torch.bfloat16 if self.precision == "bf16-mixed" else None,
            )
            needed = max(needed, step.total + self._bytes_of_codes())
        there = "" if limit is None else f" of {limit / 1e9:.1f} GB"
        if limit is not None and needed > limit:
            raise ConfigError(
                f"memory: expected at most {limit / 1e9:.1f} GB, which the machine has, and training needs about "
                f"{needed / 1e9:.1f} GB; try a smaller training.autoencoder.batch_size, data.size or model"
            )
        return f"about {needed / 1e9:.2f} GB{there}"

    def check_disk(self) -> str:
        """Check that there is room for the run, and for the prepared images in the cache."""
        run = _OF_REPORT + (BYTES_PER_WEIGHT + 4) * sum(map(_weights, self.models))
        cached = 0 if self.prepared is not None or self.extent is None else 2 * self.extent.nbytes(self.frame)
        places = {_nearest(self.out): run, _nearest(cache_folder()): float(cached)}
        devices: dict[int, float] = {}
        for place, needed in places.items():
            device = place.stat().st_dev
            devices[device] = devices.get(device, 0) + needed
            free = shutil.disk_usage(place).free
            if devices[device] > free:
                raise DataError(
                    f"{place}: expected {devices[device] / 1e9:.1f} GB of free disk space for the run and for prepared "
                    f"images in the cache (VOXLEX_CACHE), got {free / 1e9:.1f} GB"
                )
        return f"about {run / 1e9:.2f} GB for the run" + (f", {cached / 1e9:.2f} GB for images" if cached else "")

    @cached_property
    def plan(self) -> Plan:
        """What is done with the run folder."""
        return plan_training(
            self.out, config=self.config, stage=self.stage, resume=self.resume, overwrite=self.overwrite
        )

    @cached_property
    def pretrained(self) -> Pretrained | None:
        """The run whose weights training begins with; None if there is none, or all stages have begun already."""
        return Pretrained.of(self.config) if self.plan.begins_anything else None

    @cached_property
    def frame(self) -> Frame:
        """How scans become images."""
        try:
            return frame_of(self.config)
        except ValueError as cause:
            raise ConfigError(f"data.{cause}") from cause

    @cached_property
    def source(self) -> Source:
        """The source."""
        return source_of(self.config, self.place, self.config.data.reading)

    @cached_property
    def prepared(self) -> PreparedDataset | None:
        """The images, if they are prepared already."""
        return prepared_already(self.source, self.frame, seed=self.config.training.seed)

    @cached_property
    def extent(self) -> Extent | None:
        """How many images there are; None if that is not known before they are prepared."""
        if self.prepared is not None:
            return extent_of(self.prepared)
        return estimate_extent(self.source, self.frame, seed=self.config.training.seed)

    @cached_property
    def precision(self) -> Precision:
        """Precision of the arithmetic."""
        given, accelerator = self.config.training.precision, self.config.training.accelerator
        return automatic_precision(accelerator) if given == "auto" else given

    @property
    def processes(self) -> int:
        """Number of processes that train together, on all machines."""
        launcher = launched()
        return self.config.training.devices if launcher is None else launcher.on_each * launcher.machines

    @cached_property
    def fabric(self) -> Fabric:
        """The devices, which have not started."""
        training = self.config.training
        return choose_devices(accelerator=training.accelerator, devices=training.devices, precision=self.precision)

    @cached_property
    def conditions(self) -> Conditions:
        """The conditions of the prior, as far as they are known before the images are prepared."""
        if self.prepared is not None:
            return conditions_of(self.config, self.prepared)
        index = self.source.index
        if index is None:
            return Conditions()
        names = [name for name in self.config.prior.condition_columns if name in index.table or name not in COLUMNS]
        return conditions_in(index.table, names)

    @cached_property
    def models(self) -> tuple[Autoencoder, Prior]:
        """The networks, without memory for their weights."""
        return build_shapes(self.config, self.conditions)

    def _bytes_of_codes(self) -> int:
        """Return what the prior keeps in memory: the codes of all images that it learns from."""
        if self.extent is None or not self.plan.prior_share:
            return 0
        layouts = self.models[0].layouts(self.frame.shape)
        versions = 1 + self.config.training.prior.variations
        return 8 * self.extent.train * versions * sum(prod(one.grid) * one.num_codebooks for one in layouts)


def check(
    source: SourceLike,
    *,
    out: Path,
    config: Config,
    stage: Stage = "all",
    resume: bool = False,
    overwrite: bool = False,
) -> list[Finding]:
    """Check a whole experiment, as `train` does before it begins, and return what is found.

    Nothing is written. A few scans are opened, unless the images are prepared already.

    Args:
        source: See `train`.
        out: See `train`.
        config: See `train`.
        stage: See `train`.
        resume: See `train`.
        overwrite: See `train`.
    """
    return Experiment(source, out=out, config=config, stage=stage, resume=resume, overwrite=overwrite).findings()


def _weights(network: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))


def _nearest(path: Path) -> Path:
    """Return a folder, or the nearest one above that exists."""
    real = resolved(path)
    return next(place for place in (real, *real.parents) if place.exists())
