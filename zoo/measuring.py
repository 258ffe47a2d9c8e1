"""From a trained model to a result row: test-set bounds, pictures, speeds, and failures as rows of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from zoo.contract import TargetKind
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource
from zoo.errors import ConfigError, NonFiniteError, OutOfMemoryError, ZooError
from zoo.evaluation.images import score_pictures
from zoo.evaluation.nelbo import score_scenes
from zoo.evaluation.poses import score_poses
from zoo.evaluation.throughput import Spread, Throughput, measure
from zoo.evaluation.values import score_values
from zoo.likelihoods.discretised_logistic import bits_per_dim
from zoo.model import SceneModel
from zoo.provenance import collect
from zoo.registry import Variant, build
from zoo.results import (
    PREDICT_THROUGHPUT,
    TRAIN_THROUGHPUT,
    Budget,
    ComparabilityKey,
    Metric,
    ModelFacts,
    ResultRow,
    Status,
    Timing,
)
from zoo.schedules import evaluation_knobs
from zoo.training.run import TrainedModel, check_data

Progress = Callable[[str, int, int], None]
NATS = "nats/target"
SCORERS: Mapping[TargetKind, Callable[..., dict[str, np.ndarray]]] = MappingProxyType(
    {"images": score_pictures, "poses": score_poses, "values": score_values}
)
UNITS = {
    "mse": "squared 0-to-1 range",
    "psnr": "dB",
    "ssim": "1",
    "sample_variance": "squared 0-to-1 range",
    "predictive_log_likelihood": NATS,
    "marginal_log_likelihood": NATS,
    "rmse": "units of the values",
    "position_error": "scene units",
    "angle_error": "degrees",
    "pose_log_density": NATS,
}
HIGHER = {
    "pose_log_density": True,
    "psnr": True,
    "ssim": True,
    "mse": False,
    "log_likelihood": True,
    "predictive_log_likelihood": True,
    "marginal_log_likelihood": True,
}
NEUTRAL = ("kl", "floor", "sample_variance", "wrong_context_nelbo_excess")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is measured, on which episodes.

    Attributes:
        num_context: context views of a scene; None takes the largest number seen in training.
        num_targets: targets of a scene; None takes the number of training.
        sigma: standard deviation of the annealed Gaussian; None takes the one at which training ends.
        importance_samples: K of the importance-weighted bound; 0 leaves it out.
        prediction_samples: samples whose mean is compared with the truth.
        wrong_context: also scores every scene with the context of another one.
        max_scenes: the first so many scenes of the split; None takes all.
        batch_size: scenes at once.
        repeats: repetitions of the speed measurement; 0 leaves it out.
        seed: decides which views are context and targets.
    """

    num_context: int | None = None
    num_targets: int | None = None
    sigma: float | None = None
    importance_samples: int = 0
    prediction_samples: int = 8
    wrong_context: bool = True
    max_scenes: int | None = None
    batch_size: int = 36
    repeats: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sigma is not None and not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ConfigError(f"sigma: found {self.sigma}, expected a positive number")
        for name in ("prediction_samples", "batch_size", "num_targets", "max_scenes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: found {value}, expected at least 1")
        for name in ("repeats", "importance_samples", "seed", "num_context"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"{name}: found {value}, expected 0 or more")

    def at(self, num_context: int | None, *, timed: bool) -> Protocol:
        """Returns the same protocol for another number of context views, with or without the speed measurement."""
        return replace(self, num_context=num_context, repeats=self.repeats if timed else 0)


def plan_of(protocol: Protocol, variant: Variant, source: SceneSource) -> EvaluationPlan:
    """Returns the episodes on which a variant is measured; what the protocol leaves open is as in training.

    Raises:
        ConfigError: if the scenes have too few views or pictures of another size.
    """
    check_data(source, variant, folder=Path(source.name))
    recipe = variant.training
    return EvaluationPlan(
        source,
        num_context=recipe.contexts.maximum if protocol.num_context is None else protocol.num_context,
        num_targets=protocol.num_targets or recipe.targets,
        seed=protocol.seed,
        max_scenes=protocol.max_scenes,
    )


def evaluate(
    trained: TrainedModel,
    source: SceneSource,
    *,
    protocol: Protocol,
    device: torch.device | str = "cpu",
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> ResultRow:
    """Measures a trained model on a whole split.

    Float32, beta 1, fixed sigma, seeded: the same row (but for speeds) whenever and wherever it is made again.

    Raises:
        ConfigError: if the scenes have too few views or pictures of another size.
        NonFiniteError: if a score is not finite.
    """
    variant, model = trained.variant, trained.model
    recipe = variant.training
    plan = plan_of(protocol, variant, source)
    knobs = evaluation_knobs(recipe, sigma=protocol.sigma, device=device)

    def told(stage: str) -> Callable[[int, int], None] | None:
        return (lambda done, total: progress(stage, done, total)) if progress else None

    per_scene = score_scenes(
        model,
        source,
        plan,
        knobs=knobs,
        batch_size=protocol.batch_size,
        device=device,
        importance_samples=protocol.importance_samples,
        progress=told("bound"),
    )
    floor = per_scene.pop("floor")
    if protocol.wrong_context and plan.num_context and plan.num_scenes > 1:
        wrong = score_scenes(
            model,
            source,
            plan,
            knobs=knobs,
            batch_size=protocol.batch_size,
            device=device,
            shift=1,
            progress=told("wrong context"),
        )
        per_scene["wrong_context_nelbo_excess"] = wrong["nelbo_excess"]
    score_predictions = SCORERS[model.task.target_kind]
    per_scene |= score_predictions(
        model,
        source,
        plan,
        knobs=knobs,
        batch_size=protocol.batch_size,
        num_samples=protocol.prediction_samples,
        device=device,
        progress=told("predictions"),
    )
    for name, values in per_scene.items():
        if not np.isfinite(values).all():
            scene = int(np.flatnonzero(~np.isfinite(values))[0])
            raise NonFiniteError(f"{variant.name}: {name} of scene {scene} is {values[scene]}; the model is not usable")
    metrics = {
        name: _metric(name, values, samples=protocol.prediction_samples)
        for name, values in per_scene.items()
        if name != "scene"
    }
    metrics["floor"] = Metric(value=float(floor.mean()), stderr=0.0, n=len(floor), unit=NATS)
    likelihood = model.likelihood
    if likelihood.discrete:
        dims = math.prod(model.task.target_shape)
        nelbo = metrics["nelbo"]
        metrics["bits_per_dim"] = Metric(
            value=bits_per_dim(nelbo.value, dims),
            stderr=bits_per_dim(nelbo.stderr or 0.0, dims),
            n=nelbo.n,
            unit="bits/dim",
            higher_is_better=False,
        )
    throughput = None
    if protocol.repeats:
        throughput = measure(
            model, recipe=recipe, image_size=variant.image_size, device=device, repeats=protocol.repeats
        )
    return ResultRow(
        status="ok",
        variant=label_of(variant),
        encoder=variant.encoder.use,
        core=variant.core.use,
        key=ComparabilityKey(
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
            sigma=float(knobs.sigma) if likelihood.uses_sigma else None,
        ),
        metrics=metrics,
        per_scene={name: values.tolist() for name, values in per_scene.items()},
        performance=_timings(throughput) if throughput else {},
        model=_facts(model, throughput),
        budget=Budget(
            steps=trained.step,
            batch_size=recipe.batch_size,
            scenes_seen=trained.step * recipe.batch_size,
            seconds=trained.seconds,
        ),
        provenance=collect(
            seed=trained.seed, command=command, config=dict(trained.config), device=torch.device(device).type
        ),
    )


def _metric(name: str, values: np.ndarray, *, samples: int) -> Metric:
    stderr = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    # How good the mean of several samples looks depends on how many they are.
    unit = f"{UNITS[name]}, {samples} samples" if name in UNITS else NATS
    higher = None if name in NEUTRAL else HIGHER.get(name, False)
    return Metric(value=float(values.mean()), stderr=stderr, n=len(values), unit=unit, higher_is_better=higher)


def speed_row(
    variant: Variant, *, seed: int, protocol: Protocol, device: torch.device | str = "cpu", command: Sequence[str] = ()
) -> ResultRow:
    """Measures how fast an untrained model of a variant trains and predicts, on pictures of noise."""
    model = build(variant, seed=seed).lay_out(device)
    recipe = variant.training
    throughput = measure(
        model, recipe=recipe, image_size=variant.image_size, device=device, repeats=max(1, protocol.repeats)
    )
    return ResultRow(
        status="ok",
        variant=label_of(variant),
        encoder=variant.encoder.use,
        core=variant.core.use,
        key=None,
        performance=_timings(throughput),
        model=_facts(model, throughput),
        budget=Budget(steps=0, batch_size=recipe.batch_size, scenes_seen=0, seconds=0.0),
        provenance=collect(seed=seed, command=command, config=variant.config(), device=torch.device(device).type),
    )


def label_of(variant: Variant) -> str:
    """Returns the name under which a variant stands in tables: sizes other than the full one are told."""
    return variant.name if variant.size == "full" else f"{variant.name}@{variant.size}"


def _facts(model: SceneModel, throughput: Throughput | None) -> ModelFacts:
    return ModelFacts(
        parameters=model.num_parameters,
        flops_per_training_scene=throughput.flops_per_training_scene if throughput else None,
        flops_per_prediction=throughput.flops_per_prediction if throughput else None,
        peak_memory_bytes=throughput.peak_memory_bytes if throughput else None,
    )


def _timings(throughput: Throughput) -> dict[str, Timing]:
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
    """Makes the row of a variant that could not be trained or measured, so that tables do not pass over it."""
    status: Status = "error"
    if isinstance(error, NonFiniteError):
        status = "nan"
    elif isinstance(error, OutOfMemoryError | MemoryError | torch.OutOfMemoryError):
        status = "oom"
    elif isinstance(error, KeyboardInterrupt):
        status = "interrupted"
    try:
        config = variant.config()
    except ZooError:
        config = {"variant": variant.name, "size": variant.size}
    return ResultRow(
        status=status,
        error=(str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}")[:2000],
        variant=label_of(variant),
        encoder=variant.encoder.use,
        core=variant.core.use,
        key=None,
        model=None,
        budget=None,
        provenance=collect(seed=seed, command=command, config=config, device=device),
    )
