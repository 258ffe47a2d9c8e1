"""Limits on how much worse a new result may be than its base, for continuous integration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from zoo.comparison.comparability import NotComparableError
from zoo.comparison.diff import Change, ComparedPair, Diff
from zoo.comparison.formatting import hardware_of
from zoo.errors import ResultError, did_you_mean
from zoo.results.metrics import metric_info

_FORM = re.compile(r"(?P<metric>[^:\s]+):(?P<sign>[-+]?)(?P<amount>\d+(\.\d*)?([eE][-+]?\d+)?|\.\d+)(?P<percent>%?)")


@dataclass(frozen=True)
class Threshold:
    """By how much a metric or speed may get worse."""

    text: str  # as the user wrote it
    metric: str  # name of a metric or of a timing
    amount: float  # 0 or more, in percent of the base or in the unit of the quantity
    percent: bool
    falling: bool  # written as a negative number, as is natural where higher is better

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Reads ``metric:0.5`` (in its unit) or ``metric:-5%`` (of the base).

        Raises:
            ResultError: if the text has another form, or asks for percent of what has no natural zero.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ResultError(
                f"--fail {text}: expected METRIC:AMOUNT or METRIC:AMOUNT%, for example nelbo_excess:0.5 or "
                "train_scenes_per_second:-5%"
            )
        if match["percent"] and not metric_info(match["metric"]).has_percent:
            raise ResultError(f"--fail {text}: zero is no natural origin of {match['metric']}, so give its own unit")
        return cls(text, match["metric"], float(match["amount"]), bool(match["percent"]), match["sign"] == "-")


def violations(thresholds: Sequence[Threshold], diff: Diff) -> list[str]:
    """Returns a sentence for every change that exceeds a threshold, and for every failed row of the new side.

    A change exceeds a threshold if it is worse by more and not undecided; where no test is possible (no values per scene,
    or too few scenes), the measured change alone decides.

    Raises:
        NotComparableError: if a speed was measured on different machines.
        ResultError: if a quantity was not compared anywhere, cannot get worse, or has a sign that does not fit.
    """
    sentences = []
    for threshold in thresholds:
        found = [(pair, change) for pair in diff.pairs for change in pair.changes if change.name == threshold.metric]
        if not found:
            _raise_not_compared(threshold, diff)
        sentences += [text for pair, change in found if (text := _violation(threshold, pair, change))]
    if thresholds:
        sentences += [f"{row.variant}: {row.status} ({row.error})" for row in diff.failures]
    return sentences


def _violation(threshold: Threshold, pair: ComparedPair, change: Change) -> str | None:
    if change.higher_is_better is None:
        raise ResultError(f"--fail {threshold.text}: neither direction of {change.name} is better")
    if threshold.falling and not change.higher_is_better and threshold.amount:
        raise ResultError(f"--fail {threshold.text}: lower {change.name} is better, so expected an amount of 0 or more")
    worse = -change.delta if change.higher_is_better else change.delta
    if threshold.percent:
        if change.percent is None:
            base = f"the base of {pair.base.variant!r} is {change.base:g}"
            raise ResultError(f"--fail {threshold.text}: {base}, which has no percent")
        worse *= 100 / change.base
    if worse <= threshold.amount or (change.tested and change.verdict != "worse"):
        return None
    unit = "%" if threshold.percent else f" {change.unit}"
    return (
        f"{pair.new.variant}: {change.name} is worse by {worse:.4g}{unit} ({change.base:.5g} to {change.new:.5g}), "
        f"more than {threshold.amount:g}{unit}"
    )


def _raise_not_compared(threshold: Threshold, diff: Diff) -> NoReturn:
    for pair in diff.pairs:
        old, now = pair.base.first, pair.new.first
        if threshold.metric in old.performance and threshold.metric in now.performance:
            raise NotComparableError(
                f"--fail {threshold.text}: not comparable: measured on {hardware_of(old)} ({old.provenance.device}) "
                f"against {hardware_of(now)} ({now.provenance.device})"
            )
    names = {change.name for pair in diff.pairs for change in pair.changes}
    raise ResultError(
        f"--fail {threshold.text}: {threshold.metric!r} was not compared{did_you_mean(threshold.metric, names)}"
    )
