"""The shared ELBO trainer. It never asks which variant it holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from accelerate import Accelerator

from zoo.config.recipe import TrainingRecipe
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.loader import Share, TrainingLoader
from zoo.data.plan import EvaluationPlan, TrainingPlan
from zoo.data.source import SceneSource
from zoo.errors import CheckpointError
from zoo.evaluation.nelbo import score_scenes
from zoo.model.scene_model import SceneModel
from zoo.training import checkpoint
from zoo.training.interruption import Interruption
from zoo.training.options import TrainingOptions
from zoo.training.tracking import Tracker
from zoo.training.update import TrainStep

__all__ = ["BEST_METRIC", "Progress", "Trainer", "TrainingOptions", "TrainingReport"]

BEST_METRIC = "eval/nelbo_excess"


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """How a run ended."""

    step: int
    seconds: float
    scenes: int
    status: Literal["finished", "interrupted"]
    signal: int | None = None


Progress = Callable[[int, Mapping[str, float]], None]


class Trainer:
    """Minimises the mean over scenes of NELBO(beta) / targets by Adam, as accelerate lays it out over processes."""

    def __init__(
        self,
        model: SceneModel,
        *,
        recipe: TrainingRecipe,
        train: SceneSource,
        validation: SceneSource | None,
        run: Path,
        seed: int,
        accelerator: Accelerator,
        options: TrainingOptions,
        config: Mapping[str, Any],
    ) -> None:
        """Lays everything out; nothing is written to ``run`` before ``fit``.

        Raises:
            ConfigError: if batch, processes, context sizes and data do not fit together.
        """
        self.recipe, self.run, self.seed = recipe, run, seed
        self.accelerator, self.options, self.config = accelerator, options, dict(config)
        share = Share(
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            accumulation=recipe.gradient_accumulation,
        )
        self.loader = TrainingLoader(
            train,
            plan=TrainingPlan(train, recipe=recipe, seed=seed),
            device=accelerator.device,
            share=share,
            workers=options.workers,
            residence=options.residence,
        )
        self.validation = validation
        if validation is not None:
            self.validation_plan = EvaluationPlan(
                validation,
                num_context=recipe.contexts.maximum,
                num_targets=recipe.targets,
                max_scenes=options.validation_scenes,
            )
        self.updates = TrainStep(
            model,
            recipe=recipe,
            seed=seed,
            accelerator=accelerator,
            options=options,
            checkpoints=run / checkpoint.FOLDER,
        )
        self.step, self.seconds = 0, 0.0
        self.best_step: int | None = None
        self.best_value = float("inf")

    @property
    def model(self) -> SceneModel:
        """The model as it was given, without the wrapper of accelerate."""
        return self.updates.model

    @property
    def evaluated_model(self) -> SceneModel:
        """The model that is validated and used: the averaged one if there is one."""
        return self.updates.evaluated_model

    def fit(self, *, progress: Progress | None = None) -> TrainingReport:
        """Trains up to the recipe's last step, or until a signal asks for an end; a checkpoint is there afterwards.

        Raises:
            NonFiniteError: if the loss or the gradient is not finite; that update is not made, and none after it.
            DiskFullError: if a checkpoint cannot be written; the older ones stay.
        """
        tracker = Tracker(self.run, accelerator=self.accelerator, resume_step=self.step)
        self.updates.wrapped.train()
        pieces = self.loader.pieces(start=self.step, stop=self.recipe.steps)
        window = Window(self.step, time.perf_counter())
        with Interruption() as interruption:
            while self.step < self.recipe.steps:
                started = time.perf_counter()
                figures = self.updates.make(self.step, pieces)
                self.step += 1
                self.seconds += time.perf_counter() - started
                if self.step % self.options.log_interval == 0 or self.step == self.recipe.steps:
                    self.updates.settle()
                    shown = {**figures(), **window.speed(self.step, self.recipe.batch_size)}
                    tracker.log(
                        self.step, {"seconds": self.seconds, "scenes": self.step * self.recipe.batch_size, **shown}
                    )
                    if progress:
                        progress(self.step, shown)
                elif progress:
                    progress(self.step, {})
                stopping = interruption.agreed(self.accelerator, often=self.step % self.options.log_interval == 0)
                self._look_after(tracker, stopping=stopping)
                if stopping:
                    break
        finished = self.step >= self.recipe.steps
        return TrainingReport(
            step=self.step,
            seconds=self.seconds,
            scenes=self.step * self.recipe.batch_size,
            status="finished" if finished else "interrupted",
            signal=None if finished else interruption.signal,
        )

    def _look_after(self, tracker: Tracker, *, stopping: bool) -> None:
        """Validates and saves when it is time, and at the end."""
        last = stopping or self.step == self.recipe.steps
        improved = False
        if self.validation is not None and (
            self.step % self.options.validation_interval == 0 or self.step == self.recipe.steps
        ):
            improved = self._validate(tracker)
        if last or improved or self.step % self.options.save_interval == 0:
            self._save(improved=improved)

    def _validate(self, tracker: Tracker) -> bool:
        """Scores the validation scenes at fixed sigma and tells whether this is the best step so far."""
        assert self.validation is not None
        self.updates.settle()
        scores = score_scenes(
            self.evaluated_model,
            self.validation,
            self.validation_plan,
            schedule=evaluation_schedule_values(self.recipe, device=self.accelerator.device),
            batch_size=max(1, self.recipe.batch_size // self.accelerator.num_processes),
            device=self.accelerator.device,
            accelerator=self.accelerator,
        )
        means = {f"eval/{name}": float(values.mean()) for name, values in scores.items() if name != "scene"}
        tracker.log(self.step, {"seconds": self.seconds, "scenes": self.step * self.recipe.batch_size, **means})
        improved = means[BEST_METRIC] < self.best_value
        if improved:
            self.best_step, self.best_value = self.step, means[BEST_METRIC]
        return improved

    def _save(self, *, improved: bool) -> None:
        self.updates.settle()
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            checkpoint.save(
                self.run,
                step=self.step,
                model=self.model,
                optimizer=self.updates.optimizer,
                ema=self.updates.average,
                state={
                    "config": self.config,
                    "seed": self.seed,
                    "seconds": self.seconds,
                    "best_step": self.best_step,
                    "best_value": self.best_value if self.best_step is not None else None,
                    "scaler": scaler.state_dict() if scaler is not None else None,
                },
            )
            if improved:
                checkpoint.mark_best(self.run, step=self.step, metric=BEST_METRIC, value=self.best_value)
            checkpoint.prune(self.run, keep_last=self.options.keep_last, keep_every=self.options.keep_every)
        self.accelerator.wait_for_everyone()

    def resume(self, found: checkpoint.Checkpoint, *, allow_config_change: bool = False) -> None:
        """Goes on exactly where a checkpoint was written: weights, moments, averages, schedules, noise and data.

        Raises:
            CheckpointError: if it belongs to another variant, configuration or seed; the differing keys are told.
        """
        before = {**found.state["config"], "seed": found.state["seed"]}
        differing = sorted(_differences(before, {**self.config, "seed": self.seed}))
        if differing and not allow_config_change:
            raise CheckpointError(
                f"{found.path}: was written with another configuration; differing: {', '.join(differing[:6])}; "
                "start a new run, or pass --allow-config-change"
            )
        checkpoint.load_weights(found, self.model)
        checkpoint.load_optimizer(found, self.updates.optimizer)
        if self.updates.average is not None:
            checkpoint.load_weights(found, self.updates.average, file="ema.safetensors")
        if self.accelerator.scaler is not None and found.state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(found.state["scaler"])
        self.step, self.seconds = found.state["step"], found.state["seconds"]
        if found.state["best_step"] is not None:
            self.best_step, self.best_value = found.state["best_step"], found.state["best_value"]

    def restore_folder(self) -> list[Path]:
        """Makes the run's folder what it was when the checkpoint was written from which this trainer goes on.

        Returns:
            Where later checkpoints, which are damaged or no longer followed, were set aside.
        """
        moved = checkpoint.set_aside(self.run, after=self.step)
        # A crash may have come between a checkpoint and the note that it is the best; or the best was set aside.
        if self.best_step is not None and checkpoint.step_folder(self.run, self.best_step).is_dir():
            checkpoint.mark_best(self.run, step=self.best_step, metric=BEST_METRIC, value=self.best_value)
        else:
            checkpoint.forget_best(self.run)
        return moved


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key in set(old) | set(new):
        one, other = old.get(key), new.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= _differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found.add(f"{prefix}{key}")
    return found


class Window:
    """Scenes per second since the last look."""

    def __init__(self, step: int, now: float) -> None:
        self.step, self.time = step, now

    def speed(self, step: int, batch_size: int) -> dict[str, float]:
        """Returns the speed since the last call, validation and checkpoints included."""
        now = time.perf_counter()
        elapsed, steps = now - self.time, step - self.step
        self.step, self.time = step, now
        return {"perf/scenes_per_second": steps * batch_size / elapsed} if elapsed > 0 else {}
