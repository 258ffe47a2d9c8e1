"""Quality against cost: what each line of a table took, beside how good it is, and which lines nothing dominates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import escape

from zoo.comparison.formatting import hardware_of, sanitize
from zoo.comparison.leaderboards import Leaderboard, SeedGroup
from zoo.figures.pareto_front import Baseline as Mark
from zoo.figures.pareto_front import baselines_of as reference_lines
from zoo.figures.pareto_front import note_on_far_baselines as words_of_far
from zoo.report.charts import WIDE_RANGE, Axis, Chart, Scale, drawing, frame, level, path_of, pixels, style_of
from zoo.results.metrics import metric_info
from zoo.results.row import PREDICT_THROUGHPUT, ResultRow

_AIR = 1.25  # by which a logarithmic axis goes on behind the last disc


@dataclass(frozen=True)
class CostFigure:
    """The charts of one table; lines are called by their places in it.

    Attributes:
        table: number of the table.
        title: title of the table.
        charts: one a cost.
        legend: (place, style, label) of every line.
        notes: what has to be known to read it.
    """

    table: int
    title: str
    charts: tuple[Chart, ...]
    legend: tuple[tuple[int, int, str], ...]
    notes: tuple[str, ...]


class _Cost(NamedTuple):
    axis: Axis
    of: Callable[[ResultRow], float | None]
    of_a_machine: bool  # means nothing between two machines


class _Point(NamedTuple):
    place: int
    label: str
    cost: float
    value: float
    spread: float


def cost_figures(groups: Sequence[Leaderboard], *, styles: Mapping[str, int]) -> list[CostFigure]:
    """Returns a figure for every table with a ranking of two lines or more; numbers are those of the tables.

    Seconds and latencies are left out where the lines were not all measured on one machine. A cost that fewer than two
    lines tell is left out, too.
    """
    figures = []
    for number, group in enumerate(groups, start=1):
        if group.metric is None or len(group.models) < 2:
            continue
        marks = [mark for mark in reference_lines(group) if mark.near]
        machines = {hardware_of(row) for line in group.models for row in line.rows}
        charts, notes = [], []
        for cost in _COSTS:
            points = list(_points(group, cost))
            if len(points) < 2:
                continue
            if cost.of_a_machine and len(machines) > 1:
                notes.append(f"{cost.axis.words} is not drawn: the lines were measured on {len(machines)} machines.")
            else:
                charts.append(
                    _chart(points, cost.axis, vertical=metric_info(group.metric).axis, styles=styles, marks=marks)
                )
        if charts:
            places = tuple(
                (place, styles[line.variant], line.variant) for place, line in enumerate(group.models, start=1)
            )
            about = (
                f"Numbers are places in table {number}; bars are its ±. The line joins what no other line beats in both "
                "cost and quality. Lower left is better."
            )
            if marks:
                about += " Dotted: references, for which nothing was trained."
            if far := words_of_far(group):
                notes.append(sanitize(far))
            figures.append(
                CostFigure(
                    number, sanitize(group.key.label()) if group.key else "", tuple(charts), places, (about, *notes)
                )
            )
    return figures


def _training_flops(row: ResultRow) -> float | None:
    if row.model is None or row.budget is None or not row.model.flops_per_training_scene:
        return None
    return float(row.model.flops_per_training_scene) * row.budget.scenes_seen


def _milliseconds(row: ResultRow) -> float | None:
    timing = row.performance.get(PREDICT_THROUGHPUT)
    return 1000.0 / timing.median if timing is not None and timing.median > 0 else None


_COSTS = (
    _Cost(Axis.work("training cost"), _training_flops, of_a_machine=False),
    _Cost(Axis.time("training time"), lambda row: row.budget.seconds if row.budget else None, of_a_machine=True),
    _Cost(
        Axis("parameters", ((1.0, ""), (1e3, "thousands"), (1e6, "millions"))),
        lambda row: float(row.model.parameters) if row.model else None,
        of_a_machine=False,
    ),
    _Cost(Axis.plain("prediction (ms an image)"), _milliseconds, of_a_machine=True),
    _Cost(
        Axis.plain("peak memory (MiB)"),
        lambda row: row.model.peak_memory_bytes / 2**20 if row.model and row.model.peak_memory_bytes else None,
        of_a_machine=True,
    ),
)


def _points(group: Leaderboard, cost: _Cost) -> Iterable[_Point]:
    for place, line in enumerate(group.models, start=1):
        estimate, spent = line.estimate(group.metric or ""), _mean_cost(line, cost)
        if estimate is not None and spent is not None and spent > 0:
            yield _Point(place, line.variant, spent, estimate.value, estimate.spread or 0.0)


def _mean_cost(line: SeedGroup, cost: _Cost) -> float | None:
    costs = [value for value in map(cost.of, line.rows) if value is not None]
    return sum(costs) / len(costs) if costs else None


def _chart(
    points: Sequence[_Point], axis: Axis, *, vertical: str, styles: Mapping[str, int], marks: Sequence[Mark]
) -> Chart:
    costs = np.array([point.cost for point in points])
    factor, words = axis.scale(float(costs.max()))
    costs = costs / factor
    values, spreads = np.array([p.value for p in points]), np.array([p.spread for p in points])
    far = bool(costs.max() > WIDE_RANGE * costs.min())
    across = Scale.of([costs / _AIR, costs * _AIR] if far else [costs], logarithmic=far, length=364)
    tall = bool(
        min((values - spreads).min(), *(mark.value for mark in marks), np.inf) > 0
        and values.max() > WIDE_RANGE * values.min()
    )
    levels = [np.array([mark.value]) for mark in marks]
    upright = Scale.of([values - spreads, values + spreads, *levels], logarithmic=tall, length=232)
    parts = [frame(across, upright, horizontal=words, vertical=vertical)]
    parts += [level(mark.name, mark.value, across, upright) for mark in marks]
    parts.append(_front(costs, values, across, upright))
    lows, highs = pixels(costs, values - spreads, across, upright), pixels(costs, values + spreads, across, upright)
    for index, (x, y) in enumerate(pixels(costs, values, across, upright)):
        point, style = points[index], style_of(styles[points[index].label])
        text = escape(sanitize(f"{point.place}: {point.label}"))
        parts.append(
            f'<g><title>{text}</title><path class="bar {style}" d="{path_of([lows[index], highs[index]])}"/>'
            f'<circle class="disc {style}" cx="{x}" cy="{y}" r="8"/>'
            f'<text class="place middle" x="{x}" y="{float(y) + 3.6:.1f}">{point.place}</text></g>'
        )
    title = f"{vertical} against {words}"
    return Chart(title=title, svg=drawing(parts, title=title))


def _front(costs: np.ndarray, values: np.ndarray, across: Scale, upright: Scale) -> str:
    """Returns the steps through the points that no other beats: at each cost the best value so far."""
    order = np.lexsort((values, costs))
    corners: list[tuple[str, str]] = []
    best = np.inf
    for index in order:
        if values[index] < best:
            best = values[index]
            ((x, y),) = pixels(costs[index : index + 1], values[index : index + 1], across, upright)
            if corners:
                corners.append((x, corners[-1][1]))
            corners.append((x, y))
    return f'<path class="front" d="{path_of(corners)}"/>' if len(corners) > 1 else ""
