"""Quality against what it costs, drawn: one panel a cost, the lines that nothing beats joined by steps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from zoo.comparison.formatting import hardware_of, sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.pareto import COSTS, Cost, on_pareto_front
from zoo.comparison.seed_groups import machine_of
from zoo.errors import ResultError
from zoo.figures.curves import SUFFIXES
from zoo.figures.label_placement import Drawn, Label, Level, place_labels
from zoo.figures.reference_lines import axis_words, reference_lines, words_of_far
from zoo.files import writing_file

_METADATA: dict[str, dict[str, str | None]] = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito (2008)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_COLUMNS = 3
_WIDE_RANGE = 3.0  # largest over smallest cost from which the axis is logarithmic
_LETTERS = 28  # of a name beside a point
_NAME_SIZE = 7
_MARKER = 5.0  # points


def can_be_drawn(group: Leaderboard) -> bool:
    """Returns whether a group has two ranked lines with a cost in common."""
    return bool(_costs(group))


def frontier_image(group: Leaderboard, target: Path, *, title: str) -> Path:
    """Draws a group's ranking metric against every cost that two of its lines have.

    Bars are the spreads of the tables. Lines on the frontier are full and named, the others hollow. Where a cost
    depends on the machine, every machine has a colour and a frontier of its own. References are thin horizontal lines.

    Args:
        group: comparable lines.
        target: the image; its suffix, .png, .pdf or .svg, decides the format.
        title: printed above the panels.

    Raises:
        ResultError: if the suffix is not known, or if there is nothing to draw.
        DiskFullError: if the image cannot be written.
    """
    target = Path(target)
    if target.suffix not in SUFFIXES:
        raise ResultError(f"{target}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    costs = _costs(group)
    if group.metric is None or not costs:
        raise ResultError(f"{target}: no two lines with a metric and a cost")
    rows = -(-len(costs) // _COLUMNS)
    with mpl.rc_context({"svg.hashsalt": "gqn-zoo", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure = Figure(figsize=(4.4 * min(_COLUMNS, len(costs)), 3.6 * rows + 0.7), layout="constrained")
        panels = figure.subplots(rows, min(_COLUMNS, len(costs)), squeeze=False, sharey=True).ravel()
        machines = list(dict.fromkeys(machine_of(line.first) for line in group.models))
        drawn = [
            _panel(axes, group, metric=group.metric, cost=cost, machines=machines)
            for axes, cost in zip(panels, costs, strict=False)
        ]
        for axes in panels[len(costs) :]:
            axes.remove()
        for axes in panels[: len(costs) : _COLUMNS]:
            axes.set_ylabel(axis_words(group))
        _legend(figure, group, machines)
        figure.suptitle(sanitize(title), fontsize=9, wrap=True).set_parse_math(False)
        place_labels(figure, drawn, fontsize=_NAME_SIZE)
        with writing_file(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], dpi=150, metadata=_METADATA[target.suffix])
    return target


def _costs(group: Leaderboard) -> list[Cost]:
    if group.metric is None:
        return []
    ranked = [line for line in group.models if line.estimate(group.metric)]
    return [cost for cost in COSTS if sum(cost.of(line) is not None for line in ranked) > 1]


def _panel(axes: Axes, group: Leaderboard, *, metric: str, cost: Cost, machines: list[tuple[object, ...]]) -> Drawn:
    """Draws everything but the names of the lines on the frontier, which it returns with what they must not cover."""
    best = on_pareto_front(group.models, metric=metric, cost=cost, higher_is_better=group.higher_is_better)
    frontiers: dict[int, list[tuple[float, float]]] = {}
    prices = [price for line in group.models if (price := cost.of(line)) is not None and line.estimate(metric)]
    labels: list[Label] = []
    points: list[tuple[float, float, float]] = []
    lines: list[tuple[float, float, float, float]] = []
    for line, first in sorted(zip(group.models, best, strict=True), key=lambda item: cost.of(item[0]) or 0.0):
        estimate, price = line.estimate(metric), cost.of(line)
        if first is None or estimate is None or price is None:
            continue
        machine = machines.index(machine_of(line.first))
        colour = _COLOURS[machine % len(_COLOURS)]
        axes.errorbar(
            [price],
            [estimate.value],
            yerr=None if estimate.spread is None else [estimate.spread],
            fmt=_MARKERS[machine % len(_MARKERS)],
            markersize=_MARKER,
            color=colour,
            markerfacecolor=colour if first else "white",
            elinewidth=0.8,
            alpha=1.0 if first else 0.55,
        )
        points.append((price, estimate.value, estimate.spread or 0.0))
        if first:
            frontiers.setdefault(machine if cost.of_machine else -1, []).append((price, estimate.value))
            labels.append(Label(sanitize(line.variant)[:_LETTERS], price, estimate.value))
    for machine, steps in frontiers.items():
        across, up = zip(*sorted(steps), strict=True)
        for (x0, y0), (x1, y1) in pairwise(sorted(steps)):
            lines += [(x0, y0, x1, y0), (x1, y0, x1, y1)]
        axes.step(
            across,
            up,
            where="post",
            color=_COLOURS[machine % len(_COLOURS)] if machine >= 0 else "#888888",
            linewidth=1.0,
            zorder=1,
        )
    for mark in reference_lines(group):
        if mark.near:
            axes.axhline(mark.value, color="#888888", linewidth=0.8, linestyle=(0, (1.5, 2.0)), zorder=0.5)
    if max(prices) > _WIDE_RANGE * min(prices):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if max(prices) < 100 * min(prices) else (1.0,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
    )
    axes.margins(x=0.18, y=0.12)
    axes.set_xlabel(cost.title)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    levels = [Level(sanitize(mark.name), mark.value) for mark in reference_lines(group) if mark.near]
    return Drawn(axes, labels, points, radius=_MARKER / 2 + 1.0, lines=lines, levels=levels)


def _legend(figure: Figure, group: Leaderboard, machines: list[tuple[object, ...]]) -> None:
    handles = []
    for index, machine in enumerate(machines):
        row = next(line.first for line in group.models if machine_of(line.first) == machine)
        style: dict[str, Any] = {"marker": _MARKERS[index % len(_MARKERS)], "color": _COLOURS[index % len(_COLOURS)]}
        handles.append(Line2D([], [], linestyle="", label=sanitize(hardware_of(row)), **style))
    hollow: dict[str, Any] = {"marker": "o", "color": "#666666", "markerfacecolor": "white", "linestyle": ""}
    handles.append(Line2D([], [], label="another line is better and cheaper", **hollow))
    if far := words_of_far(group):
        handles.append(Line2D([], [], linestyle="", label=sanitize(far)))
    for text in figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8
    ).get_texts():
        text.set_parse_math(False)
