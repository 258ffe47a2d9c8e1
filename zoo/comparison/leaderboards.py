"""Which result rows may stand in one table, and in which order.

There are two kinds of tables. Bounds in nats depend on the likelihood and its sigma, so both are part of the key. The
length of a code of 8-bit values, bits/dim, means the same whatever the model, so rows that have one also stand in a
table of codes, over likelihoods; no bound is shown there, and no code beside the bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zoo.comparison.failures import without_superseded
from zoo.comparison.seed_groups import (
    CODE_METRIC,
    SeedGroup,
    difference_if_possible,
    floor_of,
    key_of_codes,
    same_floor,
    seed_groups,
)
from zoo.comparison.statistics import MIN_SEEDS, PairedDifference, holm
from zoo.results.row import ComparabilityKey, ResultRow


@dataclass(frozen=True)
class Leaderboard:
    """The rows that may be compared with one another.

    Attributes:
        key: what they share; None for speed measurements and for failures before anything was evaluated.
        codes: whether it is a table of codes of 8-bit values, whose key leaves likelihood and sigma open.
        floor: the least NELBO of their likelihood, nats per target; of codes 0 bits/dim.
        metric: the metric by which the lines are ranked; None if there is none.
        higher_is_better: of that metric.
        models: the seed groups in the order of their rank, those without the metric last.
        baselines: what nothing was trained for, such as the mean image, best first; no part of the ranking.
        not_better: for every reference, the models of which it is not established that they are better.
        differences: for every other ranked line, the difference best - other; None where no test is possible.
        decided: whether the best line differs from every other ranked line (Holm, family-wise error 5 %, and every
            interval excludes zero), which is never said where a ranked line has one seed.
        failures: rows whose status is not ``ok``.
    """

    key: ComparabilityKey | None
    codes: bool
    floor: float | None
    metric: str | None
    higher_is_better: bool
    models: tuple[SeedGroup, ...]
    baselines: tuple[SeedGroup, ...]
    not_better: tuple[tuple[SeedGroup, tuple[SeedGroup, ...]], ...]
    differences: tuple[PairedDifference | None, ...]
    decided: bool
    failures: tuple[ResultRow, ...]


def leaderboards_of(rows: Iterable[ResultRow], *, sort: str | None = None) -> list[Leaderboard]:
    """Sorts rows into groups that may be compared and ranks each; the order of the rows does not matter.

    Failures after which the same measurement came out are left out.

    Args:
        rows: in any order.
        sort: the metric that bounds are ranked by where a line has it; codes are always ranked by their length.
    """
    bounds: dict[tuple[int, str], list[ResultRow]] = {}
    codes: dict[tuple[int, str], list[ResultRow]] = {}
    for row in without_superseded(rows):
        bounds.setdefault(_place(row.key), []).append(row)
        if row.key is not None and row.status == "ok" and CODE_METRIC in row.metrics:
            codes.setdefault(_place(key_of_codes(row.key)), []).append(row)
    evaluated = [members for place, members in sorted(bounds.items()) if place[0] == 0]
    groups = [_bounds(part, sort=sort) for members in evaluated for part in _split_by_floor(members)]
    groups += [_codes(members) for _, members in sorted(codes.items()) if not all(row.is_baseline for row in members)]
    # Without an evaluation there is no key; the last table is theirs.
    return groups + [_bounds(members, sort=None) for place, members in bounds.items() if place[0] == 1]


def ranking_metric(key: ComparabilityKey | None, lines: Sequence[SeedGroup]) -> str | None:
    """Returns the excess of the key's bound, the bound itself if no line has an excess, None if none has either."""
    if key is None:
        return None
    bound = "nelbo" if key.bound == "ELBO" else key.bound.lower().replace("-", "_")
    for metric in (f"{bound}_excess", bound):
        if any(line.estimate(metric) for line in lines):
            return metric
    return None


def _place(key: ComparabilityKey | None) -> tuple[int, str]:
    return (1, "") if key is None else (0, key.label() + key.model_dump_json())


def _bounds(rows: Sequence[ResultRow], *, sort: str | None) -> Leaderboard:
    key = rows[0].key
    lines = seed_groups(row for row in rows if row.status == "ok")
    standard = ranking_metric(key, lines)
    asked = sort is not None and sort != CODE_METRIC and any(line.estimate(sort) for line in lines)
    floors = sorted(floor for row in rows if (floor := floor_of(row)) is not None)
    return _ranked(
        lines,
        key=key,
        codes=False,
        floor=floors[0] if floors else None,
        metric=sort if asked else standard,
        standard=standard,
        failures=[row for row in rows if row.status != "ok"],
    )


def _codes(rows: Sequence[ResultRow]) -> Leaderboard:
    assert rows[0].key is not None
    key = key_of_codes(rows[0].key)
    return _ranked(
        seed_groups(rows), key=key, codes=True, floor=0.0, metric=CODE_METRIC, standard=CODE_METRIC, failures=[]
    )


def _ranked(
    lines: Sequence[SeedGroup],
    *,
    key: ComparabilityKey | None,
    codes: bool,
    floor: float | None,
    metric: str | None,
    standard: str | None,
    failures: Sequence[ResultRow],
) -> Leaderboard:
    stated = next((line.first.metrics[metric] for line in lines if metric and line.estimate(metric)), None)
    higher_is_better = stated is not None and stated.higher_is_better is True

    def rank(line: SeedGroup) -> tuple[bool, float, str, str, str]:
        estimate = line.estimate(metric) if metric else None
        value = estimate.value if estimate else 0.0
        better_first = -value if higher_is_better else value
        return estimate is None, better_first, line.variant, line.first.provenance.utc, line.first.id

    models = sorted((line for line in lines if not line.first.is_baseline), key=rank)
    references = sorted((line for line in lines if line.first.is_baseline), key=rank)
    ranked = [line for line in models if metric and line.estimate(metric)]
    differences = tuple(difference_if_possible(ranked[0], other, metric) for other in ranked[1:]) if metric else ()
    tests = [found for found in differences if found is not None and found.excludes_zero and found.seeds >= MIN_SEEDS]
    return Leaderboard(
        key=key,
        codes=codes,
        floor=floor,
        metric=metric,
        higher_is_better=higher_is_better,
        models=tuple(models),
        baselines=tuple(references),
        not_better=_not_better(models, references, metric=standard) if standard else (),
        differences=differences,
        decided=bool(differences) and len(tests) == len(differences) and all(holm([test.p for test in tests])),
        failures=tuple(sorted(failures, key=lambda row: (row.variant, row.provenance.utc, row.id))),
    )


def _not_better(
    models: Sequence[SeedGroup], references: Sequence[SeedGroup], *, metric: str
) -> tuple[tuple[SeedGroup, tuple[SeedGroup, ...]], ...]:
    """Returns every reference that has the metric, lower is better, with the models that are not below it.

    A model is below where the interval of the paired difference is; by the means alone where no test is possible.
    """
    found = []
    for reference in references:
        mark = reference.estimate(metric)
        scored = [(line, estimate) for line in models if (estimate := line.estimate(metric)) is not None]
        if mark is None or not scored:
            continue
        differences = [difference_if_possible(line, reference, metric) for line, _ in scored]
        found.append(
            (
                reference,
                tuple(
                    line
                    for (line, estimate), test in zip(scored, differences, strict=True)
                    if not (estimate.value < mark.value if test is None else test.high < 0)
                ),
            )
        )
    return tuple(found)


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
