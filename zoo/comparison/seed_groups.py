"""Lines of a table: the seeds of one configuration together, and the paired test between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.comparison.statistics import PairedDifference, paired_t_test_over_seeds
from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ComparabilityKey, ResultRow

# The one metric that may be compared over likelihoods and sigmas: whatever the model, it codes the same 8-bit values.
CODE_METRIC = "bits_per_dim"
_CODED = "8-bit values"
# Rows computed in float32 on different machines may disagree about one floor by this much, relatively.
_SAME_FLOOR = 1e-4


@dataclass(frozen=True)
class Estimate:
    """A mean with its spread.

    With one seed the spread is the standard error over scenes (None if unknown); with several it is the standard
    deviation between seeds.
    """

    value: float
    spread: float | None
    seeds: int


@dataclass(frozen=True)
class SeedGroup:
    """One line of a table: the rows of one variant with one configuration that differ by their seed alone."""

    rows: tuple[ResultRow, ...]

    @property
    def first(self) -> ResultRow:
        """The row with the smallest seed, for what all rows share."""
        return self.rows[0]

    @property
    def variant(self) -> str:
        """The name of the variant."""
        return self.first.variant

    def estimate(self, metric: str) -> Estimate | None:
        """Returns the estimate of a metric, None if not every row of the line has it."""
        found = [row.metrics[metric] for row in self.rows if metric in row.metrics]
        if len(found) < len(self.rows):
            return None
        if len(found) == 1:
            return Estimate(value=found[0].value, spread=found[0].stderr, seeds=1)
        values = np.array([metric.value for metric in found])
        return Estimate(value=float(values.mean()), spread=float(values.std(ddof=1)), seeds=len(found))

    def by_scene(self, metric: str) -> np.ndarray:
        """Returns [seeds, scenes] values of a metric in the order of the scenes' indices.

        Raises:
            ResultError: if a row lacks the values, or if the rows were scored on different scenes.
        """
        if any(_scenes(row) != _scenes(self.first) for row in self.rows):
            raise ResultError(f"the rows of {self.variant!r} were scored on different scenes")
        return np.stack([_sorted_by_scene(row, metric) for row in self.rows])


def seed_groups(rows: Iterable[ResultRow]) -> list[SeedGroup]:
    """Joins the rows of one variant and configuration that differ by their seed.

    The configuration says how long is trained; the step of the checkpoint that was best on validation scenes, and was
    hence measured, may be another with every seed. Where one seed was measured at several steps, each number of steps
    has lines of its own. A measurement that was repeated with the same seed gets a line of its own: no repeat is dropped,
    none is preferred.
    """
    families: dict[tuple[object, ...], list[ResultRow]] = {}
    for row in sorted(rows, key=lambda row: (row.provenance.seed, row.provenance.utc, row.id)):
        identity = (row.variant, row.encoder, row.core, row.provenance.config_hash, row.key, bool(row.metrics))
        families.setdefault(identity, []).append(row)
    return [SeedGroup(tuple(members)) for family in families.values() for members in _rounds(family)]


def _rounds(family: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Splits rows so that every seed stands once in each part; with several steps of one seed, by steps first."""
    if len({row.provenance.seed for row in family}) == len(family):
        return [list(family)]
    rounds: dict[object, list[list[ResultRow]]] = {}
    for row in family:
        budget = row.budget and (row.budget.steps, row.budget.batch_size, row.budget.scenes_seen)
        alike = rounds.setdefault(budget, [])
        for members in alike:
            if members[-1].provenance.seed != row.provenance.seed:
                members.append(row)
                break
        else:
            alike.append([row])
    return [members for alike in rounds.values() for members in alike]


def key_of_codes(key: ComparabilityKey) -> ComparabilityKey:
    """Returns what codes of 8-bit values must share: the key without likelihood and sigma."""
    return key.model_copy(update={"likelihood": _CODED, "sigma": None})


def require_comparable(row_a: ResultRow, row_b: ResultRow, *, metric: str | None = None) -> None:
    """Checks that two rows may be compared, in every respect or in one metric.

    Raises:
        ResultError: naming every entry of the key that differs.
    """
    names = f"{row_a.variant!r} and {row_b.variant!r}"
    if row_a.key is None or row_b.key is None:
        raise ResultError(f"{names} are not comparable: one of them has no evaluation")
    if metric == CODE_METRIC:
        differences = key_of_codes(row_a.key).differences(key_of_codes(row_b.key))
    else:
        differences = row_a.key.differences(row_b.key)
        floors = floor_of(row_a), floor_of(row_b)
        if not differences and not same_floor(*floors):
            differences = [f"floor {floors[0]} against {floors[1]}"]
    if differences:
        raise ResultError(f"{names} are not comparable: {', '.join(differences)}")


def comparable_as_codes_alone(row_a: ResultRow, row_b: ResultRow) -> bool:
    """Returns whether two rows differ in likelihood or sigma, so that of all metrics only their codes are comparable."""
    if CODE_METRIC not in row_a.metrics or CODE_METRIC not in row_b.metrics or row_a.key is None or row_b.key is None:
        return False
    alike = row_a.key == row_b.key and same_floor(floor_of(row_a), floor_of(row_b))
    return not alike and key_of_codes(row_a.key) == key_of_codes(row_b.key)


def paired_difference(
    row_a: ResultRow | SeedGroup, row_b: ResultRow | SeedGroup, metric: str = "nelbo_excess"
) -> PairedDifference:
    """Tests a - b of a metric over the scenes that both were scored on.

    Raises:
        ResultError: if the keys or the scenes differ, if there are fewer than 2 scenes, or values by scene are missing.
    """
    values_a, values_b = _paired_scores(as_line(row_a), as_line(row_b), metric)
    return paired_t_test_over_seeds(values_a, values_b)


def difference_if_possible(first: SeedGroup, second: SeedGroup, metric: str) -> PairedDifference | None:
    """Tests first - second of a metric; returns None where values per scene are missing or do not fit."""
    try:
        return paired_difference(first, second, metric)
    except ResultError:
        return None  # without values per scene a group is ranked, but nothing is concluded from it


def _paired_scores(line_a: SeedGroup, line_b: SeedGroup, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns [seeds of a, scenes] and [seeds of b, scenes] of a metric, the scenes in the same order."""
    require_comparable(line_a.first, line_b.first, metric=metric)
    values_a, values_b = line_a.by_scene(metric), line_b.by_scene(metric)
    if _scenes(line_a.first) != _scenes(line_b.first):
        raise ResultError(f"{line_a.variant!r} and {line_b.variant!r} are not comparable: scored on different scenes")
    if values_a.shape[1] < 2:
        raise ResultError(f"{metric}: a paired test needs at least 2 scenes, found {values_a.shape[1]}")
    return values_a, values_b


def as_line(result: ResultRow | SeedGroup) -> SeedGroup:
    """Returns a row as a line of its own."""
    return SeedGroup((result,)) if isinstance(result, ResultRow) else result


def machine_of(row: ResultRow) -> tuple[object, ...]:
    """Returns what two rows must share before their speeds may be compared."""
    hardware = row.provenance.hardware
    gpus = tuple((gpu.name, gpu.memory_bytes) for gpu in hardware.gpus)
    return hardware.cpu, hardware.threads, gpus, row.provenance.device


def floor_of(row: ResultRow) -> float | None:
    """Returns the floor of a row's likelihood, nats per target, None if it was not stated."""
    return row.metrics["floor"].value if "floor" in row.metrics else None


def same_floor(first: float | None, second: float | None) -> bool:
    """Returns whether two floors agree, up to rounding; an unknown floor agrees with any."""
    if first is None or second is None:
        return True
    return abs(first - second) <= _SAME_FLOOR * max(1.0, abs(first), abs(second))


def _scenes(row: ResultRow) -> list[float]:
    return sorted(row.per_scene.get("scene", []))


def _sorted_by_scene(row: ResultRow, metric: str) -> np.ndarray:
    if metric not in row.per_scene:
        raise ResultError(
            f"row {row.id} of {row.variant!r} has no {metric!r} by scene{did_you_mean(metric, row.per_scene)}"
        )
    order = np.argsort(np.array(row.per_scene["scene"]), kind="stable")
    return np.array(row.per_scene[metric])[order]
