"""Seed groups: the rows of one variant and configuration that differ by their seed alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ComparabilityKey, ResultRow, Timing

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


class MissingRowsError(ResultError):
    """There are no rows, or no values in them, that a comparison needs."""


class Estimate(NamedTuple):
    """A mean with its spread: of one seed the standard error over scenes (None if unknown), else the deviation over seeds."""

    value: float
    spread: float | None


@dataclass(frozen=True)
class SeedGroup:
    """The rows of one variant with one configuration, one row per seed, the smallest seed first."""

    rows: tuple[ResultRow, ...]

    @property
    def first(self) -> ResultRow:
        """The row with the smallest seed."""
        return self.rows[0]

    @property
    def variant(self) -> str:
        """The name of the variant."""
        return self.first.variant

    @property
    def key(self) -> ComparabilityKey | None:
        """The comparability key; None without an evaluation."""
        return self.first.key

    @property
    def floor(self) -> float | None:
        """The floor of the likelihood, nats per target; None if it was not stated."""
        return self.first.metrics["floor"].value if "floor" in self.first.metrics else None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the trainings, ascending; none of a baseline, which is not trained."""
        return () if self.first.is_baseline else tuple(row.provenance.seed for row in self.rows)

    @property
    def scenes(self) -> list[float]:
        """The indices of the scenes, sorted; none if there are no values per scene."""
        return sorted(self.first.per_scene.get("scene", []))

    def estimate(self, metric: str) -> Estimate | None:
        """Returns the estimate of a metric, None if not every row has it in the same unit."""
        found = [row.metrics[metric] for row in self.rows if metric in row.metrics]
        if len(found) < len(self.rows) or len({each.unit for each in found}) > 1:
            return None
        if len(found) == 1:
            return Estimate(found[0].value, found[0].stderr)
        values = np.array([metric.value for metric in found])
        return Estimate(float(values.mean()), float(values.std(ddof=1)))

    def timing(self, name: str) -> Timing | None:
        """Returns a speed or a duration over seeds: the mean of the medians, between the widest quantiles.

        None if no row has it, or if the rows that have it were measured on several machines.
        """
        measured = [row for row in self.rows if name in row.performance]
        if len({machine_of(row) for row in measured}) != 1:
            return None
        found = [row.performance[name] for row in measured]
        median = sum(timing.median for timing in found) / len(found)
        low, high = min(timing.p10 for timing in found), max(timing.p90 for timing in found)
        return found[0].model_copy(update={"median": median, "p10": low, "p90": high})

    def per_scene(self, metric: str) -> np.ndarray:
        """Returns [seeds, scenes] values of a metric, ordered by the indices of the scenes.

        Raises:
            MissingRowsError: if a row lacks the values.
            ResultError: if the rows were scored on different scenes.
        """
        values = []
        for row in self.rows:
            if sorted(row.per_scene.get("scene", [])) != self.scenes:
                raise ResultError(f"the rows of {self.variant!r} were scored on different scenes")
            if metric not in row.per_scene:
                raise MissingRowsError(
                    f"row {row.id} of {row.variant!r} has no {metric!r} per scene{did_you_mean(metric, row.per_scene)}"
                )
            order = np.argsort(np.array(row.per_scene["scene"]), kind="stable")
            values.append(np.array(row.per_scene[metric])[order])
        return np.stack(values)


def grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """Returns the items by their keys; keys are in the order of their first items."""
    found: dict[_Key, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def seed_groups(rows: Iterable[ResultRow]) -> list[SeedGroup]:
    """Groups the rows of one variant, key and configuration that differ by their seed.

    The configuration includes the length of the training; the step of the checkpoint that was best on validation scenes,
    and was measured, may differ between seeds. Where one seed was measured at several steps, each number of steps makes
    groups of its own. A measurement that was repeated with the same seed makes a further group: no repeat is dropped.
    """
    families = grouped(
        sorted(rows, key=lambda row: (row.provenance.seed, row.provenance.utc, row.id)),
        lambda row: (row.variant, row.encoder, row.core, row.provenance.config_hash, row.key, bool(row.metrics)),
    )
    return [SeedGroup(tuple(members)) for family in families.values() for members in _one_row_per_seed(family)]


def _one_row_per_seed(family: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Splits rows so that each seed occurs once per part; where a seed has several steps, by steps first."""
    if len({row.provenance.seed for row in family}) == len(family):
        return [list(family)]
    parts: dict[object, list[list[ResultRow]]] = {}
    for row in family:
        budget = row.budget and (row.budget.steps, row.budget.batch_size, row.budget.scenes_seen)
        alike = parts.setdefault(budget, [])
        for members in alike:
            if members[-1].provenance.seed != row.provenance.seed:
                members.append(row)
                break
        else:
            alike.append([row])
    return [members for alike in parts.values() for members in alike]


def without_superseded(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Returns the rows, in their order, without the failures of jobs that succeeded later.

    Jobs of a suite name themselves in their rows. A failure without such a name is superseded by a younger row of the
    same variant and seed with the same key.
    """
    rows = list(rows)
    jobs = grouped(rows, lambda row: (row.variant, row.provenance.seed))
    return [
        row
        for row in rows
        if row.status == "ok" or not any(_supersedes(other, row) for other in jobs[row.variant, row.provenance.seed])
    ]


def _supersedes(row: ResultRow, failure: ResultRow) -> bool:
    if row.status != "ok" or row.provenance.utc <= failure.provenance.utc:  # ISO 8601 texts are ordered as times
        return False
    if failure.provenance.job is not None:
        return row.provenance.job == failure.provenance.job
    return failure.key is not None and row.key == failure.key


def machine_of(row: ResultRow) -> tuple[object, ...]:
    """Returns what two rows must share before their speeds may be compared."""
    hardware = row.provenance.hardware
    gpus = tuple((gpu.name, gpu.memory_bytes) for gpu in hardware.gpus)
    return hardware.cpu, hardware.threads, gpus, row.provenance.device
