"""Means with intervals of several series, case by case."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from zoo.figures.style import GREY, legend_label, save_figure, series_style, styled

_CASE_LETTERS, _QUANTITY_LETTERS, _LETTERS_PER_INCH = 16, 40, 10
_SPREAD = 0.6  # of the series of one case, in units of the distance between cases


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    quantity: str  # with its unit: one panel
    case: str  # a place on the horizontal axis
    series: str  # a colour
    mean: float
    low: float
    high: float
    scenes: int  # over which the mean is


@styled
def interval_panels(path: Path, *, intervals: Sequence[Interval], title: str, level: float | None = None) -> Path:
    """Draws a panel for each quantity, side by side, with the same series in each.

    Args:
        path: the image: .png, .pdf or .svg.
        intervals: in the order of panels, cases and series.
        title: above the panels.
        level: a dashed line at this height, for example at no difference.

    Raises:
        ResultError: if the format is not known.
    """
    quantities = list(dict.fromkeys(each.quantity for each in intervals))
    series = list(dict.fromkeys(each.series for each in intervals))
    spaces = {name: _space_of([each for each in intervals if each.quantity == name]) for name in quantities}
    widths = [1.5 + space for space in spaces.values()]
    figure = Figure(figsize=(max(5.0, sum(widths)), 4.2))
    panels = figure.subplots(1, len(quantities), squeeze=False, width_ratios=widths)[0]
    for axes, quantity in zip(panels, quantities, strict=True):
        shown = [each for each in intervals if each.quantity == quantity]
        cases = list(dict.fromkeys(each.case for each in shown))
        for index, name in enumerate(series):
            own = [each for each in shown if each.series == name]
            shift = _SPREAD * ((index + 0.5) / len(series) - 0.5)
            places = [cases.index(each.case) + shift for each in own]
            means = np.array([each.mean for each in own])
            ends = np.array([[each.mean - each.low for each in own], [each.high - each.mean for each in own]])
            style = {**series_style(index), "linestyle": "none"}
            axes.errorbar(places, means, yerr=ends, label=legend_label(name), **style)
        if level is not None:
            axes.axhline(level, color=GREY, linestyle="dashed", linewidth=1.0)
        axes.set_xticks(range(len(cases)), [textwrap.fill(case, _CASE_LETTERS) for case in cases])
        axes.set(ylabel=textwrap.fill(quantity, _QUANTITY_LETTERS), xlim=(-0.6, len(cases) - 0.4))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(series), 4))
    figure.suptitle(textwrap.fill(title, int(sum(widths) * _LETTERS_PER_INCH)))
    return save_figure(figure, path)


def _space_of(intervals: Sequence[Interval]) -> float:
    """Returns the width that the cases of a panel need, inches."""
    cases = {each.case for each in intervals}
    lines = [line for case in cases for line in textwrap.wrap(case, _CASE_LETTERS)]
    series = {each.series for each in intervals}
    return len(cases) * max(0.75, 0.1 * max(map(len, lines)), 0.16 * len(series))
