"""Suite files: variants, scenes, seeds, training budget and metrics of a benchmark.

Keys are checked as strictly as those of the registry. The shipped suites are in ``benchmarks/suites``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from zoo.bench.protocol import METRICS, SIGMA_RANGE
from zoo.bench.suite.scenes import SceneSet
from zoo.config.settings import LARGEST_SEED, Settings, load_yaml, parse
from zoo.errors import ConfigError, did_you_mean
from zoo.registry.sources import NAME

SUFFIX = ".yaml"
_BOUND = r"^(ELBO|IWAE-[1-9][0-9]{0,4})$"
_Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class Budget(Settings):
    """Length of training; exactly one field is given. All schedules of the variant are stretched to it."""

    steps: int | None = Field(default=None, ge=1, le=10**9, description="updates")
    scenes: int | None = Field(default=None, ge=1, le=10**12, description="scenes seen, repetitions counted")
    flops: float | None = Field(default=None, gt=0, le=1e24, description="of all forward and backward passes")
    seconds: float | None = Field(default=None, gt=0, le=1e9, description="of training, by the time of a step here")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {', '.join(type(self).model_fields)}, found {len(given)}")
        return self


def _check_bounds(bounds: list[str]) -> list[str]:
    known = all(re.fullmatch(_BOUND, bound) for bound in bounds)
    if not known or "ELBO" not in bounds or len(set(bounds)) < len(bounds):
        raise ValueError("ELBO, and different further bounds such as IWAE-10")
    return bounds


def _check_different(numbers: list[int]) -> list[int]:
    if len(set(numbers)) < len(numbers):
        raise ValueError("different numbers")
    return numbers


_Bounds = Annotated[list[str], Field(min_length=1), AfterValidator(_check_bounds)]
_DifferentNumbers = AfterValidator(_check_different)


class SuitePart(Settings):
    """Variants that are trained and measured on the same scenes."""

    variants: list[str] = Field(min_length=1, description="names or patterns such as gqn-*")
    exclude: list[str] = Field(default=[], description="names or patterns to leave out")
    data: list[str] = Field(default=[], description="names of the suite's data; none: speeds alone, on noise")
    size: str = Field(default="full", description="full, or another size that every one of the variants has")
    set: dict[str, Any] = Field(default={}, description="settings changed in every one of the variants")
    contexts: Annotated[list[Annotated[int, Field(ge=0)]], _DifferentNumbers] = Field(
        default=[], description="numbers of context views; none: the largest of training"
    )
    targets: int | None = Field(default=None, ge=1, description="targets of a measured episode; null: as in training")
    bounds: _Bounds | None = Field(default=None, description="null: the suite's")
    budget: Budget | None = Field(default=None, description="null: the suite's")
    prediction_samples: int | None = Field(default=None, ge=1, le=10**4, description="null: the suite's")


class SuiteFile(Settings):
    """The top level of a suite file."""

    version: Literal[1] = Field(description="of this format")
    title: str = Field(description="purpose of the suite, in one line")
    data: dict[str, SceneSet] = Field(default={}, description="name -> scenes")
    parts: list[SuitePart] = Field(min_length=1, description="which variants on which scenes")
    seeds: Annotated[list[_Seed], _DifferentNumbers] = Field(
        default=[0], min_length=1, description="every variant is trained with each"
    )
    budget: Budget | None = Field(default=None, description="null: as the variants are registered")
    bounds: _Bounds = Field(default=["ELBO"], description="ELBO, and IWAE-K for some K")
    sigma: float | None = Field(
        default=None,
        ge=SIGMA_RANGE[0],
        le=SIGMA_RANGE[1],
        description="of the Gaussian; null: the one at training's end",
    )
    prediction_samples: int = Field(default=10, ge=1, le=10**4, description="samples of a prediction")
    metrics: list[str] = Field(default=list(METRICS), description="beside the bounds: " + ", ".join(METRICS))
    baselines: bool = Field(default=True, description="measures the mean image and the nearest context view as well")
    scenes: int | None = Field(default=None, ge=1, description="the first so many test scenes; null: all")
    episodes_seed: _Seed = Field(default=0, description="decides which views are context and targets")
    repeats: int = Field(default=10, ge=0, le=10**4, description="of the speed measurements; 0 leaves them out")
    validation_scenes: int = Field(default=256, ge=1, description="scenes of a validation during training")
    checks: int = Field(default=10, ge=1, le=10**4, description="validations and checkpoints during a run")

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: list[str]) -> list[str]:
        for metric in metrics:
            if metric not in METRICS:
                raise ValueError(f"names of metrics; there is no {metric!r}{did_you_mean(metric, METRICS)}")
        return metrics


class Suite(NamedTuple):
    """A suite with its data, validated."""

    path: Path | None  # None: made of options of the command line
    settings: SuiteFile
    data: dict[str, SceneSet]

    def place(self, key: str) -> str:
        """Returns the place of a key for messages, with a colon; empty without a file."""
        return f"{self.path}: {key}: " if self.path else ""

    def importance_samples(self, part: SuitePart) -> tuple[int, ...]:
        """Returns the K of every importance-weighted bound of a part, ascending."""
        bounds = part.bounds or self.settings.bounds
        return tuple(sorted(int(bound.removeprefix("IWAE-")) for bound in bounds if bound != "ELBO"))


def suites_folder() -> Path:
    """Returns the folder of the shipped suites: ``benchmarks/suites`` of a checkout, inside an installed package."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parents[2] / "benchmarks" / "suites", package / "shipped"):
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"{package}: benchmarks/suites is neither in nor beside the package; the installation is damaged")


def suite_names() -> list[str]:
    """Returns the names of the shipped suites, sorted."""
    return sorted(path.stem for path in suites_folder().glob(f"*{SUFFIX}"))


def find_suite(name: str) -> Path:
    """Returns the file of a shipped suite, or ``name`` if it ends in ``.yaml``; raises ConfigError if there is none."""
    if name.endswith(SUFFIX):
        return Path(name)
    if name not in suite_names():
        raise ConfigError(
            f"--suite: there is no suite {name!r}{did_you_mean(name, suite_names())} (a file of your own ends in {SUFFIX})"
        )
    return suites_folder() / f"{name}{SUFFIX}"


def load_suite(name: str) -> Suite:
    """Reads a suite by its name or file; relative folders start at the file's own folder.

    Raises:
        ConfigError: with the file, the key, what was found and what was expected.
        DataError: if scenes cannot be made, or a folder has none.
    """
    path = find_suite(name)
    file = str(path)
    settings = parse(SuiteFile, load_yaml(path), file=file)
    data: dict[str, SceneSet] = {}
    for key, scenes in settings.data.items():
        if not NAME.fullmatch(key):
            raise ConfigError(f"{file}: data: {key!r} is not a name (lower-case letters, digits, '.', '_' and '-')")
        data[key] = scenes.checked(file=path, place=f"data.{key}")
    for index, part in enumerate(settings.parts):
        for key in part.data:
            if key not in data:
                raise ConfigError(f"{file}: parts.{index}.data: there are no data {key!r}{did_you_mean(key, data)}")
    return Suite(path=path, settings=settings, data=data)
