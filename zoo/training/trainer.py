"""The shared ELBO trainer. It never asks which variant it holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.data.loader import LoadedBatch, Residence, Share, TrainingLoader
from zoo.data.plan import EvaluationPlan, TrainingPlan
from zoo.data.source import SceneSource
from zoo.episode import ElboTerms
from zoo.errors import CheckpointError, ConfigError, NonFiniteError
from zoo.evaluation.nelbo import score_scenes
from zoo.model import SceneModel
from zoo.recipe import TrainingRecipe
from zoo.schedules import evaluation_knobs, knobs_at, value_at
from zoo.training import checkpoint
from zoo.training.interruption import Interruption
from zoo.training.tracking import Tracker

BEST_METRIC = "eval/nelbo_excess"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a run is carried out: nothing here changes which weights it ends with (but for rounding)."""

    compile: bool = False
    workers: int = 0
    residence: Residence = "auto"
    log_interval: int = 50
    validation_interval: int = 1000
    validation_scenes: int = 256
    save_interval: int = 1000
    keep_last: int = 2
    keep_every: int = 0

    def __post_init__(self) -> None:
        for name in ("log_interval", "validation_interval", "validation_scenes", "save_interval", "keep_last"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: found {getattr(self, name)}, expected at least 1")
        if self.keep_every < 0:
            raise ConfigError(f"keep_every: found {self.keep_every}, expected 0 or more")


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
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        settings = recipe.optimizer
        optimizer = (torch.optim.AdamW if settings.weight_decay else torch.optim.Adam)(
            parameters,
            lr=recipe.learning_rate.start,
            betas=(settings.betas[0], settings.betas[1]),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            fused=accelerator.device.type == "cuda" or None,
        )
        # The averaged copy is made before DistributedDataParallel wraps the model.
        self.ema = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay)) if recipe.ema_decay else None
        )
        if self.ema is not None:
            self.ema.to(accelerator.device)
        self.wrapped, self.optimizer = accelerator.prepare(model, optimizer)
        self.compiled = torch.compile(self.wrapped) if options.compile else self.wrapped
        self.step, self.seconds = 0, 0.0
        self.best_step: int | None = None
        self.best_value = float("inf")

    @property
    def model(self) -> SceneModel:
        """The model as it was given, without the wrapper of accelerate."""
        model = self.accelerator.unwrap_model(self.wrapped)
        assert isinstance(model, SceneModel)
        return model

    @property
    def evaluated_model(self) -> SceneModel:
        """The model that is validated and used: the averaged one if there is one."""
        if self.ema is None:
            return self.model
        assert isinstance(self.ema.module, SceneModel)
        return self.ema.module

    def fit(self, *, progress: Progress | None = None) -> TrainingReport:
        """Trains up to the recipe's last step, or until a signal asks for an end; a checkpoint is there afterwards.

        Raises:
            NonFiniteError: before the update, if the loss or the gradient is not finite.
            DiskFullError: if a checkpoint cannot be written; the older ones stay.
        """
        tracker = Tracker(self.run, accelerator=self.accelerator, resume_step=self.step)
        self.wrapped.train()
        pieces = self.loader.pieces(start=self.step, stop=self.recipe.steps)
        window = Window(self.step, time.perf_counter())
        with Interruption() as interruption:
            while self.step < self.recipe.steps:
                started = time.perf_counter()
                values = self._update(pieces)
                self.step += 1
                self.seconds += time.perf_counter() - started
                if self.step % self.options.log_interval == 0 or self.step == self.recipe.steps:
                    shown = {**values(), **window.speed(self.step, self.recipe.batch_size)}
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

    def _update(self, pieces: Iterator[LoadedBatch]) -> Callable[[], dict[str, float]]:
        """Makes one update and returns how to get its figures (which waits for the device)."""
        knobs = knobs_at(self.recipe, self.step, device=self.accelerator.device)
        learning_rate = value_at(self.recipe.learning_rate, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # Whatever still draws from torch's own generator (dropout in a backbone) follows from seed and step as well.
        torch.manual_seed(hash((self.seed, self.step, self.accelerator.process_index)) % 2**63)
        count = self.recipe.gradient_accumulation
        seen: list[ElboTerms] = []
        scenes: list[Tensor] = []
        for index, (batch, num_context) in enumerate(islice(pieces, count)):
            last = index == count - 1
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                with self.accelerator.autocast():
                    terms = self.compiled(batch, knobs, num_context)
                loss = (terms.nelbo(knobs.beta) / terms.num_targets).mean()
                self.accelerator.backward(loss / count)
            seen.append(ElboTerms(*(field.detach() for field in terms)))
            scenes.append(batch.scene)
        clip = self.recipe.gradient_clip or float("inf")
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), clip)
        terms = ElboTerms(*(torch.cat(fields) for fields in zip(*seen, strict=True)))
        self._refuse_non_finite(terms, norm, torch.cat(scenes))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update_parameters(self.model)

        def figures() -> dict[str, float]:
            per_scene = torch.stack([terms.nelbo(), terms.excess(), terms.kl, terms.log_likelihood]) / terms.num_targets
            means = self.accelerator.reduce(per_scene.double().mean(dim=1), reduction="mean").tolist()
            names = ("train/nelbo", "train/nelbo_excess", "train/kl", "train/log_likelihood")
            return {
                **dict(zip(names, means, strict=True)),
                "train/gradient_norm": float(norm),
                "train/learning_rate": learning_rate,
                "train/sigma": float(knobs.sigma),
                "train/beta": float(knobs.beta),
            }

        return figures

    def _refuse_non_finite(self, terms: ElboTerms, norm: Tensor, scenes: Tensor) -> None:
        # Gradients are averaged over the processes by now, so that a fault anywhere stops all of them at this step.
        # Under fp16 single overflowing gradients are expected; accelerate's scaler skips those updates by itself.
        if self.recipe.mixed_precision == "fp16":
            faults = (~torch.isfinite(terms.nelbo())).any().float()
            finite = bool(self.accelerator.reduce(faults, reduction="sum") == 0)
        else:
            finite = bool(torch.isfinite(norm))
        if finite:
            return
        bad = ~torch.isfinite(terms.nelbo())
        where = (
            f"scenes {scenes[bad].tolist()[:8]}" if bool(bad.any()) else "no scene of this process (only the gradient)"
        )
        raise NonFiniteError(
            f"step {self.step}: the loss or its gradient is not finite; the update was not made. Not finite: {where}; "
            f"log-likelihood {terms.log_likelihood.mean().item():.6g}, KL {terms.kl.mean().item():.6g} nats, gradient norm "
            f"{float(norm):.6g}. Look at training.learning_rate, training.gradient_clip (try 100), training.mixed_precision "
            f"(try no) and at the pictures of those scenes; the checkpoints in {self.run / checkpoint.FOLDER} are untouched"
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
        scores = score_scenes(
            self.evaluated_model,
            self.validation,
            self.validation_plan,
            knobs=evaluation_knobs(self.recipe, device=self.accelerator.device),
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
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            checkpoint.save(
                self.run,
                step=self.step,
                model=self.model,
                optimizer=self.optimizer,
                ema=self.ema,
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
        checkpoint.load_optimizer(found, self.optimizer)
        if self.ema is not None:
            checkpoint.load_weights(found, self.ema, file="ema.safetensors")
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
