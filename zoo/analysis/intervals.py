"""Means of scores per scene with their 95 % intervals, their table and their figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from zoo.analysis.findings import Draw
from zoo.comparison.statistics import paired_t_test
from zoo.figures.intervals import Interval, interval_panels


def interval_of(scores: np.ndarray, *, quantity: str, case: str, series: str) -> Interval:
    """Returns the mean of scores [n] per scene with the interval of Student's t."""
    found = paired_t_test(scores)
    return Interval(quantity, case, series, found.mean, found.low, found.high, found.n)


def interval_table(intervals: Sequence[Interval]) -> pd.DataFrame:
    """Returns what :func:`zoo.figures.intervals.interval_panels` draws, a row for each interval."""
    return pd.DataFrame(intervals, columns=list(Interval._fields))


def interval_figure(intervals: Sequence[Interval], *, title: str, level: float | None = None) -> Draw:
    """Returns the function that draws the panels."""
    return lambda path: interval_panels(path, intervals=intervals, title=title, level=level)
