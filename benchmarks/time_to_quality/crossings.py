"""When a curve first reaches a threshold, and the median over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.time_to_quality.record import QualityRun


class Crossing(NamedTuple):
    """Where a run first reaches a threshold."""

    seconds: float  # of CPU time
    updates: float
    flops: float


class Reached(NamedTuple):
    """Where the seeds of a subject reach a threshold; seeds that do not reach it are infinitely late."""

    crossings: tuple[Crossing | None, ...]  # by seed

    @property
    def num_reached(self) -> int:
        """How many seeds reach it."""
        return sum(crossing is not None for crossing in self.crossings)

    def median(self, quantity: str) -> float:
        """Returns the median of a field of :class:`Crossing`; infinite if half of the seeds or more do not reach it."""
        return statistics.median(self._values(quantity))

    def range(self, quantity: str) -> tuple[float, float]:
        """Returns the least and the largest value over seeds."""
        values = self._values(quantity)
        return min(values), max(values)

    def _values(self, quantity: str) -> list[float]:
        return [math.inf if crossing is None else getattr(crossing, quantity) for crossing in self.crossings]


def crossing_of(run: QualityRun, threshold: float) -> Crossing | None:
    """Returns where a run first scores at or below a threshold, None if it never does.

    Between the last point above and the first one at or below, the excess is taken to be linear in the updates.
    """
    before = None
    for point in run.points:
        if point.excess <= threshold:
            if before is None:
                share, before = 0.0, point
            else:
                share = (before.excess - threshold) / (before.excess - point.excess)
            updates = before.updates + share * (point.updates - before.updates)
            seconds = before.cpu_seconds + share * (point.cpu_seconds - before.cpu_seconds)
            return Crossing(seconds=seconds, updates=updates, flops=updates * run.flops_per_update)
        before = point
    return None


def reached(runs: Sequence[QualityRun], threshold: float) -> Reached:
    """Returns where the runs of one subject reach a threshold."""
    return Reached(tuple(crossing_of(run, threshold) for run in runs))
