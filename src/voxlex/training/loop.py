"""The training loop, the same for every stage."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from voxlex.errors import Interrupted, TrainingError
from voxlex.training.batches import Batches
from voxlex.training.budget import Budget, learning_rate_factor
from voxlex.training.checkpoint import load_state, random_state, save_state, set_random_state, state_file
from voxlex.training.devices import lay_out_channels_last
from voxlex.training.display import Display
from voxlex.training.interrupt import stop_requests
from voxlex.training.journal import Journal
from voxlex.training.objectives import Objective, Step
from voxlex.training.optimizer import adamw

_SHOW_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How to optimise, and how often to look.

    Attributes:
        batch_size: Rows a step, on each process.
        learning_rate: Its peak, in AdamW (Loshchilov and Hutter, 1711.05101).
        weight_decay: On weight matrices and kernels; not on biases, scales, embeddings or codebooks.
        betas: Decay of the running averages of gradient and squared gradient.
        warmup: Share of the budget in which the learning rate rises.
        gradient_clip: Largest norm of the gradient.
        validations: How often to validate over the budget.
        save_every_s: Seconds of training between two saved states.
    """

    batch_size: int
    learning_rate: float
    weight_decay: float
    betas: tuple[float, float]
    warmup: float
    gradient_clip: float
    validations: int
    save_every_s: float = 60.0


@dataclass(frozen=True)
class Fitted:
    """What a stage took, over all its sessions: steps, and seconds of training; and the step whose weights it kept."""

    step: int
    elapsed_s: float
    kept_step: int


@dataclass(frozen=True)
class _Best:
    """The weights that did best on held-out rows so far."""

    value: float
    step: int
    weights: Mapping[str, Tensor]


def fit(
    objective: Objective,
    *,
    fabric: Fabric,
    budget: Budget,
    schedule: Schedule,
    seed: int,
    folder: Path,
    resume: bool = False,
) -> Fitted:
    """Train an objective's module in place until its budget is spent.

    With a yardstick, the module ends with the weights that did best on held-out rows, else with the last ones.

    Args:
        objective: What to train, on what.
        fabric: Devices and precision.
        budget: How long.
        schedule: How.
        seed: Of the order of the rows.
        folder: Run folder; figures, curves and the state to resume from go there.
        resume: Go on from the saved state, if there is one.

    Raises:
        Interrupted: On SIGINT or SIGTERM, after the state is saved.
        DataError: If there are fewer rows than a batch.
    """
    trainer = _Trainer(objective, fabric=fabric, budget=budget, schedule=schedule, seed=seed, folder=folder)
    if resume:
        trainer.restore()
    with (
        Journal(folder, stage=objective.name, resumed_step=trainer.step, active=fabric.is_global_zero) as journal,
        Display(objective.name, active=fabric.is_global_zero) as display,
    ):
        trainer.run(journal, display)
        kept_step = trainer.keep_best()
        if kept_step != trainer.step:
            display.kept(kept_step)
    return Fitted(step=trainer.step, elapsed_s=trainer.elapsed_s, kept_step=kept_step)


class _Trainer:
    def __init__(
        self,
        objective: Objective,
        *,
        fabric: Fabric,
        budget: Budget,
        schedule: Schedule,
        seed: int,
        folder: Path,
    ) -> None:
        self.objective = objective
        self.fabric = fabric
        self.budget = budget
        self.schedule = schedule
        self.state_path = state_file(folder, objective.name)
        self.batches = Batches(
            rows=objective.rows,
            batch_size=schedule.batch_size,
            seed=seed,
            rank=fabric.global_rank,
            processes=fabric.world_size,
        )
        lay_out_channels_last(objective.module)
        optimizer = adamw(
            objective.module,
            learning_rate=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            betas=schedule.betas,
        )
        self.module, self.optimizer = fabric.setup(objective.module, optimizer)
        for method in objective.forward_methods:
            self.module.mark_forward_method(method)
        self.step = 0
        self.elapsed_s = 0.0
        self.best: _Best | None = None

    @property
    def progress(self) -> float:
        return self.budget.progress(step=self.step, elapsed_s=self.elapsed_s)

    def run(self, journal: Journal, display: Display) -> None:
        """Take steps until the budget is spent; show, note, validate and save on the way."""
        started = time.perf_counter() - self.elapsed_s
        validations = math.floor(self.progress * self.schedule.validations)
        last_shown = last_saved = self.elapsed_s
        self.module.train()
        with stop_requests() as stop:
            while self.progress < 1:
                step = self._train_step()
                self.elapsed_s = time.perf_counter() - started
                if self.elapsed_s - last_shown >= _SHOW_EVERY_S or self.step == 1 or self.progress >= 1:
                    last_shown = self.elapsed_s
                    figures = self._figures(step)
                    journal.write(figures, step=self.step, elapsed_s=self.elapsed_s)
                    display.show(figures, progress=self.progress, elapsed_s=self.elapsed_s)
                if self.progress * self.schedule.validations >= validations + 1:
                    validations += 1
                    self._validate(journal, display)
                    self.elapsed_s = time.perf_counter() - started
                if stop.received:
                    self.save()
                    at = f"{self.objective.name}: stopped by {stop.received} at step {self.step}"
                    raise Interrupted(f"{at}, saved; go on with --resume")
                if self.elapsed_s - last_saved >= self.schedule.save_every_s:
                    last_saved = self.elapsed_s
                    self.save()
        self.save()

    def _train_step(self) -> Step:
        rate = self.schedule.learning_rate * learning_rate_factor(self.progress, warmup=self.schedule.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.fabric.to_device(self.objective.load(self.batches[self.step], step=self.step))
        step = self.objective.step(self.module, batch, progress=self.progress)
        self.optimizer.zero_grad()
        self.fabric.backward(torch.stack(list(step.losses.values())).sum())
        self.fabric.clip_gradients(
            self.module, self.optimizer, max_norm=self.schedule.gradient_clip, error_if_nonfinite=False
        )
        self.optimizer.step()
        self.step += 1
        return step

    def _figures(self, step: Step) -> dict[str, float]:
        losses = {name: float(value.detach()) for name, value in step.losses.items()}
        total = sum(losses.values())
        if not math.isfinite(total):
            raise TrainingError(
                f"{self.objective.name}: the loss is {total} at step {self.step}; try a lower learning rate"
            )
        return {f"train/{name}": value for name, value in ({"loss": total} | losses | step.measure()).items()}

    def _validate(self, journal: Journal, display: Display) -> None:
        self.module.eval()
        figures = self.objective.validate(self.module)
        self.module.train()
        self._compare(figures)
        journal.write(
            {f"validation/{name}": value for name, value in figures.items()}, step=self.step, elapsed_s=self.elapsed_s
        )
        display.validated(figures, step=self.step, alarm=self.objective.alarm(progress=self.progress))

    def _compare(self, figures: Mapping[str, float]) -> None:
        """Remember the weights if they are the best yet."""
        if self.objective.yardstick is None:
            return
        value = figures[self.objective.yardstick]
        if self.best is None or value < self.best.value:
            weights = {name: tensor.detach().clone() for name, tensor in self.objective.module.state_dict().items()}
            self.best = _Best(value, self.step, weights)

    def keep_best(self) -> int:
        """Give the module its best weights; return their step, the last one if none were better."""
        if self.best is None or self.best.step == self.step:
            return self.step
        self.objective.module.load_state_dict(self.best.weights)
        return self.best.step

    def save(self) -> None:
        """Write the state to resume from."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "module": self.objective.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": random_state(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "best": None if self.best is None else vars(self.best),
        }
        save_state(self.state_path, state)

    def restore(self) -> None:
        """Go back to the saved state; without one, start at the beginning."""
        if not self.state_path.exists():
            return
        state = load_state(self.state_path)
        self.objective.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        set_random_state(state["random"])
        self.step = state["step"]
        self.elapsed_s = state["elapsed_s"]
        self.best = _Best(**state["best"]) if state.get("best") else None
