"""One result against another: the base first, then what changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from zoo.errors import ResultError
from zoo.report.lines import Line, as_line, difference_if_possible, require_comparable
from zoo.report.statistics import MIN_SCENES, PairedDifference
from zoo.results import ResultRow

Verdict = Literal["better", "worse", "undecided"]

# Of these zero is no natural origin: the floor makes 7000 against 6900 nats a tenth or ten times the excess.
_NO_PERCENT = re.compile(r"nelbo|iwae_[0-9]+|log_likelihood|floor|psnr")


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
        difference: the paired test over scenes; None if there are no values by scene.
        verdict: ``better`` or ``worse`` if the interval excludes 0, else ``undecided``.
    """

    name: str
    unit: str
    base: float
    new: float
    delta: float
    percent: float | None
    difference: PairedDifference | None
    verdict: Verdict


def compare_pair(base: ResultRow | Line, new: ResultRow | Line) -> list[PairDelta]:
    """Returns, for all that both results have, how ``new`` differs from ``base``: metrics first, then speeds.

    Speeds are left out unless both were measured on the same hardware.

    Raises:
        ResultError: if one of them failed, or if the metrics are not comparable.
    """
    line_base, line_new = as_line(base), as_line(new)
    for row in (*line_base.rows, *line_new.rows):
        if row.status != "ok":
            raise ResultError(f"{row.variant!r} is not comparable: its status is {row.status!r} ({row.error})")
    deltas = []
    if line_base.first.metrics or line_new.first.metrics:
        require_comparable(line_base.first, line_new.first)
        names = sorted(line_base.first.metrics.keys() & line_new.first.metrics.keys())
        deltas += [_metric_delta(line_base, line_new, name) for name in names]
    if _machine(line_base.first) == _machine(line_new.first):
        timings, others = line_base.first.performance, line_new.first.performance
        for name in sorted(timings.keys() & others.keys()):
            old, now = timings[name], others[name]
            apart = now.p10 > old.p90 or now.p90 < old.p10
            verdict = _verdict(now.median - old.median, higher_is_better=old.higher_is_better) if apart else "undecided"
            deltas.append(_delta(name, old.unit, old.median, now.median, difference=None, verdict=verdict))
    return deltas


def _metric_delta(base: Line, new: Line, name: str) -> PairDelta:
    old, now = base.estimate(name), new.estimate(name)
    if old is None or now is None:
        raise ResultError(f"{name}: not every seed of {base.variant!r} and {new.variant!r} has it")
    metric = base.first.metrics[name]
    difference = difference_if_possible(new, base, name)
    decided = difference is not None and difference.n >= MIN_SCENES and not difference.low <= 0 <= difference.high
    verdict = _verdict(now.value - old.value, higher_is_better=metric.higher_is_better) if decided else "undecided"
    return _delta(name, metric.unit, old.value, now.value, difference=difference, verdict=verdict)


def _delta(
    name: str, unit: str, base: float, new: float, *, difference: PairedDifference | None, verdict: Verdict
) -> PairDelta:
    percent = 100 * (new - base) / base if base > 0 and not _NO_PERCENT.fullmatch(name) else None
    return PairDelta(name, unit, base, new, new - base, percent, difference, verdict)


def _verdict(delta: float, *, higher_is_better: bool | None) -> Verdict:
    if higher_is_better is None or delta == 0:
        return "undecided"
    return "better" if (delta > 0) == higher_is_better else "worse"


def _machine(row: ResultRow) -> tuple[object, ...]:
    hardware = row.provenance.hardware
    gpus = tuple((gpu.name, gpu.memory_bytes) for gpu in hardware.gpus)
    return hardware.cpu, hardware.threads, gpus, row.provenance.device
