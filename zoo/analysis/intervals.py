"""Means of scores per scene with their 95 % intervals, their figure and what is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim
from zoo.analysis.findings import NO_SHEETS, Draw, Findings, Sheets
from zoo.comparison.statistics import paired_t_test
from zoo.figures.intervals import Interval, interval_panels


def interval_of(scores: np.ndarray, *, quantity: str, case: str, series: str) -> Interval:
    """Returns the mean of scores [n] per scene with the interval of Student's t."""
    found = paired_t_test(scores)
    return Interval(quantity, case, series, found.mean, found.low, found.high, found.n)


def interval_figure(intervals: Sequence[Interval], *, title: str, level: float | None = None) -> Draw:
    """Returns the function that draws the panels."""
    return lambda path: interval_panels(path, intervals=intervals, title=title, level=level)


def interval_findings(
    name: str,
    *,
    claims: Sequence[Claim],
    intervals: Sequence[Interval],
    about: str = "",
    level: float | None = None,
    sheets: Sheets = NO_SHEETS,
) -> Findings:
    """Returns the claims of an analysis with the figure of its intervals, below its title and what follows that."""
    table = pd.DataFrame(intervals, columns=list(Interval._fields))
    draw = interval_figure(intervals, title=f"{ANALYSES[name].title}{about}", level=level)
    return Findings(claims, table, draw, sheets)
