"""The training loop, the same for every stage."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from voxlex.config import StageConfig
from voxlex.errors import DataError, Interrupted, TrainingError
from voxlex.training.batch_size import number_of
from voxlex.training.batches import Batches
from voxlex.training.budget import Budget, learning_rate_factor
from voxlex.training.checkpoint import (
    check_weights,
    load_state,
    players_of,
    random_state,
    resuming,
    save_state,
    set_random_state,
)
from voxlex.training.display import SILENCE, Display, StageDisplay
from voxlex.training.interrupt import StopRequest, stop_requests
from voxlex.training.journal import Journal, JournalFiles
from voxlex.training.loader import Loader
from voxlex.training.objective import Objective, Step
from voxlex.training.pictures import Strip
from voxlex.training.recording import recorded
from voxlex.training.sharding import load_whole, whole
from voxlex.training.team import Team
from voxlex.training.threads import ThreadChooser

_SHOW_EVERY_S = 1.0

_PATIENCE = 10
"""Number of steps in a row that may be left out because their gradient is not finite."""


@runtime_checkable
class Files(JournalFiles, Protocol):
    """The files that a stage writes while it trains."""

    def state_file(self, stage: str) -> Path:
        """Return the file from which a stage resumes."""

    def validations_file(self, stage: str) -> Path:
        """Return the file for pictures of held-out images."""


@dataclass(frozen=True)
class Fitted:
    """Steps and seconds of a stage over all of its sessions, and the step whose weights it kept."""

    step: int
    elapsed_s: float
    kept_step: int


@dataclass(frozen=True)
class _Best:
    """The best weights on held-out rows so far."""

    value: float
    step: int
    weights: Mapping[str, Tensor]


def fit(
    objective: Objective[Any],
    *,
    team: Team,
    budget: Budget,
    schedule: StageConfig,
    seed: int,
    files: Files,
    resume: bool = False,
    begun: Fitted | None = None,
    display: Display = SILENCE,
    threads: ThreadChooser | None = None,
    record: bool = True,
    save_every_s: float = 60.0,
) -> Fitted:
    """Train the players of an objective in place until the budget is spent.

    With several processes, the clock of the first process counts. All processes take the same steps, and save, validate
    and stop together. If the objective has a yardstick, the result gets the weights that were best on held-out rows,
    otherwise the last weights.

    Args:
        objective: The objective, which contains the players and the training rows.
        team: The devices, and the processes that train on them.
        budget: Time or number of steps.
        schedule: Batch size, learning rate and number of validations.
        seed: Seed of the order of the rows.
        files: Files for figures, curves and the state for resuming.
        resume: Continue from the saved state, if there is one.
        begun: Steps and time of training behind the weights. If there is no saved state, training continues from there.
        display: Display that shows the progress.
        threads: Chooser of the number of threads during training; None keeps the current number.
        record: Whether to record steps as CUDA graphs and replay them, where that is possible; see `recording`.
        save_every_s: Seconds of training between two saved states.

    Raises:
        Interrupted: If any of the processes receives SIGINT, SIGTERM or SIGHUP. The state is saved first.
        TrainingError: If the gradient is not finite in ten steps in a row, or a process is lost. A single such step is
            left out and counted.
        ToldElsewhere: If one of the two errors above is raised in another process, which reports it.
        DataError: If there are fewer rows than one batch needs.
    """
    trainer = _Trainer(objective, team=team, budget=budget, schedule=schedule, seed=seed, record=record)
    trainer.state_file, trainer.save_every_s = files.state_file(objective.name), save_every_s
    trainer.note = display.note
    if not (resume and trainer.restore()) and begun is not None:
        trainer.go_on_from(begun)
    shown = display if team.first else SILENCE
    pictures = files.validations_file(objective.name)
    trainer.strip = Strip(pictures, resumed_step=trainer.step, active=team.first, note=shown.note)
    with (
        Journal(files, stage=objective.name, resumed_step=trainer.step, active=team.first, note=shown.note) as journal,
        shown.stage(objective.name) as stage_display,
        threads or nullcontext(),
        team.naming_the_lost(objective.name),
    ):
        trainer.run(journal, stage_display, threads)
        kept_step = trainer.keep_best()
        if kept_step != trainer.step:
            stage_display.kept(kept_step)
    return Fitted(step=trainer.step, elapsed_s=trainer.elapsed_s, kept_step=kept_step)


class _Trainer:
    state_file: Path
    save_every_s: float
    note: Callable[[str], None]
    strip: Strip

    def __init__(
        self,
        objective: Objective[Any],
        *,
        team: Team,
        budget: Budget,
        schedule: StageConfig,
        seed: int,
        record: bool,
    ) -> None:
        self.objective = objective
        self.team = team
        self.fabric = team.fabric
        self.budget = budget
        self.schedule = schedule
        self.batches = Batches(
            rows=objective.rows,
            batch_size=number_of(schedule) * schedule.accumulate,
            seed=seed,
            rank=self.fabric.global_rank,
            processes=self.fabric.world_size,
            setting=f"--training.{objective.name}.batch-size",
        )
        objective.accumulate = schedule.accumulate
        objective.team = team
        for player in objective.players.values():
            player.set_up(self.fabric)
        kept = objective.keep_on(self.fabric.device)
        self.load = Loader(objective.load, self.batches, fabric=self.fabric, ahead=not kept)
        replays = recorded(objective, team) if record else None
        self.take: Callable[..., Step] = replays or partial(objective.update, self.fabric)
        self.step = 0
        self.elapsed_s = 0.0
        self.best: _Best | None = None
        self.unknown_best = objective.begins_well
        self.ended = False

    @property
    def progress(self) -> float:
        return self.budget.progress(step=self.step, elapsed_s=self.elapsed_s)

    def run(self, journal: Journal, display: StageDisplay, threads: ThreadChooser | None) -> None:
        """Take steps until the budget is spent. In between, show, record, validate and save."""
        started = time.perf_counter() - self.elapsed_s
        validations = math.floor(self.progress * self.schedule.validations)
        last_shown = last_saved = self.elapsed_s
        with stop_requests() as stop, self.load, self.team.working("steps"):
            if self.unknown_best:
                self._validate(journal, display, progress=self.progress)
            self._train_mode(True)
            while (before := self.progress) < 1 and not self.ended:
                step = self._take_step(threads)
                signal_name = self._agree(started, stop)
                self.team.gets_on()
                if self.elapsed_s - last_shown >= _SHOW_EVERY_S or self.step == 1 or self.progress >= 1:
                    last_shown = self.elapsed_s
                    self._show(step, journal, display)
                if self.progress * self.schedule.validations >= validations + 1:
                    validations += 1
                    self._validate(journal, display, progress=before)
                    signal_name = self._agree(started, stop)
                if signal_name:
                    self._stop(signal_name)
                if self.elapsed_s - last_saved >= self.save_every_s:
                    last_saved = self.elapsed_s
                    self._save_or_note()
            self._save_or_note()

    def _take_step(self, threads: ThreadChooser | None) -> Step:
        began = time.perf_counter()
        factor = learning_rate_factor(self.progress, warmup=self.schedule.warmup)
        for player in self.objective.players.values():
            player.set_rate(factor)
        step = self.take(self.load(self.step), progress=self.progress)
        self.step += 1
        self._check_gradients()
        if threads is not None:
            threads.took(time.perf_counter() - began)
        return step

    def _check_gradients(self) -> None:
        """End the training if it does not get anywhere. The weights are still those of the last good step."""
        name, skipped = self.objective.name, max(player.skipped_in_a_row for player in self.objective.players.values())
        if skipped >= _PATIENCE:
            what = (
                f"{name}: expected a finite gradient, got none in {skipped} steps in a row, up to step {self.step}; "
                f"try a lower --training.{name}.learning-rate"
            )
            raise self.team.ending(TrainingError(what))

    def _agree(self, started: float, stop: StopRequest) -> str | None:
        """Set the clock to that of the first process. Return the name of a signal that any process received."""
        elapsed_s = time.perf_counter() - started
        self.elapsed_s, received = self.team.most(elapsed_s if self.team.first else 0.0, stop.received)
        return signal.Signals(int(received)).name if received else None

    def _stop(self, signal_name: str) -> None:
        at = f"{self.objective.name}: stopped by {signal_name} at step {self.step}"
        number = signal.Signals[signal_name].value
        try:
            self.save()
        except DataError as cause:
            raise self.team.ending(Interrupted(f"{at}, not saved: {cause}", number=number)) from cause
        raise self.team.ending(Interrupted(f"{at}, saved; continue with --resume", number=number))

    def _save_or_note(self) -> None:
        """Write the state, or say why it cannot be written. Training goes on, and the next state may find room."""
        try:
            self.save()
        except DataError as cause:
            self.note(f"{cause}; training goes on, and an earlier state, if there is one, stays")

    def _show(self, step: Step, journal: Journal, display: StageDisplay) -> None:
        losses = {name: float(value.detach()) for name, value in step.losses.items()}
        total = sum(losses.values())
        (spoilt,) = self.team.most(0.0 if math.isfinite(total) else 1.0)
        if spoilt and not any(player.skipped_in_a_row for player in self.objective.players.values()):
            what = f"{self.objective.name}: the loss is {total} at step {self.step}, although its gradient is finite"
            raise self.team.ending(TrainingError(what))
        if self.team.first:
            terms = {f"loss/{name}": value for name, value in losses.items()}
            found = {} if spoilt else {"loss": total} | terms | step.measure()
            if any(player.skipped for player in self.objective.players.values()):
                found["skipped_steps"] = sum(player.skipped for player in self.objective.players.values())
            figures = {f"train/{name}": value for name, value in found.items()}
            journal.write(figures, step=self.step, elapsed_s=self.elapsed_s)
            display.show(figures, progress=self.progress, elapsed_s=self.elapsed_s)

    def _validate(self, journal: Journal, display: StageDisplay, *, progress: float) -> None:
        self._train_mode(False)
        with self.team.working("a validation"):
            figures = self.objective.validate(progress=progress)
        self._train_mode(True)
        self._compare(figures)
        journal.write(
            {f"validation/{name}": value for name, value in figures.items()}, step=self.step, elapsed_s=self.elapsed_s
        )
        self.strip.add(self.objective.shown, step=self.step, elapsed_s=self.elapsed_s, figures=figures)
        display.validated(figures, step=self.step, alarm=self.objective.alarm(progress=self.progress))
        (given_up,) = self.team.most(float(self.objective.gives_up()))
        self.ended = bool(given_up)

    def _train_mode(self, mode: bool) -> None:
        for player in self.objective.players.values():
            player.on_devices.train(mode)

    def _compare(self, figures: Mapping[str, float]) -> None:
        """Remember the weights if they are the best so far."""
        if self.objective.yardstick is None:
            return
        value = self.team.of_first(figures[self.objective.yardstick])
        if self.best is None or value < self.best.value:
            weights = {name: tensor.detach().clone() for name, tensor in self.objective.result.state_dict().items()}
            self.best = _Best(value, self.step, weights)

    def keep_best(self) -> int:
        """Give the result its best weights, and return their step."""
        if self.best is None or self.best.step == self.step:
            return self.step
        load_whole(self.objective.result, self.best.weights)
        return self.best.step

    def save(self) -> None:
        """Write the state for resuming."""
        with self.team.working("a saving"):
            random = self.team.gathered(random_state())
            kept = self.objective.in_pieces(self.objective.players.items())
            players = {name: player.state(keep=self.team.first) for name, player in kept}
            best = None if self.best is None else whole(dict(vars(self.best)), keep=self.team.first)
            if self.team.first:
                self._write(players, random, best)

    def _write(self, players: Mapping[str, Any], random: list[Any], best: Mapping[str, Any] | None) -> None:
        state = {
            "players": players,
            "random": random[0],
            "random_of_others": random[1:],
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "best": best,
            "objective": self.objective.state(),
        }
        save_state(self.state_file, state, told=self.team.gets_on)

    def restore(self) -> bool:
        """Restore the saved state. Return whether there was one."""
        if not self.state_file.exists():
            return False
        state = load_state(self.state_file)
        with resuming(self.state_file):
            for name, saved in players_of(state, self.objective.players, where=self.state_file).items():
                self.objective.players[name].load_state(saved)
            rank = self.fabric.global_rank
            others = state.get("random_of_others", [])
            set_random_state(others[rank - 1] if 0 < rank <= len(others) else state["random"])
            self.step, self.unknown_best = state["step"], False
            self.elapsed_s = state["elapsed_s"]
            self.best = _Best(**state["best"]) if state.get("best") else None
            self.objective.load_state(state.get("objective", {}))
            if self.best is not None:
                check_weights(self.best.weights, expected=self.objective.result.state_dict())
        return True

    def go_on_from(self, begun: Fitted) -> None:
        """Count steps and time from there. If the best weights are kept, the weights are validated first."""
        self.step, self.elapsed_s = begun.step, begun.elapsed_s
        self.unknown_best = self.objective.yardstick is not None and self.progress < 1
