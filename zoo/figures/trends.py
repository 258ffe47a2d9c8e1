"""Means with standard errors against a number, such as the number of context views."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.figures.style import GREY, PALETTE, legend_label, save_figure, styled

LABEL_LETTERS = 36  # in a line beside a vertical axis
MOST_TICKS = 6  # intervals of a horizontal axis: numbers of five digits fit below a panel
_PANEL_WIDTH = 3.6  # inches
_TITLE_LETTERS = 40  # in a line above a panel
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Points(NamedTuple):
    """One series: means over scenes at every position of the axis."""

    label: str
    positions: Sequence[float]
    means: np.ndarray  # [positions]
    errors: np.ndarray  # [positions], standard errors; paired differences between positions have smaller ones
    num_scenes: int


def trend_of(label: str, positions: Sequence[float], scores: Sequence[np.ndarray]) -> Points:
    """Returns the series of scores [scenes] of the same scenes at every position."""
    errors = [each.std(ddof=1) / np.sqrt(len(each)) for each in scores]
    return Points(label, positions, np.array([each.mean() for each in scores]), np.array(errors), len(scores[0]))


class TrendPanel(NamedTuple):
    """The series of one quantity."""

    quantity: str  # with its unit
    trends: Sequence[Points]
    along: str | None = None  # label of the horizontal axis, if it is not that of the figure
    diagonal: bool = False  # draws the line of equal values


@styled
def trend_panels(path: Path, *, panels: Sequence[TrendPanel], along: str, title: str) -> Path:
    """Draws panels side by side, each with bars of one standard error, above one legend.

    Args:
        path: the image: .png, .pdf or .svg.
        panels: a label has the same colour in every panel.
        along: label of the horizontal axes.
        title: above the panels.

    Raises:
        ResultError: if the format is not known.
    """
    labels = list(dict.fromkeys(trend.label for panel in panels for trend in panel.trends))
    figure = Figure(figsize=(_PANEL_WIDTH * len(panels), 3.9))
    handles: dict[str, Any] = {}
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for trend in panel.trends:
            index = labels.index(trend.label)
            axes.errorbar(
                trend.positions,
                trend.means,
                yerr=trend.errors,
                label=legend_label(trend.label),
                color=PALETTE[index % len(PALETTE)],
                marker=_MARKERS[index % len(_MARKERS)],
            )
        if panel.diagonal:
            largest = max(float(np.max(trend.positions)) for trend in panel.trends)
            axes.plot([0.0, largest], [0.0, largest], color=GREY, linestyle="dashed", linewidth=1.0)
        axes.set(xlabel=panel.along or along, ylabel=textwrap.fill(panel.quantity, LABEL_LETTERS))
        if all(float(place).is_integer() for trend in panel.trends for place in trend.positions):
            axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=True))
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(panels), 2))
    figure.suptitle(textwrap.fill(title, _TITLE_LETTERS * len(panels)))
    return save_figure(figure, path)
