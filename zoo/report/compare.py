"""Which result rows may stand in one table, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zoo.report.lines import (
    Line,
    differences_if_possible,
    floor_of,
    lines_of,
    paired_difference,
    require_comparable,
    same_floor,
)
from zoo.report.pairs import PairDelta, compare_pair
from zoo.report.statistics import MIN_SEEDS, PairedDifference, holm
from zoo.results import ComparabilityKey, ResultRow

__all__ = [
    "Group",
    "Line",
    "PairDelta",
    "PairedDifference",
    "compare_pair",
    "group_rows",
    "lines_of",
    "paired_difference",
    "ranking_metric",
    "require_comparable",
]


@dataclass(frozen=True)
class Group:
    """The rows that may be compared with one another.

    Attributes:
        key: what they share; None for speed measurements and for failures before anything was evaluated.
        floor: the least NELBO of their likelihood, nats per target.
        metric: the metric by which the lines are ranked, lower is better; None if there is none.
        lines: the lines in the order of their rank, those without the metric last.
        differences: for every other ranked line, the difference best - other; None where no test is possible.
        decided: whether the best line differs from every other ranked line (Holm, family-wise error 5 %, and every
            interval excludes zero), which is never said where a ranked line has one seed.
        failures: rows whose status is not ``ok``.
    """

    key: ComparabilityKey | None
    floor: float | None
    metric: str | None
    lines: tuple[Line, ...]
    differences: tuple[PairedDifference | None, ...]
    decided: bool
    failures: tuple[ResultRow, ...]


def group_rows(rows: Iterable[ResultRow]) -> list[Group]:
    """Sorts rows into groups that may be compared and ranks each; the order of the rows does not matter."""
    buckets: dict[str, list[ResultRow]] = {}
    for row in rows:
        buckets.setdefault("" if row.key is None else row.key.label() + row.key.model_dump_json(), []).append(row)
    groups = []
    for _, bucket in sorted(buckets.items(), key=lambda item: (item[0] == "", item[0])):
        groups += [_group(members) for members in _split_by_floor(bucket)]
    return groups


def ranking_metric(key: ComparabilityKey | None, lines: Sequence[Line]) -> str | None:
    """Returns the excess of the key's bound, the bound itself if no line has an excess, None if none has either."""
    if key is None:
        return None
    bound = "nelbo" if key.bound == "ELBO" else key.bound.lower().replace("-", "_")
    for metric in (f"{bound}_excess", bound):
        if any(line.estimate(metric) for line in lines):
            return metric
    return None


def _group(rows: Sequence[ResultRow]) -> Group:
    key = rows[0].key
    lines = lines_of(row for row in rows if row.status == "ok")
    metric = ranking_metric(key, lines)

    def rank(line: Line) -> tuple[bool, float, str, str, str]:
        estimate = line.estimate(metric) if metric else None
        value = estimate.value if estimate else 0.0
        return estimate is None, value, line.variant, line.first.provenance.utc, line.first.id

    lines.sort(key=rank)
    ranked = [line for line in lines if metric and line.estimate(metric)]
    pairs = [(ranked[0], other, metric) for other in ranked[1:]] if metric else []
    differences = tuple(differences_if_possible(pairs))
    tests = [found for found in differences if found is not None and found.excludes_zero and found.seeds >= MIN_SEEDS]
    decided = bool(differences) and len(tests) == len(differences) and all(holm([test.p for test in tests]))
    failures = sorted(
        (row for row in rows if row.status != "ok"), key=lambda row: (row.variant, row.provenance.utc, row.id)
    )
    floors = sorted(floor for row in rows if (floor := floor_of(row)) is not None)
    return Group(
        key=key,
        floor=floors[0] if floors else None,
        metric=metric,
        lines=tuple(lines),
        differences=differences,
        decided=decided,
        failures=tuple(failures),
    )


def _split_by_floor(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Separates rows of one key whose likelihoods allow different floors; failures go with the first part."""
    parts: list[list[ResultRow]] = []
    last: float | None = None
    for row in sorted(rows, key=lambda row: (floor_of(row) is not None, floor_of(row) or 0.0, row.id)):
        floor = floor_of(row)
        if not parts or not same_floor(last, floor):
            parts.append([])
        parts[-1].append(row)
        last = floor
    return parts
