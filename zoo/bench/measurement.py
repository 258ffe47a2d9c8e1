"""From a trained model to a result row: test-set bounds, predictions, speeds, and rows of failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from zoo.bench.protocol import Protocol, calibration_plan, calibration_size, plan_of
from zoo.config.schedules import evaluation_schedule_values
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.episode import ScheduleValues
from zoo.errors import NonFiniteError, OutOfMemoryError, ZooError
from zoo.evaluation.bounds import Bounds, score_scenes
from zoo.evaluation.code_length import code_schedule_values, supports_bits_per_dim
from zoo.evaluation.images import check_image_size, score_images
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.poses import score_poses
from zoo.evaluation.throughput import Spread, Throughput, measure
from zoo.evaluation.values import score_values
from zoo.model.interfaces import Likelihood, TargetKind, Task
from zoo.model.scene_model import SceneModel
from zoo.provenance import collect
from zoo.registry.variant import Variant, build, component_sources, resolve
from zoo.results.metrics import code_sigma_metric, floor_metric, metrics_of, unit_of
from zoo.results.row import (
    PREDICT_THROUGHPUT,
    TRAIN_THROUGHPUT,
    Budget,
    ComparabilityKey,
    ModelFacts,
    ResultRow,
    Status,
    Timing,
)
from zoo.training.trained_model import TrainedModel, TrainingCost

StageProgress = Callable[[str, int, int], None]  # stage, done, total
SCORERS: Mapping[TargetKind, Callable[..., dict[str, np.ndarray]]] = MappingProxyType(
    {"images": score_images, "poses": score_poses, "values": score_values}
)
# One metric of every scorer, by which rows with predictions are recognised.
PREDICTION_METRIC: Mapping[TargetKind, str] = MappingProxyType(
    {"images": "mse", "poses": "position_error", "values": "rmse"}
)


def evaluate(
    trained: TrainedModel,
    source: SceneSource,
    *,
    protocol: Protocol,
    calibration: SceneSource | None = None,
    speeds_of: ResultRow | None = None,
    device: torch.device | str = "cpu",
    command: Sequence[str] = (),
    progress: StageProgress | None = None,
) -> ResultRow:
    """Measures a trained model on a whole split: float32, beta 1, fixed sigma, seeded.

    Except for speeds, the row depends neither on the time nor on the machine.

    Args:
        trained: the model.
        source: the scenes that are reported on.
        protocol: of the measurement.
        calibration: other scenes, on which the sigma of a code of 8-bit values is fitted; None leaves bits/dim out where
            the likelihood has a sigma.
        speeds_of: a row of the same model on the same machine, whose speeds are copied instead of being measured.
        device: of the model.
        command: the command line, for the provenance.
        progress: called with a stage, the scenes done and all scenes.

    Raises:
        ConfigError: if the scenes have too few views or images of another size.
        NonFiniteError: if a score is not finite.
    """
    variant, model = trained.variant, trained.model
    recipe = variant.training
    plan = plan_of(protocol, variant, source)
    schedule = evaluation_schedule_values(recipe, sigma=protocol.sigma, device=device)
    evaluation = Evaluation(source, plan, schedule=schedule, batch_size=protocol.batch_size)
    measurement = _Measurement(model, plan, evaluation, protocol=protocol, progress=progress)
    code_schedule = measurement.code_schedule(calibration)
    per_scene = measurement.scores(code_schedule)
    for name, values in per_scene.items():
        if not np.isfinite(values).all():
            scene = int(np.flatnonzero(~np.isfinite(values))[0])
            raise NonFiniteError(f"{variant.name}: {name} of scene {scene} is {values[scene]}; the model is not usable")
    floor = per_scene.pop("floor")
    metrics = metrics_of(per_scene, samples=protocol.prediction_samples)
    metrics["floor"] = floor_metric(floor)
    if code_schedule is not None and model.likelihood.uses_sigma:
        sigma = float(code_schedule.sigma)
        metrics["code_sigma"] = code_sigma_metric(sigma, num_scenes=calibration_size(calibration))
    cost = trained.spent or TrainingCost(trained.step, trained.seconds)
    speeds = None
    if protocol.repeats and speeds_of is None:
        speeds = measure(model, recipe=recipe, image_size=variant.image_size, device=device, repeats=protocol.repeats)
    performance, facts = _timings(speeds), _facts(model, speeds)
    if speeds_of is not None and speeds_of.model is not None:
        performance, facts = speeds_of.performance, speeds_of.model
    return _row_of(
        variant,
        status="ok",
        key=key_of(variant, source, plan, sigma=float(schedule.sigma) if model.likelihood.uses_sigma else None),
        metrics=metrics,
        per_scene={name: values.tolist() for name, values in per_scene.items()},
        performance=performance,
        model=facts,
        budget=Budget(
            steps=cost.steps,
            batch_size=recipe.batch_size,
            scenes_seen=cost.steps * recipe.batch_size,
            seconds=cost.seconds,
        ),
        provenance=collect(
            seed=trained.seed,
            command=command,
            config=dict(trained.config),
            device=torch.device(device).type,
            trained_git=trained.git,
            components=component_sources(variant),
        ),
    )


@dataclass(frozen=True)
class _Measurement:
    """One model on the episodes of one plan."""

    model: SceneModel
    plan: EvaluationPlan
    evaluation: Evaluation
    _: KW_ONLY
    protocol: Protocol
    progress: StageProgress | None

    def code_schedule(self, calibration: SceneSource | None) -> ScheduleValues | None:
        """Returns the schedule values of a code of 8-bit values; None without such a code or if it is not requested."""
        if "bits-per-dim" not in self.protocol.metrics or not supports_bits_per_dim(self.model):
            return None
        if not self.model.likelihood.uses_sigma:
            return self.evaluation.schedule
        if calibration is None:
            return None
        plan = calibration_plan(self.plan, calibration, seed=self.protocol.seed)
        return code_schedule_values(self.model, replace(self.evaluation, source=calibration, plan=plan))

    def scores(self, code_schedule: ScheduleValues | None) -> dict[str, np.ndarray]:
        """Returns every metric by scene, and the floor."""
        metrics, images = self.protocol.metrics, self.model.task.target_kind == "images"
        if images:
            check_image_size(self.evaluation.source)
        bounds = Bounds(
            importance_samples=self.protocol.importance_samples,
            separate="separate-targets" in metrics,
            reconstruction=images and "reconstruction" in metrics,
            code_schedule=code_schedule,
        )
        found = self._score("bound", score_scenes, bounds=bounds)
        if self.model.likelihood.uses_sigma:
            found["distortion"] = found["nelbo_excess"] - found["kl"]
        if "wrong-context" in metrics and self.plan.num_context and self.plan.num_scenes > 1:
            wrong = self._score("wrong context", score_scenes, shift=1)
            found["wrong_context_nelbo_excess"] = wrong["nelbo_excess"]
        if "predictions" in metrics:
            scorer = SCORERS[self.model.task.target_kind]
            found |= self._score("predictions", scorer, num_samples=self.protocol.prediction_samples)
        return found

    def _score(
        self, stage: str, scorer: Callable[..., dict[str, np.ndarray]], *, shift: int = 0, **options: Any
    ) -> dict[str, np.ndarray]:
        progress = partial(self.progress, stage) if self.progress else None
        return scorer(self.model, replace(self.evaluation, shift=shift, progress=progress), **options)


def expected_metrics(variant: Variant, plan: EvaluationPlan, *, protocol: Protocol) -> dict[str, str]:
    """Returns metrics, with their units, by which a row that satisfies a protocol is recognised.

    There is one for everything that the protocol includes and the variant has.
    """
    parts = resolve(variant)
    task, likelihood = parts["task"].component_class, parts["likelihood"].component_class
    assert issubclass(task, Task) and issubclass(likelihood, Likelihood)
    images, asked = task.target_kind == "images", protocol.metrics
    names = ["nelbo", *(f"iwae_{number}_gap" for number in protocol.importance_samples)]
    found = {
        "wrong_context_nelbo_excess": "wrong-context" in asked and plan.num_context > 0 and plan.num_scenes > 1,
        "separate_nelbo_excess": "separate-targets" in asked and plan.num_targets > 1,
        "reconstruction_mse": "reconstruction" in asked and images,
        "bits_per_dim": "bits-per-dim" in asked and images and likelihood.has_mass,
        PREDICTION_METRIC[task.target_kind]: "predictions" in asked,
    }
    names += [name for name, expected in found.items() if expected]
    return {name: unit_of(name, samples=protocol.prediction_samples) for name in names}


def key_of(variant: Variant, source: SceneSource, plan: EvaluationPlan, *, sigma: float | None) -> ComparabilityKey:
    """Returns the comparability key of a variant's row on a plan."""
    return ComparabilityKey(
        task=variant.task.use,
        dataset=source.name,
        revision=source.revision,
        split=source.split,
        image_size=source.image_size,
        num_context=plan.num_context,
        num_targets=plan.num_targets,
        num_scenes=plan.num_scenes,
        episodes=plan.digest(),
        likelihood=variant.likelihood.use,
        sigma=sigma,
    )


def speed_row(
    variant: Variant, *, seed: int, protocol: Protocol, device: torch.device | str = "cpu", command: Sequence[str] = ()
) -> ResultRow:
    """Measures the training and prediction speed of an untrained model, on images of noise."""
    model = build(variant, seed=seed).to_device(device)
    recipe = variant.training
    throughput = measure(
        model, recipe=recipe, image_size=variant.image_size, device=device, repeats=max(1, protocol.repeats)
    )
    return _row_of(
        variant,
        status="ok",
        key=None,
        performance=_timings(throughput),
        model=_facts(model, throughput),
        budget=Budget(steps=0, batch_size=recipe.batch_size, scenes_seen=0, seconds=0.0),
        provenance=collect(
            seed=seed,
            command=command,
            config=variant.config(),
            device=torch.device(device).type,
            components=component_sources(variant),
        ),
    )


def label_of(variant: Variant) -> str:
    """Returns the name of a variant in tables, with its size unless that is the full one."""
    return variant.name if variant.size == "full" else f"{variant.name}@{variant.size}"


def _row_of(variant: Variant, **fields: Any) -> ResultRow:
    """Returns a row with the names of a variant and its components."""
    return ResultRow(variant=label_of(variant), encoder=variant.encoder.use, core=variant.core.use, **fields)


def _facts(model: SceneModel, throughput: Throughput | None) -> ModelFacts:
    return ModelFacts(
        parameters=model.num_parameters,
        flops_per_training_scene=throughput.flops_per_training_scene if throughput else None,
        flops_per_prediction=throughput.flops_per_prediction if throughput else None,
        peak_memory_bytes=throughput.peak_memory_bytes if throughput else None,
    )


def _timings(throughput: Throughput | None) -> dict[str, Timing]:
    if throughput is None:
        return {}

    def timing(spread: Spread, *, unit: str, higher: bool) -> Timing:
        return Timing(**spread._asdict(), unit=unit, higher_is_better=higher)

    return {
        TRAIN_THROUGHPUT: timing(throughput.train, unit="scenes/s", higher=True),
        PREDICT_THROUGHPUT: timing(throughput.predict, unit="images/s", higher=True),
        "train_step_seconds": timing(throughput.train_step_seconds, unit="s", higher=False),
        "predict_step_seconds": timing(throughput.predict_step_seconds, unit="s", higher=False),
    }


def failed_row(
    variant: Variant, error: BaseException, *, seed: int, command: Sequence[str] = (), device: str = "cpu"
) -> ResultRow:
    """Returns the row of a variant that could not be trained or measured, so that tables include it."""
    status: Status = "error"
    if isinstance(error, NonFiniteError):
        status = "nan"
    elif isinstance(error, OutOfMemoryError | MemoryError | torch.OutOfMemoryError):
        status = "oom"
    elif isinstance(error, KeyboardInterrupt):
        status = "interrupted"
    try:
        config, components = variant.config(), component_sources(variant)
    except ZooError:
        config, components = {"variant": variant.name, "size": variant.size}, {}
    return _row_of(
        variant,
        status=status,
        error=(str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}")[:2000],
        key=None,
        model=None,
        budget=None,
        provenance=collect(seed=seed, command=command, config=config, device=device, components=components),
    )
