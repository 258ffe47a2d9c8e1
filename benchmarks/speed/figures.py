"""Figures of a record: bars of speed-ups with their targets, and times by size with fitted exponents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.speed.record import Address, Measured, Scaling
from zoo.figures.style import BLACK, GREY, save_figure, series_style, styled

_BAR_SHARE = 0.8  # of the distance between two groups of bars


@styled
def bar_panels(
    path: Path, *, panels: Mapping[str, Sequence[Measured]], targets: Mapping[Address, float], title: str
) -> Path:
    """Draws quantities by action, in one colour per subject, with 10th to 90th percentiles and targets.

    Args:
        path: .png, .pdf or .svg.
        panels: label of the vertical axis -> quantities of one unit; a panel of quotients in "times" has a line at 1.
        targets: drawn across the bars.
        title: of the figure.
    """
    actions = max(len({bar.action for bar in bars}) for bars in panels.values())
    figure = Figure(figsize=(max(5.0, 1.5 * actions) * len(panels), 4.2))
    for axes, (label, bars) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw_bars(axes, bars, targets=targets)
        axes.set_ylabel(label)
        if bars[0].unit == "times":
            axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle=(0, (5, 3)))
    figure.suptitle(title)
    return save_figure(figure, path)


def _draw_bars(axes: Axes, bars: Sequence[Measured], *, targets: Mapping[Address, float]) -> None:
    actions, subjects = _unique(bar.action for bar in bars), _unique(bar.subject for bar in bars)
    width = _BAR_SHARE / len(subjects)
    for index, subject in enumerate(subjects):
        own = [bar for bar in bars if bar.subject == subject]
        places = [actions.index(bar.action) + (index - (len(subjects) - 1) / 2) * width for bar in own]
        spreads = np.array([[bar.median - bar.p10 for bar in own], [bar.p90 - bar.median for bar in own]])
        colour = series_style(index)["color"]
        axes.bar(places, [bar.median for bar in own], width * 0.92, yerr=spreads, label=subject, color=colour)
        for place, bar in zip(places, own, strict=True):
            axes.annotate(f"{bar.median:.2f}", (place, bar.p90), (0, 4), textcoords="offset points", ha="center")
            if bar.address in targets:
                reach = (place - width / 2, place + width / 2)
                axes.hlines(targets[bar.address], *reach, colors=BLACK, linewidth=2.0)
    if any(bar.address in targets for bar in bars):
        axes.hlines([], 0, 1, colors=BLACK, linewidth=2.0, label="target")
    axes.set_xticks(range(len(actions)), [action.replace(", ", "\n") for action in actions])
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0.0)
    axes.grid(visible=False, axis="x")
    axes.legend(ncols=len(subjects) + 1, loc="lower center", bbox_to_anchor=(0.5, 1.0))


@styled
def scaling_panels(path: Path, *, scalings: Sequence[Scaling], title: str) -> Path:
    """Draws times against sizes on logarithmic axes: a row per action, a column per axis, a line per subject."""
    actions, axis_names = _unique(law.action for law in scalings), _unique(law.axis for law in scalings)
    figure = Figure(figsize=(3.3 * len(axis_names), 3.2 * len(actions)))
    grid = figure.subplots(len(actions), len(axis_names), squeeze=False, sharex="col", sharey="row")
    for row, action in zip(grid, actions, strict=True):
        for axes, name in zip(row, axis_names, strict=True):
            _draw_scalings(axes, [law for law in scalings if (law.action, law.axis) == (action, name)])
        row[0].set_ylabel(f"time of {action}")
    for axes, name in zip(grid[-1], axis_names, strict=True):
        axes.set_xlabel(name)
    figure.suptitle(title)
    return save_figure(figure, path)


def _draw_scalings(axes: Axes, scalings: Sequence[Scaling]) -> None:
    for index, law in enumerate(scalings):
        median, low, high = map(np.array, (law.seconds, law.seconds_p10, law.seconds_p90))
        style = {**series_style(index), "marker": "os^D"[index % 4]}
        label = f"{law.subject}: exponent {law.exponent:.2f}"
        axes.errorbar(law.sizes, median, yerr=[median - low, high - median], label=label, **style)
    sizes = sorted({size for law in scalings for size in law.sizes})
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.margins(y=0.25)
    axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(mpl.ticker.EngFormatter(unit="s"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(mpl.ticker.NullLocator())
    axes.legend(loc="upper left")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
