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
from zoo.data.loader import TrainingLoader
from zoo.data.plan import EvaluationPlan, Share, TrainingPlan
from zoo.data.source import SceneSource
from zoo.errors import CheckpointError
from zoo.evaluation.bounds import score_scenes
from zoo.evaluation.loop import Evaluation
from zoo.model.scene_model import SceneModel
from zoo.training import checkpoint, run_checkpoints
from zoo.training.options import TrainingOptions
from zoo.training.session import Interruption, Tracker
from zoo.training.step import TrainStep

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
    """Trains one model: steps, validation, checkpoints and logging, on one or several processes."""

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
        """Prepares model, data and optimiser; nothing is written to ``run`` before ``fit``.

        Raises:
            ConfigError: if batch size, number of processes, context sizes and data do not match.
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
        self.train_step = TrainStep(
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
        return self.train_step.model

    @property
    def evaluated_model(self) -> SceneModel:
        """The model that is validated and used: the averaged one if there is one."""
        return self.train_step.evaluated_model

    def fit(self, *, progress: Progress | None = None) -> TrainingReport:
        """Trains up to the recipe's last step, or until a signal arrives; writes a checkpoint at the end.

        Raises:
            NonFiniteError: if the loss or the gradient is not finite; neither that update nor a later one is made.
            DiskFullError: if a checkpoint cannot be written; the older ones are unchanged.
        """
        tracker = Tracker(self.run, accelerator=self.accelerator, resume_step=self.step)
        self.train_step.wrapped.train()
        batches = self.loader.pieces(start=self.step, stop=self.recipe.steps)
        speed = SpeedMeter(self.step)
        with Interruption() as interruption:
            while self.step < self.recipe.steps:
                started = time.perf_counter()
                metrics = self.train_step.run(self.step, batches)
                self.step += 1
                self.seconds += time.perf_counter() - started
                if self.step % self.options.log_interval == 0 or self.step == self.recipe.steps:
                    self.train_step.synchronize()
                    values = {**metrics(), **speed.measure(self.step, self.recipe.batch_size)}
                    self._log(tracker, values)
                    if progress:
                        progress(self.step, values)
                elif progress:
                    progress(self.step, {})
                synchronize = self.step % self.options.log_interval == 0
                stopping = interruption.agreed(self.accelerator, synchronize=synchronize)
                self._validate_and_save(tracker, stopping=stopping)
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

    def _log(self, tracker: Tracker, values: Mapping[str, float]) -> None:
        tracker.log(self.step, {"seconds": self.seconds, "scenes": self.step * self.recipe.batch_size, **values})

    def _validate_and_save(self, tracker: Tracker, *, stopping: bool) -> None:
        """Validates and saves at their intervals and at the end."""
        last = stopping or self.step == self.recipe.steps
        improved = False
        if self.validation is not None and (
            self.step % self.options.validation_interval == 0 or self.step == self.recipe.steps
        ):
            improved = self._validate(tracker)
        if last or improved or self.step % self.options.save_interval == 0:
            self._save(improved=improved)

    def _validate(self, tracker: Tracker) -> bool:
        """Scores the validation scenes at fixed sigma; returns whether this is the best step so far."""
        assert self.validation is not None
        self.train_step.synchronize()
        evaluation = Evaluation(
            self.validation,
            self.validation_plan,
            schedule=evaluation_schedule_values(self.recipe, device=self.accelerator.device),
            batch_size=max(1, self.recipe.batch_size // self.accelerator.num_processes),
        )
        scores = score_scenes(self.evaluated_model, evaluation, accelerator=self.accelerator)
        means = {f"eval/{name}": float(values.mean()) for name, values in scores.items() if name != "scene"}
        self._log(tracker, means)
        improved = means[BEST_METRIC] < self.best_value
        if improved:
            self.best_step, self.best_value = self.step, means[BEST_METRIC]
        return improved

    def _save(self, *, improved: bool) -> None:
        self.train_step.synchronize()
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            checkpoint.save(
                self.run,
                step=self.step,
                model=self.model,
                optimizer=self.train_step.optimizer,
                ema=self.train_step.average,
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
                run_checkpoints.mark_best(self.run, step=self.step, metric=BEST_METRIC, value=self.best_value)
            run_checkpoints.prune(self.run, keep_last=self.options.keep_last, keep_every=self.options.keep_every)
        self.accelerator.wait_for_everyone()

    def resume(self, found: checkpoint.Checkpoint, *, allow_config_change: bool = False) -> None:
        """Continues exactly where a checkpoint was written: weights, moments, averages, schedules, noise and data.

        Raises:
            CheckpointError: if it belongs to another variant, configuration or seed, naming the differing keys.
        """
        state = found.state
        before = {**state.config, "seed": state.seed}
        differing = sorted(_differences(before, {**self.config, "seed": self.seed}))
        if differing and not allow_config_change:
            raise CheckpointError(
                f"{found.path}: was written with another configuration; differing: {', '.join(differing[:6])}; "
                "start a new run, or pass --allow-config-change"
            )
        checkpoint.load_weights(found, self.model)
        checkpoint.load_optimizer(found, self.train_step.optimizer)
        if self.train_step.average is not None:
            checkpoint.load_weights(found, self.train_step.average, file=checkpoint.EMA)
        if self.accelerator.scaler is not None and state.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.scaler)
        self.step, self.seconds = state.step, state.seconds
        if state.best_step is not None and state.best_value is not None:
            self.best_step, self.best_value = state.best_step, state.best_value

    def restore_folder(self) -> list[Path]:
        """Restores the run's folder to its state at the checkpoint that this trainer resumes from.

        Returns:
            The new paths of later checkpoints, which are damaged or no longer followed.
        """
        moved = run_checkpoints.set_aside(self.run, after=self.step)
        # The process may have died between a checkpoint and its record as the best; or the best was set aside.
        if self.best_step is not None and checkpoint.step_folder(self.run, self.best_step).is_dir():
            run_checkpoints.mark_best(self.run, step=self.best_step, metric=BEST_METRIC, value=self.best_value)
        else:
            run_checkpoints.forget_best(self.run)
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


class SpeedMeter:
    """Scenes per second since the last measurement."""

    def __init__(self, step: int) -> None:
        self.step, self.time = step, time.perf_counter()

    def measure(self, step: int, batch_size: int) -> dict[str, float]:
        """Returns the speed since the last call, validation and checkpoints included."""
        now = time.perf_counter()
        elapsed, steps = now - self.time, step - self.step
        self.step, self.time = step, now
        return {"perf/scenes_per_second": steps * batch_size / elapsed} if elapsed > 0 else {}
