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
from zoo.data.render.digit_cube import NUM_SIDES
from zoo.data.source import SceneSource
from zoo.episode import ScheduleValues
from zoo.errors import NonFiniteError, OutOfMemoryError, ZooError
from zoo.evaluation.bounds import Bounds, score_scenes
from zoo.evaluation.code_length import code_schedule_values, supports_bits_per_dim
from zoo.evaluation.consistency import has_camera_queries
from zoo.evaluation.digit_agreement import DIGIT_EXTRAS, score_hidden_sides
from zoo.evaluation.images import check_image_size, score_images
from zoo.evaluation.loop import Evaluation
from zoo.evaluation.poses import score_poses
from zoo.evaluation.throughput import measure
from zoo.evaluation.values import score_values
from zoo.model.interfaces import Likelihood, TargetKind, Task
from zoo.model.scene_model import SceneModel
from zoo.provenance import collect
from zoo.registry.variant import Variant, build, component_sources, resolve
from zoo.results.metrics import code_sigma_metric, metric_info, metrics_of
from zoo.results.row import Budget, ComparabilityKey, ModelFacts, ResultRow, Status, Timing
from zoo.training.trained_model import TrainedModel, TrainingCost

StageProgress = Callable[[str, int, int], None]  # stage, done, total
Scorer = Callable[..., dict[str, np.ndarray]]
# The scorer of predictions, and one of its metrics, by which rows with predictions are recognised.
SCORERS: Mapping[TargetKind, tuple[Scorer, str]] = MappingProxyType(
    {"images": (score_images, "mse"), "poses": (score_poses, "position_error"), "values": (score_values, "rmse")}
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

    Except for speeds, the row depends neither on the time nor on the machine. The sigma of a code of 8-bit values is
    fitted on the scenes ``calibration``, without which bits/dim are left out where the likelihood has a sigma. Speeds
    are copied from ``speeds_of``, a row of the same model on the same machine, or measured. ``progress`` is called with
    a stage, the scenes done and all scenes.

    Raises:
        ConfigError: if the scenes have too few views or images of another size.
        NonFiniteError: if a score is not finite.
    """
    variant, model = trained.variant, trained.model
    plan = plan_of(protocol, variant, source)
    schedule = evaluation_schedule_values(variant.training, sigma=protocol.sigma, device=device)
    evaluation = Evaluation(source, plan, schedule=schedule, batch_size=protocol.batch_size)
    measurement = _Measurement(model, plan, evaluation, protocol=protocol, progress=progress)
    code_schedule = measurement.code_schedule(variant, calibration)
    per_scene = measurement.scores(code_schedule) | measurement.hidden_digits(calibration)
    for name, values in per_scene.items():
        if not np.isfinite(values).all():
            scene = int(np.flatnonzero(~np.isfinite(values))[0])
            raise NonFiniteError(f"{variant.name}: {name} of scene {scene} is {values[scene]}; the model is not usable")
    metrics = metrics_of(per_scene, samples=protocol.prediction_samples)
    if code_schedule is not None and model.likelihood.uses_sigma:
        sigma = float(code_schedule.sigma)
        metrics["code_sigma"] = code_sigma_metric(sigma, num_scenes=calibration_size(calibration))
    if speeds_of is not None and speeds_of.model is not None:
        facts, performance = speeds_of.model, speeds_of.performance
    else:
        facts, performance = _speed_of(model, variant, repeats=protocol.repeats, device=device)
    return _row_of(
        variant,
        status="ok",
        key=key_of(variant, source, plan, sigma=float(schedule.sigma) if model.likelihood.uses_sigma else None),
        metrics=metrics,
        per_scene={name: values.tolist() for name, values in per_scene.items() if name != "floor"},
        performance=performance,
        model=facts,
        budget=_budget(variant, trained.spent),
        device=device,
        origin={"seed": trained.seed, "command": command, "config": trained.config, "trained_git": trained.git},
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

    def code_schedule(self, variant: Variant, calibration: SceneSource | None) -> ScheduleValues | None:
        """Returns the schedule values of a code of 8-bit values; None without such a code or if it is not requested."""
        if "bits-per-dim" not in self.protocol.metrics or not supports_bits_per_dim(self.model):
            return None
        if not self.model.likelihood.uses_sigma:
            return self.evaluation.schedule
        if calibration is None:
            return None
        plan = calibration_plan(self.protocol, variant, calibration)
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
            scorer, _ = SCORERS[self.model.task.target_kind]
            found |= self._score("predictions", scorer, num_samples=self.protocol.prediction_samples)
        return found

    def hidden_digits(self, calibration: SceneSource | None) -> dict[str, np.ndarray]:
        """Returns the agreement of digits; nothing for other scenes and contexts, and without scenes to train a reader on."""
        digits = self.evaluation.source.extras.keys() >= DIGIT_EXTRAS and self.plan.num_context == NUM_SIDES - 1
        wanted = "hidden-digits" in self.protocol.metrics and self.protocol.prediction_samples > 1
        if not (wanted and digits and calibration and has_camera_queries(self.model)):
            return {}
        samples = self.protocol.prediction_samples
        return self._score("hidden digits", score_hidden_sides, readable=calibration, num_samples=samples)

    def _score(self, stage: str, scorer: Scorer, *, shift: int = 0, **options: Any) -> dict[str, np.ndarray]:
        progress = partial(self.progress, stage) if self.progress else None
        return scorer(self.model, replace(self.evaluation, shift=shift, progress=progress), **options)


def expected_metrics(variant: Variant, plan: EvaluationPlan, *, protocol: Protocol) -> dict[str, str]:
    """Returns the units of metrics, one for everything that the protocol includes and the variant has."""
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
        SCORERS[task.target_kind][1]: "predictions" in asked,
    }
    names += [name for name, expected in found.items() if expected]
    return {name: metric_info(name).unit_with_samples(protocol.prediction_samples) for name in names}


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
    facts, performance = _speed_of(model, variant, repeats=max(1, protocol.repeats), device=device)
    return _row_of(
        variant,
        status="ok",
        key=None,
        performance=performance,
        model=facts,
        budget=_budget(variant, TrainingCost(0, 0.0)),
        device=device,
        origin={"seed": seed, "command": command, "config": variant.config()},
    )


def label_of(variant: Variant) -> str:
    """Returns the name of a variant in tables, with its size unless that is the full one."""
    return variant.name if variant.size == "full" else f"{variant.name}@{variant.size}"


def _row_of(variant: Variant, *, device: torch.device | str, origin: Mapping[str, Any], **fields: Any) -> ResultRow:
    """Returns a row of a variant with its provenance, which is collected from ``origin``."""
    try:
        components = component_sources(variant)
    except ZooError:  # the row of that failure
        components = {}
    provenance = collect(**origin, device=torch.device(device).type, components=components)
    return ResultRow(
        variant=label_of(variant), encoder=variant.encoder.use, core=variant.core.use, provenance=provenance, **fields
    )


def _budget(variant: Variant, cost: TrainingCost) -> Budget:
    size = variant.training.batch_size
    return Budget(steps=cost.steps, batch_size=size, scenes_seen=cost.steps * size, seconds=cost.seconds)


def _speed_of(
    model: SceneModel, variant: Variant, *, repeats: int, device: torch.device | str
) -> tuple[ModelFacts, dict[str, Timing]]:
    """Measures the cost and the speed of a model; with 0 ``repeats`` only its size is returned."""
    if not repeats:
        return ModelFacts(parameters=model.num_parameters), {}
    return measure(model, recipe=variant.training, image_size=variant.image_size, device=device, repeats=repeats)


def failed_row(
    variant: Variant, error: BaseException, *, seed: int, command: Sequence[str] = (), device: str = "cpu"
) -> ResultRow:
    """Returns the row of a variant that could not be trained or measured, so that tables include it."""
    status: Status = "error"
    if isinstance(error, NonFiniteError):
        status = "nan"
    elif isinstance(error, OutOfMemoryError | MemoryError | torch.OutOfMemoryError):
        status = "oom"
    try:
        config = variant.config()
    except ZooError:
        config = {"variant": variant.name, "size": variant.size}
    return _row_of(
        variant,
        status=status,
        error=(str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}")[:2000],
        key=None,
        model=None,
        budget=None,
        device=device,
        origin={"seed": seed, "command": command, "config": config},
    )
