"""The protocol of a measurement: metrics and episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from zoo.data.opening import Source, open_splits
from zoo.data.plan import EvaluationPlan
from zoo.data.source import SceneSource, Split
from zoo.errors import ConfigError, did_you_mean
from zoo.registry.variant import Variant, data_requirements

CALIBRATION_SCENES = 256
SIGMA_RANGE = (1e-3, 1e3)  # of pixels in [0, 1]; squared, it stays far within the range of float32

METRICS: Mapping[str, str] = MappingProxyType(
    {
        "wrong-context": "the NELBO given the context of another scene",
        "separate-targets": "the NELBO of every target alone, where a scene has several",
        "bits-per-dim": "the lossless code length of 8-bit images, with a sigma fitted on validation scenes",
        "reconstruction": "the errors of the posterior's images",
        "predictions": "the errors, or likelihoods, of predictions from the prior",
    }
)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Metrics and episodes of a measurement; the ELBO is always measured.

    Attributes:
        num_context: context views of a scene; None takes the largest number seen in training.
        num_targets: targets of a scene; None takes the number of training.
        sigma: standard deviation of the annealed Gaussian; None takes the one at which training ends.
        importance_samples: the K of every importance-weighted bound.
        prediction_samples: samples of a prediction; their mean, one and the best of them are compared with the truth.
        metrics: further metrics, names of :data:`METRICS`.
        max_scenes: the first so many scenes of the split; None takes all.
        batch_size: scenes at once.
        repeats: repetitions of the speed measurement; 0 leaves it out.
        seed: decides which views are context and targets.
    """

    num_context: int | None = None
    num_targets: int | None = None
    sigma: float | None = None
    importance_samples: tuple[int, ...] = ()
    prediction_samples: int = 10
    metrics: tuple[str, ...] = tuple(METRICS)
    max_scenes: int | None = None
    batch_size: int = 36
    repeats: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sigma is not None and not SIGMA_RANGE[0] <= self.sigma <= SIGMA_RANGE[1]:
            raise ConfigError(
                f"sigma: found {self.sigma}, expected a number from {SIGMA_RANGE[0]} to {SIGMA_RANGE[1]:g}"
            )
        for name in ("prediction_samples", "batch_size", "num_targets", "max_scenes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: found {value}, expected at least 1")
        for name in ("repeats", "seed", "num_context"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"{name}: found {value}, expected 0 or more")
        numbers = self.importance_samples
        if any(number < 1 for number in numbers) or len(set(numbers)) < len(numbers):
            raise ConfigError(f"importance_samples: found {numbers}, expected different numbers of at least 1")
        for metric in self.metrics:
            if metric not in METRICS:
                raise ConfigError(
                    f"metrics: found {self.metrics}, expected names out of {', '.join(METRICS)}: there is no "
                    f"{metric!r}{did_you_mean(metric, METRICS)}"
                )

    def at(self, num_context: int | None, *, timed: bool) -> Protocol:
        """Returns the same protocol for another number of context views, with or without the speed measurement."""
        return replace(self, num_context=num_context, repeats=self.repeats if timed else 0)

    def sigma_for(self, variant: Variant) -> float:
        """Returns the standard deviation at which a variant's annealed Gaussian is measured."""
        return variant.training.sigma.end if self.sigma is None else self.sigma


def plan_of(protocol: Protocol, variant: Variant, source: SceneSource) -> EvaluationPlan:
    """Returns the episodes of a measurement; numbers that the protocol leaves open are as in training.

    Raises:
        ConfigError: if the scenes have too few views or images of another size.
    """
    data_requirements(variant).check(source, folder=source.name)
    recipe = variant.training
    return EvaluationPlan(
        source,
        num_context=recipe.contexts.maximum if protocol.num_context is None else protocol.num_context,
        num_targets=protocol.num_targets or recipe.targets,
        seed=protocol.seed,
        max_scenes=protocol.max_scenes,
    )


def calibration_plan(plan: EvaluationPlan, calibration: SceneSource, *, seed: int) -> EvaluationPlan:
    """Returns episodes like those of a plan, of the first scenes of another split."""
    return EvaluationPlan(
        calibration,
        num_context=plan.num_context,
        num_targets=plan.num_targets,
        seed=seed,
        max_scenes=calibration_size(calibration),
    )


def calibration_size(calibration: SceneSource | None) -> int:
    """Returns the number of scenes on which a sigma is fitted; 1 if there is no split for it."""
    return 1 if calibration is None else min(CALIBRATION_SCENES, calibration.num_scenes)


def calibration_of(data: Path, *, reported: Split) -> SceneSource | None:
    """Returns the scenes on which a sigma is fitted: validation, else training, never the split that is reported on.

    Raises:
        DataError: if the folder holds no scenes.
    """
    return calibration_split(open_splits(data), reported=reported)


def calibration_split(splits: Mapping[Split, Source], *, reported: Split) -> Source | None:
    """Returns the scenes of :func:`calibration_of` from the splits of a folder."""
    candidates: tuple[Split, ...] = ("validation", "train")
    return next((splits[split] for split in candidates if split in splits and split != reported), None)
