"""A suite as a file: which variants on which scenes, with which seeds, for how long, and what is measured.

Every key is checked as strictly as those of the registry. Our own suites lie in ``benchmarks/suites``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from zoo.bench.protocol import METRICS
from zoo.config.settings import Settings, load_yaml, parse
from zoo.errors import ConfigError, did_you_mean

SUFFIX = ".yaml"
_BOUND = r"^(ELBO|IWAE-[1-9][0-9]{0,4})$"


class SceneSet(Settings):
    """Scenes to train and measure on: a built-in recipe, made when it is needed, or a folder."""

    recipe: str | None = Field(default=None, description="a built-in data set")
    folder: str | None = Field(default=None, description="a scene store or TFRecords, instead of a recipe")
    image_size: int = Field(default=64, ge=0, description="pixels of a image's side; of no effect on functions")
    views: int | None = Field(default=None, ge=1, description="of a scene; null: as many as the published set has")
    train: int = Field(default=0, ge=0, description="scenes")
    validation: int = Field(default=0, ge=0, description="scenes")
    test: int = Field(default=0, ge=0, description="scenes")
    seed: int = Field(default=0, ge=0, description="another seed gives other scenes")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.recipe is None) == (self.folder is None):
            raise ValueError("either recipe or folder")
        if self.recipe is not None and not (self.train and self.test):
            raise ValueError("numbers of scenes for train and test beside recipe")
        return self


class Budget(Settings):
    """How long a variant is trained; exactly one of the four. All schedules of the variant are stretched to it."""

    steps: int | None = Field(default=None, ge=1, description="updates")
    scenes: int | None = Field(default=None, ge=1, description="scenes seen, repetitions counted")
    flops: float | None = Field(default=None, gt=0, description="operations of all forward and backward passes")
    seconds: float | None = Field(default=None, gt=0, description="of training, by the time of a step on this machine")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {', '.join(type(self).model_fields)}, found {len(given)}")
        return self


def _checked_bounds(bounds: list[str]) -> list[str]:
    known = all(re.fullmatch(_BOUND, bound) for bound in bounds)
    if not known or "ELBO" not in bounds or len(set(bounds)) < len(bounds):
        raise ValueError("ELBO, and different further bounds such as IWAE-10")
    return bounds


class SuitePart(Settings):
    """Some variants on some scenes; a suite is made of such parts."""

    variants: list[str] = Field(min_length=1, description="names or patterns such as gqn-*")
    exclude: list[str] = Field(default=[], description="names or patterns to leave out")
    data: list[str] = Field(default=[], description="names of the suite's data; none: speeds alone, on noise")
    size: str = Field(default="full", description="full, or another size that every one of the variants has")
    set: dict[str, Any] = Field(default={}, description="settings laid over every one of the variants")
    contexts: list[int] = Field(default=[], description="numbers of context views; none: the largest of training")
    targets: int | None = Field(default=None, ge=1, description="targets of a measured episode; null: as in training")
    bounds: list[str] | None = Field(default=None, min_length=1, description="null: the suite's")
    budget: Budget | None = Field(default=None, description="null: the suite's")

    @field_validator("bounds")
    @classmethod
    def _known_bounds(cls, bounds: list[str] | None) -> list[str] | None:
        return None if bounds is None else _checked_bounds(bounds)

    @field_validator("contexts")
    @classmethod
    def _counts(cls, contexts: list[int]) -> list[int]:
        if any(number < 0 for number in contexts) or len(set(contexts)) < len(contexts):
            raise ValueError("different numbers of 0 or more")
        return contexts


class SuiteFile(Settings):
    """The top level of a suite file."""

    version: Literal[1] = Field(description="of this format")
    title: str = Field(description="what the suite is for, in one line")
    data: dict[str, dict[str, Any]] = Field(default={}, description="name -> scenes")
    parts: list[dict[str, Any]] = Field(min_length=1, description="which variants on which scenes")
    seeds: list[int] = Field(default=[0], min_length=1, description="every variant is trained with each")
    budget: Budget | None = Field(default=None, description="null: as the variants are registered")
    bounds: list[str] = Field(default=["ELBO"], min_length=1, description="ELBO, and IWAE-K for some K")
    sigma: float | None = Field(default=None, gt=0, description="of the Gaussian; null: the one at training's end")
    prediction_samples: int = Field(default=10, ge=1, description="samples of a prediction: their mean, one, the best")
    metrics: list[str] = Field(default=list(METRICS), description="beside the bounds: " + ", ".join(METRICS))
    references: bool = Field(default=True, description="measures the mean image and the nearest context view as well")
    scenes: int | None = Field(default=None, ge=1, description="the first so many test scenes; null: all")
    episodes_seed: int = Field(default=0, ge=0, description="decides which views are context and targets")
    repeats: int = Field(default=10, ge=0, description="of the timings of training and prediction; 0 leaves them out")
    validation_scenes: int = Field(default=256, ge=1, description="scenes of a validation during training")
    checks: int = Field(default=10, ge=1, description="validations and checkpoints during a run")

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if any(seed < 0 for seed in seeds) or len(set(seeds)) < len(seeds):
            raise ValueError("different numbers of 0 or more")
        return seeds

    @field_validator("bounds")
    @classmethod
    def _known_bounds(cls, bounds: list[str]) -> list[str]:
        return _checked_bounds(bounds)

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: list[str]) -> list[str]:
        for metric in metrics:
            if metric not in METRICS:
                raise ValueError(f"names of metrics; there is no {metric!r}{did_you_mean(metric, METRICS)}")
        return metrics


class Suite(NamedTuple):
    """A suite file with its data and parts, all of it checked."""

    name: str
    path: Path
    settings: SuiteFile
    data: dict[str, SceneSet]
    parts: list[SuitePart]

    def importance_samples(self, part: SuitePart) -> tuple[int, ...]:
        """Returns the K of every importance-weighted bound of a part, ascending."""
        bounds = part.bounds or self.settings.bounds
        return tuple(sorted(int(bound.removeprefix("IWAE-")) for bound in bounds if bound != "ELBO"))


def suites_folder() -> Path:
    """Returns where our suites lie: in ``benchmarks/suites`` of a checkout, inside the package when installed."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parents[2] / "benchmarks" / "suites", package / "shipped"):
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"{package}: benchmarks/suites is neither in nor beside the package; the installation is damaged")


def suite_names() -> list[str]:
    """Returns the names of our suites, sorted."""
    return sorted(path.stem for path in suites_folder().glob(f"*{SUFFIX}"))


def find_suite(name: str) -> Path:
    """Returns the file of one of our suites, or the file that ``name`` is.

    Raises:
        ConfigError: if there is no such suite; the nearest names are told.
    """
    if name.endswith(SUFFIX):
        return Path(name)
    if name not in suite_names():
        known = [*suite_names(), "variants"]
        raise ConfigError(
            f"--suite: there is no suite {name!r}{did_you_mean(name, known)} (a file of your own ends in {SUFFIX})"
        )
    return suites_folder() / f"{name}{SUFFIX}"


def load_suite(name: str) -> Suite:
    """Reads a suite by its name or file.

    Raises:
        ConfigError: naming file, key, what was found and what was expected.
    """
    path = find_suite(name)
    file = str(path)
    settings = parse(SuiteFile, load_yaml(path), file=file)
    data = {key: parse(SceneSet, value, file=file, path=f"data.{key}") for key, value in settings.data.items()}
    parts = [parse(SuitePart, value, file=file, path=f"parts.{index}") for index, value in enumerate(settings.parts)]
    for index, part in enumerate(parts):
        for key in part.data:
            if key not in data:
                raise ConfigError(f"{file}: parts.{index}.data: there are no data {key!r}{did_you_mean(key, data)}")
    return Suite(name=path.stem, path=path, settings=settings, data=data, parts=parts)
