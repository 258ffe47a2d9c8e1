"""The protocol of a measurement: metrics and episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

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
        "hidden-digits": "whether views of the hidden side of a digit cube agree, given its three other sides",
    }
)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Metrics and episodes of a measurement; the ELBO is always measured."""

    num_context: int | None = None  # context views of a scene; None: the largest number of training
    num_targets: int | None = None  # of a scene; None: as in training
    sigma: float | None = None  # of the annealed Gaussian; None: the one at which training ends
    importance_samples: tuple[int, ...] = ()  # the K of every importance-weighted bound
    prediction_samples: int = 10  # their mean, one and the best of them are compared with the truth
    metrics: tuple[str, ...] = tuple(METRICS)
    max_scenes: int | None = None  # the first so many scenes of the split; None: all
    batch_size: int = 36  # scenes at once
    repeats: int = 10  # of the speed measurement; 0 leaves it out
    seed: int = 0  # decides which views are context and targets

    def __post_init__(self) -> None:
        if self.sigma is not None and not SIGMA_RANGE[0] <= self.sigma <= SIGMA_RANGE[1]:
            raise ConfigError(
                f"sigma: found {self.sigma}, expected a number from {SIGMA_RANGE[0]} to {SIGMA_RANGE[1]:g}"
            )
        least = {"prediction_samples": 1, "batch_size": 1, "num_targets": 1, "max_scenes": 1}
        for name, bound in {**least, "repeats": 0, "seed": 0, "num_context": 0}.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ConfigError(f"{name}: found {value}, expected {'at least 1' if bound else '0 or more'}")
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


def plan_of(protocol: Protocol, variant: Variant, source: SceneSource) -> EvaluationPlan:
    """Returns the episodes of a measurement; raises ConfigError if the scenes have too few views or another size."""
    data_requirements(variant).check(source, folder=source.name)
    recipe = variant.training
    return EvaluationPlan(
        source,
        num_context=recipe.contexts.maximum if protocol.num_context is None else protocol.num_context,
        num_targets=protocol.num_targets or recipe.most_targets,
        seed=protocol.seed,
        max_scenes=protocol.max_scenes,
    )


def calibration_plan(protocol: Protocol, variant: Variant, calibration: SceneSource) -> EvaluationPlan:
    """Returns episodes like those of a measurement, of the first scenes of another split."""
    return plan_of(replace(protocol, max_scenes=calibration_size(calibration)), variant, calibration)


def calibration_size(calibration: SceneSource | None) -> int:
    """Returns the number of scenes on which a sigma is fitted; 1 if there is no split for it."""
    return 1 if calibration is None else min(CALIBRATION_SCENES, calibration.num_scenes)


def calibration_split(splits: Mapping[Split, SceneSource], *, reported: Split) -> SceneSource | None:
    """Returns the scenes on which a sigma is fitted: validation, else training, never the split that is reported on."""
    candidates: tuple[Split, ...] = ("validation", "train")
    return next((splits[split] for split in candidates if split in splits and split != reported), None)
