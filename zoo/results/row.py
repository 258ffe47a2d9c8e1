"""Result rows: one measurement of one model, and the key that decides with which other rows it may be compared.

Every number in nats is per target: the joint quantity of all targets of a scene divided by their number, averaged over
scenes. :mod:`zoo.results.metrics` has the metrics.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, field_serializer, field_validator, model_validator

from zoo.provenance import Provenance, Record

KIND: Final = "gqn-zoo-result"
SCHEMA_VERSION: Final = 1
TRAIN_THROUGHPUT = "train_scenes_per_second"
PREDICT_THROUGHPUT = "predict_images_per_second"

Status = Literal["ok", "nan", "oom", "error", "interrupted"]
LARGEST = 1e60  # keeps the sums, squares and ratios of statistics finite


def _bounded(value: float) -> float:
    if abs(value) > LARGEST:
        raise ValueError(f"expected a number of at most {LARGEST:g}, found {str(value)[:12]}")
    return value


_Real = Annotated[float, AfterValidator(_bounded)]
_NotNegative = Annotated[float, Field(ge=0), AfterValidator(_bounded)]
_Count = Annotated[int, Field(ge=0), AfterValidator(_bounded)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_DIGITS = 7


class Metric(Record):
    """The mean of a quantity over scenes."""

    value: _Real
    stderr: _NotNegative | None = None
    n: Annotated[int, Field(ge=1)]
    unit: str
    higher_is_better: bool | None = None


class Timing(Record):
    """Quantiles of a speed or a duration over n repeats, after ``warmup`` repeats that are not counted."""

    median: _Real
    p10: _Real
    p90: _Real
    n: Annotated[int, Field(ge=1)]
    unit: str
    higher_is_better: bool
    warmup: _Count

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.p10 <= self.median <= self.p90:
            raise ValueError(f"expected p10 <= median <= p90, found {self.p10}, {self.median}, {self.p90}")
        return self


Action = Literal["train", "predict", "evaluate"]
# The name of the speed of an action, and its unit.
_SPEEDS: dict[Action, tuple[str, str]] = {
    "train": (TRAIN_THROUGHPUT, "scenes/s"),
    "predict": (PREDICT_THROUGHPUT, "images/s"),
    "evaluate": ("evaluate_scenes_per_second", "scenes/s"),
}


def timings_of(action: Action, seconds: Sequence[float], *, units: int, **repeats: int) -> dict[str, Timing]:
    """Returns the seconds of an action and its speed, by their names in rows.

    ``seconds`` are the quantiles 0.1, 0.5 and 0.9 of so many ``units`` of work; ``repeats`` are n and the warm-up.
    """
    low, middle, high = seconds
    name, unit = _SPEEDS[action]
    fast, usual, slow = units / low, units / middle, units / high
    return {
        name: Timing(median=usual, p10=slow, p90=fast, unit=unit, higher_is_better=True, **repeats),
        f"{action}_step_seconds": Timing(median=middle, p10=low, p90=high, unit="s", higher_is_better=False, **repeats),
    }


class ComparabilityKey(Record):
    """All that two rows must share before their NELBO may be compared."""

    task: _Name
    dataset: _Name
    revision: _Name
    split: _Name
    image_size: _Count
    num_context: _Count
    num_targets: Annotated[int, Field(ge=1)]
    num_scenes: Annotated[int, Field(ge=1)]
    episodes: _Name  # a digest of which scenes and views were drawn
    likelihood: _Name
    sigma: Annotated[float, Field(gt=0)] | None
    pixel_range: Annotated[str, Field(pattern=r"^\[-?[0-9.]+, -?[0-9.]+\]$")] = "[0, 1]"
    bound: Annotated[str, Field(pattern=r"^(ELBO|IWAE-[1-9][0-9]*)$")] = "ELBO"

    @field_validator("sigma")
    @classmethod
    def _same_in_float32(cls, sigma: float | None) -> float | None:
        # 0.7 that went through a float32 tensor is 0.699999988, and yet the same setting.
        return None if sigma is None else float(f"{sigma:.6g}")

    def label(self) -> str:
        """Returns the key in one line for people."""
        views = "view" if self.num_context == 1 else "views"
        targets = "target" if self.num_targets == 1 else "targets"
        sigma = "" if self.sigma is None else f", sigma {self.sigma:g}"
        images = f"{self.image_size}x{self.image_size} pixels in {self.pixel_range}, " if self.image_size else ""
        return (
            f"{self.task} on {self.dataset}@{self.revision[:8]} {self.split}: "
            f"{self.num_context} context {views}, {self.num_targets} {targets}, {self.num_scenes} scenes "
            f"(episodes {self.episodes[:8]}), {images}"
            f"{self.likelihood}{sigma}, {self.bound}"
        )

    def without_context(self) -> ComparabilityKey:
        """Returns what is the same for all numbers of context views; the targets are."""
        return self.model_copy(update={"num_context": 0, "episodes": "any"})

    def differences(self, other: ComparabilityKey) -> list[str]:
        """Returns, for every field that differs, a phrase such as ``sigma 0.7 against 1.0``."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in type(self).model_fields)
        return [f"{name} {mine} against {theirs}" for name, mine, theirs in pairs if mine != theirs]


class ModelFacts(Record):
    """The size of a model and what it costs."""

    parameters: _Count
    flops_per_training_scene: _Count | None = None
    flops_per_prediction: _Count | None = None
    peak_memory_bytes: _Count | None = None


class Budget(Record):
    """The training of the whole run, also where the measured checkpoint is not the last one."""

    steps: _Count
    batch_size: _Count
    scenes_seen: _Count
    seconds: _NotNegative


class ResultRow(Record):
    """One measurement of one trained model, or the record of its failure.

    ``id`` is a digest of everything else: computed if it is empty, else checked. A row with status ``ok`` has a model, a
    budget and either metrics with a key or, for a speed measurement, only ``performance``.

    ``per_scene`` has lists of equal length: ``scene`` (indices of the scenes in their split) and values per scene, rounded
    to seven significant digits, from which tables and paired tests are computed. A metric of the same name must be the
    mean of its list.
    """

    kind: Literal["gqn-zoo-result"] = KIND
    schema_version: Literal[1] = SCHEMA_VERSION
    id: Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")] = ""
    status: Status
    error: str | None = None
    variant: _Name
    encoder: str
    core: str
    key: ComparabilityKey | None
    metrics: dict[_Name, Metric] = Field(default={})
    per_scene: dict[_Name, list[float]] = Field(default={})
    performance: dict[_Name, Timing] = Field(default={})
    model: ModelFacts | None
    budget: Budget | None
    provenance: Provenance

    @field_validator("per_scene")
    @classmethod
    def _rounded_lists_of_one_length(cls, lists: dict[str, list[float]]) -> dict[str, list[float]]:
        if not lists:
            return lists
        if "scene" not in lists:
            raise ValueError("expected a list 'scene' with the index of every scene")
        if not all(scene.is_integer() for scene in lists["scene"]):
            raise ValueError("expected whole numbers in the list 'scene'")
        for name, values in lists.items():
            if len(values) != len(lists["scene"]):
                raise ValueError(f"{name!r} has {len(values)} numbers for {len(lists['scene'])} scenes")
            if values and not np.abs(values).max() <= LARGEST:
                raise ValueError(f"{name!r}: expected numbers of at most {LARGEST:g}, found {np.abs(values).max():g}")
        return {name: values if name == "scene" else _rounded(values) for name, values in lists.items()}

    @field_serializer("per_scene")
    def _scenes_as_integers(self, lists: dict[str, list[float]]) -> dict[str, list[float] | list[int]]:
        return {name: [int(v) for v in values] if name == "scene" else values for name, values in lists.items()}

    @property
    def is_baseline(self) -> bool:
        """Whether the row is of a baseline: a prediction without weights and training, such as the mean image."""
        return self.status == "ok" and bool(self.metrics) and self.model is not None and self.model.parameters == 0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.status == "ok":
            if self.error is not None:
                raise ValueError("a row with status 'ok' has no error")
            if self.model is None or self.budget is None:
                raise ValueError("a row with status 'ok' needs 'model' and 'budget'")
            if not self.metrics and not self.performance:
                raise ValueError("a row with status 'ok' needs metrics or performance")
            if self.metrics and self.key is None:
                raise ValueError("metrics need a comparability key")
        elif not self.error:
            raise ValueError(f"a row with status {self.status!r} needs an error text")
        for name in self.metrics.keys() & self.per_scene.keys():
            values, stated = self.per_scene[name], self.metrics[name].value
            mean = math.fsum(values) / len(values) if values else math.nan
            scale = max(abs(stated), math.fsum(map(abs, values)) / max(len(values), 1))
            if not abs(mean - stated) <= 1e-4 * scale + 1e-12:
                raise ValueError(f"{name}: the value {stated:g} is not the mean {mean:g} of its {len(values)} scenes")
        digest = digest_of(self)
        if self.id and self.id != digest:
            raise ValueError(f"id {self.id} does not match the contents, whose digest is {digest}")
        object.__setattr__(self, "id", digest)
        return self


def _rounded(values: list[float]) -> list[float]:
    """Returns the values with seven significant digits; values that have no more, as in a file, are returned at once."""
    numbers = np.array(values, dtype=float)
    with np.errstate(all="ignore"):
        shift = _DIGITS - 1 - np.floor(np.log10(np.abs(numbers)))
        # A whole number below 2^53 over a power of ten up to 10^22 is rounded once, as a decimal is when it is read.
        power = 10.0 ** np.clip(shift, 0, 22)
        kept = (np.round(numbers * power) / power == numbers) & (shift >= 0) & (shift <= 22)
    if kept.all():
        return values
    return [value if keep else float(f"{value:.{_DIGITS}g}") for value, keep in zip(values, kept.tolist(), strict=True)]


def digest_of(row: ResultRow) -> str:
    """Returns the id of a row's contents: 16 hexadecimal digits of SHA-256 over canonical JSON."""
    contents = row.model_dump(mode="json", exclude={"id"})
    for younger in ("trained_git", "job", "components"):  # fields that the first rows lack; their ids must not change
        if contents["provenance"][younger] is None:
            del contents["provenance"][younger]
    canonical = json.dumps(contents, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
