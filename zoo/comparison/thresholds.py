"""Limits on how much worse a new result may be than its base, for continuous integration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from zoo.comparison.formatting import hardware_of
from zoo.comparison.matching import Changes, Compared
from zoo.comparison.pairs import PairDelta
from zoo.errors import ResultError, did_you_mean
from zoo.results.metrics import metric_info

_FORM = re.compile(r"(?P<metric>[^:\s]+):(?P<sign>[-+]?)(?P<amount>\d+(\.\d*)?([eE][-+]?\d+)?|\.\d+)(?P<percent>%?)")


@dataclass(frozen=True)
class Threshold:
    """By how much a quantity may get worse.

    Attributes:
        text: as the user wrote it.
        metric: name of a metric or of a timing.
        amount: 0 or more, in the unit of the quantity or in percent of the base.
        percent: which of the two.
        falling: whether it was written as a negative number, as is natural where higher is better.
    """

    text: str
    metric: str
    amount: float
    percent: bool
    falling: bool

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
        return cls(
            text=text,
            metric=match["metric"],
            amount=float(match["amount"]),
            percent=bool(match["percent"]),
            falling=match["sign"] == "-",
        )


def broken(thresholds: Sequence[Threshold], changes: Changes) -> list[str]:
    """Returns a sentence for every threshold that a compared line breaks, and for every new row that failed.

    A line breaks a threshold if it got worse by more, and if that is not undecided; where no test is possible (no
    values by scene, or too few scenes), the measured change alone decides.

    Raises:
        ResultError: if a quantity was not compared anywhere, cannot get worse, or has a sign that does not fit.
    """
    sentences = []
    for threshold in thresholds:
        found = [(pair, delta) for pair in changes.compared for delta in pair.deltas if delta.name == threshold.metric]
        if not found:
            _refuse(threshold, changes)
        sentences += [sentence for pair, delta in found if (sentence := _judge(threshold, pair, delta))]
    if thresholds:
        sentences += [f"{row.variant}: {row.status} ({row.error})" for row in changes.failures]
    return sentences


def _judge(threshold: Threshold, pair: Compared, delta: PairDelta) -> str | None:
    if delta.higher_is_better is None:
        raise ResultError(f"--fail {threshold.text}: of {delta.name} neither more nor less is better")
    if threshold.falling and not delta.higher_is_better and threshold.amount:
        raise ResultError(f"--fail {threshold.text}: lower {delta.name} is better, so expected an amount of 0 or more")
    worse = -delta.delta if delta.higher_is_better else delta.delta
    if threshold.percent:
        if delta.percent is None:
            raise ResultError(
                f"--fail {threshold.text}: the base of {pair.base.variant!r} is {delta.base:g}: no percent"
            )
        worse *= 100 / delta.base
    if worse <= threshold.amount or (delta.tested and delta.verdict != "worse"):
        return None
    unit = "%" if threshold.percent else f" {delta.unit}"
    return (
        f"{pair.new.variant}: {delta.name} is worse by {worse:.4g}{unit} ({delta.base:.5g} to {delta.new:.5g}), "
        f"more than {threshold.amount:g}{unit}"
    )


def _refuse(threshold: Threshold, changes: Changes) -> NoReturn:
    for pair in changes.compared:
        old, now = pair.base.first, pair.new.first
        if threshold.metric in old.performance and threshold.metric in now.performance:
            raise ResultError(
                f"--fail {threshold.text}: not comparable: measured on {hardware_of(old)} ({old.provenance.device}) "
                f"against {hardware_of(now)} ({now.provenance.device})"
            )
    names = {delta.name for pair in changes.compared for delta in pair.deltas}
    raise ResultError(
        f"--fail {threshold.text}: {threshold.metric!r} was not compared{did_you_mean(threshold.metric, names)}"
    )
