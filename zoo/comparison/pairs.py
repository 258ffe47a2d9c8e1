"""One result against another: the base first, then what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zoo.comparison.seed_groups import (
    CODE_METRIC,
    SeedGroup,
    as_line,
    comparable_as_codes_alone,
    difference_if_possible,
    machine_of,
    require_comparable,
)
from zoo.comparison.statistics import PairedDifference, holm
from zoo.errors import ResultError
from zoo.results.metrics import metric_info
from zoo.results.row import ResultRow

Verdict = Literal["better", "worse", "changed", "undecided"]


@dataclass(frozen=True)
class PairDelta:
    """How one quantity differs between a base and a new result.

    Attributes:
        name: metric or timing.
        unit: unit of ``base``, ``new`` and ``delta``.
        base: value of the base.
        new: value of the new result.
        delta: new - base.
        percent: the same relative to the base; None where zero is not a natural origin (NELBO, decibel).
        difference: the paired test over scenes and seeds; None if there are no values by scene.
        verdict: ``better`` or ``worse``, or ``changed`` where neither more nor less is better, if the interval excludes
            0 (Holm-corrected, where many pairs are judged), for a speed if the spreads over repeats do not meet; else
            ``undecided``.
        higher_is_better: None if neither is.
        tested: whether a test was possible, so that ``undecided`` says more than that nothing is known.
    """

    name: str
    unit: str
    base: float
    new: float
    delta: float
    percent: float | None
    difference: PairedDifference | None
    verdict: Verdict
    higher_is_better: bool | None
    tested: bool


def compare_pair(base: ResultRow | SeedGroup, new: ResultRow | SeedGroup) -> list[PairDelta]:
    """Returns, for all that both results have, how ``new`` differs from ``base``: metrics first, then speeds.

    Speeds are left out unless both were measured on the same hardware; where likelihood or sigma differ, every metric is
    but the length of the code of 8-bit values.

    Raises:
        ResultError: if one of them failed, or if the metrics are not comparable.
    """
    return compare_pairs([(as_line(base), as_line(new))])[0]


def compare_pairs(pairs: Sequence[tuple[SeedGroup, SeedGroup]]) -> list[list[PairDelta]]:
    """Does the same for many (base, new): of each metric, all verdicts together hold with 95 % (Holm's correction).

    Raises:
        ResultError: as :func:`compare_pair`.
    """
    for base, new in pairs:
        _require_measured(base, new)
    places = [
        (index, name)
        for index, (base, new) in enumerate(pairs)
        for name in _comparable_metrics(base.first, new.first)
        if base.estimate(name) and new.estimate(name)  # not every seed need have been measured in every way
    ]
    differences = [difference_if_possible(pairs[index][1], pairs[index][0], name) for index, name in places]
    deltas: list[list[PairDelta]] = [[] for _ in pairs]
    for (index, name), difference in zip(places, differences, strict=True):
        deltas[index].append(_metric_delta(*pairs[index], name, difference=difference))
    _correct(deltas)
    for (base, new), own in zip(pairs, deltas, strict=True):
        own += _timing_deltas(base, new)
    return deltas


def _comparable_metrics(base: ResultRow, new: ResultRow) -> list[str]:
    if comparable_as_codes_alone(base, new):
        return [CODE_METRIC]
    return sorted(base.metrics.keys() & new.metrics.keys())


def _require_measured(base: SeedGroup, new: SeedGroup) -> None:
    for row in (*base.rows, *new.rows):
        if row.status != "ok":
            raise ResultError(f"{row.variant!r} is not comparable: its status is {row.status!r} ({row.error})")
    if base.first.metrics or new.first.metrics:
        codes = comparable_as_codes_alone(base.first, new.first)
        require_comparable(base.first, new.first, metric=CODE_METRIC if codes else None)


def _metric_delta(base: SeedGroup, new: SeedGroup, name: str, *, difference: PairedDifference | None) -> PairDelta:
    old, now = base.estimate(name), new.estimate(name)
    assert old is not None and now is not None
    metric = base.first.metrics[name]
    return _delta(
        name,
        metric.unit,
        old.value,
        now.value,
        difference=difference,
        decided=difference is not None and difference.excludes_zero,
        higher_is_better=metric.higher_is_better,
        tested=difference is not None and difference.has_enough_scenes,
    )


def _timing_deltas(base: SeedGroup, new: SeedGroup) -> list[PairDelta]:
    if machine_of(base.first) != machine_of(new.first):
        return []
    deltas = []
    timings, others = base.first.performance, new.first.performance
    for name in sorted(timings.keys() & others.keys()):
        old, now = timings[name], others[name]
        deltas.append(
            _delta(
                name,
                old.unit,
                old.median,
                now.median,
                difference=None,
                decided=now.p10 > old.p90 or now.p90 < old.p10,
                higher_is_better=old.higher_is_better,
                tested=True,
            )
        )
    return deltas


def _correct(deltas: list[list[PairDelta]]) -> None:
    """Takes back, in place, verdicts on a metric that Holm's correction over the pairs does not allow."""
    for name in {delta.name for own in deltas for delta in own}:
        places = [
            (own, index, delta.difference.p)
            for own in deltas
            for index, delta in enumerate(own)
            if delta.name == name and delta.difference is not None and delta.difference.has_enough_scenes
        ]
        for (own, index, _), holds in zip(places, holm([p for _, _, p in places]), strict=True):
            if not holds:
                own[index] = replace(own[index], verdict="undecided")


def _delta(
    name: str,
    unit: str,
    base: float,
    new: float,
    *,
    difference: PairedDifference | None,
    decided: bool,
    higher_is_better: bool | None,
    tested: bool,
) -> PairDelta:
    return PairDelta(
        name=name,
        unit=unit,
        base=base,
        new=new,
        delta=new - base,
        percent=100 * (new - base) / base if base > 0 and metric_info(name).has_percent else None,
        difference=difference,
        verdict=_verdict(new - base, higher_is_better=higher_is_better) if decided else "undecided",
        higher_is_better=higher_is_better,
        tested=tested,
    )


def _verdict(delta: float, *, higher_is_better: bool | None) -> Verdict:
    if delta == 0:
        return "undecided"
    if higher_is_better is None:
        return "changed"
    return "better" if (delta > 0) == higher_is_better else "worse"
