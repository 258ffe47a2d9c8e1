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
from zoo.evaluation.bounds import Bounds, score_scenes
from zoo.evaluation.images import Sheet
from zoo.evaluation.loop import Evaluation
from zoo.model.scene_model import SceneModel
from zoo.training import checkpoint, run_checkpoints
from zoo.training.options import TrainingOptions
from zoo.training.predictions import FixedScenes
from zoo.training.session import Interruption, Tracker
from zoo.training.step import TrainStep
from zoo.training.trackers import log_image

BEST_METRIC = "eval/nelbo_excess"
PREDICTION_IMAGE = "eval/predictions"


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """How a run ended."""

    step: int
    seconds: float
    scenes: int
    status: Literal["finished", "interrupted"]
    signal: int | None = None


Progress = Callable[[int, Mapping[str, float]], None]
OnPredictions = Callable[[int, Sheet], None]  # step, predictions of the fixed scenes


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
        """Raises ConfigError if batch size, processes, context sizes and data do not match; writes nothing."""
        self.recipe, self.run, self.seed = recipe, run, seed
        self.accelerator, self.options, self.config = accelerator, options, dict(config)
        self.loader = TrainingLoader(
            train,
            plan=TrainingPlan(train, recipe=recipe, seed=seed),
            device=accelerator.device,
            share=Share(accelerator.process_index, accelerator.num_processes, recipe.gradient_accumulation),
            workers=options.workers,
            residence=options.residence,
        )
        self.validation, self.fixed_scenes = None, None
        if validation is not None:
            most, scenes = recipe.contexts.maximum, options.validation_scenes
            self.validation = Evaluation(
                validation,
                EvaluationPlan(validation, num_context=most, num_targets=recipe.most_targets, max_scenes=scenes),
                schedule=evaluation_schedule_values(recipe, device=accelerator.device),
                batch_size=max(1, recipe.batch_size // accelerator.num_processes),
            )
            if options.prediction_scenes and model.task.target_kind == "images":
                self.fixed_scenes = FixedScenes(
                    validation, recipe=recipe, num_scenes=options.prediction_scenes, device=accelerator.device
                )
        self.train_step = TrainStep(
            model,
            recipe=recipe,
            seed=seed,
            accelerator=accelerator,
            options=options,
            checkpoints=run / checkpoint.FOLDER,
        )
        # The evaluated model is the averaged one if there is one.
        self.model, self.evaluated_model = model, self.train_step.evaluated_model
        self.step, self.seconds = 0, 0.0
        self.best_step: int | None = None
        self.best_value = float("inf")

    def fit(self, *, progress: Progress | None = None, on_predictions: OnPredictions | None = None) -> TrainingReport:
        """Trains up to the recipe's last step, or until a signal arrives; writes a checkpoint at the end.

        Raises:
            NonFiniteError: if the loss or the gradient is not finite; neither that update nor a later one is made.
            DiskFullError: if a checkpoint cannot be written; the older ones are unchanged.
        """
        tracker = Tracker(self.run, accelerator=self.accelerator, resume_step=self.step)
        self.train_step.wrapped.train()
        batches = self.loader.pieces(start=self.step, stop=self.recipe.steps)
        logged_step, logged_at = self.step, time.perf_counter()
        with Interruption() as interruption:
            while self.step < self.recipe.steps:
                started = time.perf_counter()
                metrics = self.train_step.run(self.step, batches)
                self.step += 1
                self.seconds += time.perf_counter() - started
                values: dict[str, float] = {}
                if self._is_due(self.options.log_interval):
                    self.train_step.synchronize()
                    values, now = metrics(), time.perf_counter()
                    # Validations and checkpoints are included.
                    scenes = (self.step - logged_step) * self.recipe.batch_size
                    values["perf/scenes_per_second"] = scenes / (now - logged_at)
                    logged_step, logged_at = self.step, now
                    self._log(tracker, values)
                if progress:
                    progress(self.step, values)
                synchronize = self.step % self.options.log_interval == 0
                stopping = interruption.agreed(self.accelerator, synchronize=synchronize)
                improved = self._is_due(self.options.validation_interval) and self._validate(tracker, on_predictions)
                if stopping or improved or self._is_due(self.options.save_interval):
                    self._save(improved=improved)
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

    @property
    def best_metric(self) -> str:
        """The metric of the validation scenes that decides which step is the best: what the model is trained by."""
        return BEST_METRIC if self.train_step.model.objective.kind == "elbo" else "eval/objective"

    def _log(self, tracker: Tracker, values: Mapping[str, float]) -> None:
        tracker.log(self.step, {"seconds": self.seconds, "scenes": self.step * self.recipe.batch_size, **values})

    def _is_due(self, interval: int) -> bool:
        """Returns whether a step is a multiple of an interval, or the last one."""
        return self.step % interval == 0 or self.step == self.recipe.steps

    def _validate(self, tracker: Tracker, on_predictions: OnPredictions | None) -> bool:
        """Scores the validation scenes, if there are any, at fixed sigma, and draws predictions of the fixed scenes.

        Returns:
            Whether this is the best step so far.
        """
        if self.validation is None:
            return False
        self.train_step.synchronize()
        bounds = Bounds(objective=True)
        scores = score_scenes(self.evaluated_model, self.validation, bounds=bounds, accelerator=self.accelerator)
        means = {f"eval/{name}": float(values.mean()) for name, values in scores.items() if name != "scene"}
        self._log(tracker, means)
        if self.fixed_scenes is not None and self.accelerator.is_main_process:
            sheet = self.fixed_scenes.predict(self.evaluated_model)
            image = self.fixed_scenes.save(sheet, run=self.run, step=self.step)
            log_image(self.accelerator.trackers, PREDICTION_IMAGE, image, step=self.step)
            if on_predictions:
                on_predictions(self.step, sheet)
        value = means[self.best_metric]
        improved = value < self.best_value
        if improved:
            self.best_step, self.best_value = self.step, value
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
                run_checkpoints.mark_best(self.run, step=self.step, metric=self.best_metric, value=self.best_value)
            run_checkpoints.prune(self.run, keep_last=self.options.keep_last, keep_every=self.options.keep_every)
        self.accelerator.wait_for_everyone()

    def resume(self, found: checkpoint.Checkpoint, *, allow_config_change: bool = False) -> None:
        """Continues exactly where a checkpoint was written; raises CheckpointError if its configuration differs."""
        state = found.state
        before = {**state.config, "seed": state.seed}
        differences = _differences(before, {**self.config, "seed": self.seed})
        # What explains the others comes first: another variant, then another component.
        differing = sorted(differences, key=lambda key: (not key.endswith(("variant", ".use")), key))
        if differing and not allow_config_change:
            raise CheckpointError(
                f"{found.path}: was written with another configuration; differing: {', '.join(differing[:8])}; "
                "start a new run, or pass --allow-config-change"
            )
        checkpoint.load_tensors(found.path / checkpoint.MODEL, self.model)
        checkpoint.load_optimizer(found, self.train_step.optimizer)
        if self.train_step.average is not None:
            checkpoint.load_tensors(found.path / checkpoint.EMA, self.train_step.average)
        if self.accelerator.scaler is not None and state.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.scaler)
        self.step, self.seconds = state.step, state.seconds
        if state.best_step is not None and state.best_value is not None:
            self.best_step, self.best_value = state.best_step, state.best_value

    def restore_folder(self) -> list[Path]:
        """Restores the run's folder to its state at the resumed checkpoint; returns the new paths of later checkpoints."""
        moved = run_checkpoints.set_aside(self.run, after=self.step)
        # The process may have died between a checkpoint and its record as the best; or the best was set aside.
        if self.best_step is not None and checkpoint.step_folder(self.run, self.best_step).is_dir():
            run_checkpoints.mark_best(self.run, step=self.best_step, metric=self.best_metric, value=self.best_value)
        else:
            (self.run / checkpoint.FOLDER / run_checkpoints.BEST).unlink(missing_ok=True)
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
