"""Learning curves: a metric against training steps, wall-clock time and training FLOPs, as the mean over seeds.

They are read from the log of a run, ``metrics.jsonl``: one JSON object per line, with ``step`` and ``seconds``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zoo.comparison.formatting import number, sanitize
from zoo.errors import ResultError, did_you_mean
from zoo.figures.style import (
    check_suffix,
    legend_label,
    save_figure,
    series_style,
    styled,
    use_log_scale,
    use_short_numbers,
)
from zoo.files import reading, write_text
from zoo.results.metrics import find_metric
from zoo.results.store import parse_json

LOG = "metrics.jsonl"
_MOST_MARKERS = 40  # with more points than this, markers hide the line
_MOST_POINTS = 400  # one pixel each
_WIDE_RANGE = 5.0  # largest over smallest value from which the axis is logarithmic
_SPLITS = {"eval": "validation", "train": "training"}
_SECONDS = ((1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours"))
_FLOPS = tuple((1e3**power, f"{prefix}FLOP") for power, prefix in enumerate(("", "k", "M", "G", "T", "P", "E", "Z")))


class Point(NamedTuple):
    """One value of a metric during training."""

    step: int
    seconds: float
    value: float


@dataclass(frozen=True)
class Curve:
    """A metric during the training of one variant, at the steps that all of its seeds have reached."""

    label: str  # in the legend
    steps: np.ndarray  # [P]
    seconds: np.ndarray  # [P], mean over seeds
    per_seed: np.ndarray  # [seeds, P], the values
    flops_per_step: float | None
    waiting: int  # number of seeds without any value yet

    @property
    def spread(self) -> np.ndarray | None:
        """The standard deviation over seeds, [P]; None for a single seed."""
        return self.per_seed.std(axis=0, ddof=1) if len(self.per_seed) > 1 else None

    @property
    def last(self) -> str:
        """The value at the last common step, with its standard deviation over seeds."""
        if not self.per_seed.size:
            return "no values yet"
        spread = self.spread
        value, deviation = number(float(self.per_seed[:, -1].mean()), None if spread is None else float(spread[-1]))
        return f"{value} ± {deviation}, n={len(self.per_seed)}" if deviation else value


def curve_of(label: str, logs: Sequence[Sequence[Point]], *, flops_per_step: float | None = None) -> Curve:
    """Joins the logs of the seeds of one variant."""
    begun = [{point.step: point for point in points} for points in logs if points]
    steps = sorted(set.intersection(*map(set, begun))) if begun else []
    seconds = np.array([[points[step].seconds for step in steps] for points in begun])
    return Curve(
        label=label,
        steps=np.array(steps, dtype=float),
        seconds=seconds.mean(axis=0) if begun else np.zeros(0),
        per_seed=np.array([[points[step].value for step in steps] for points in begun]),
        flops_per_step=flops_per_step,
        waiting=len(logs) - len(begun),
    )


def learning_curves(
    runs: Mapping[str, Path], target: Path, *, metric: str = "eval/nelbo_excess", title: str | None = None
) -> Path:
    """Draws a metric of several runs against steps and seconds, and writes a CSV file with the values beside the image.

    Args:
        runs: label -> run folder, which holds ``metrics.jsonl``.
        target: the image: .png, .pdf or .svg.
        metric: name in the logs. Runs without a value of it stay in the legend.
        title: above the panels.

    Raises:
        ResultError: if a file is damaged, if no run has the metric, or if the suffix is not known.
    """
    target = check_suffix(target)
    if not runs:
        raise ResultError(f"{target}: no runs to draw")
    logs = {label: Path(folder) / LOG for label, folder in runs.items()}
    points = read_curves(list(logs.values()), metric=metric)
    curves = [curve_of(label, [found]) for label, found in zip(logs, points, strict=True)]
    save_figure(draw_curves(curves, metric=metric, title=title), target, dpi=200)
    frame = pd.DataFrame(
        [(label, *point) for label, found in zip(logs, points, strict=True) for point in found],
        columns=["run", "step", "seconds", metric],
    )
    write_text(target.with_suffix(".csv"), frame.to_csv(index=False, lineterminator="\n"))
    return target


def read_curves(logs: Sequence[Path], *, metric: str) -> list[list[Point]]:
    """Returns the values of a metric in each log.

    Raises:
        ResultError: if a log is damaged, or if none has the metric.
    """
    curves = [read_curve(log, metric=metric) for log in logs]
    if not any(curves):
        known = set().union(*(metric_names(log) for log in logs))
        raise ResultError(f"no run has values of {metric!r}{did_you_mean(metric, known)}")
    return curves


def read_curve(path: Path, *, metric: str) -> list[Point]:
    """Reads the values of a metric from a log.

    A resumed run goes back to its checkpoint; the values that were logged before the interruption, from the first repeated
    step on, are left out. A last line without a line break is ignored: a running job is still writing it.

    Raises:
        ResultError: naming the file and the line, if the log is missing or any other line is damaged.
    """
    points: list[Point] = []
    last = -1
    for place, record in _records(path):
        step, seconds, value = record.get("step"), record.get("seconds"), record.get(metric)
        if not _is_number(step) or step != int(step) or step < 0:
            raise ResultError(f"{place}: step: expected a whole number, found {step!r}")
        if not _is_number(seconds):
            raise ResultError(f"{place}: seconds: expected a number, found {seconds!r}")
        if step < last:
            points = [point for point in points if point.step < step]
        last = int(step)
        if value is None:
            continue
        if not _is_number(value):
            raise ResultError(f"{place}: {metric}: expected a number, found {value!r}")
        if points and points[-1].step == step:
            points.pop()
        points.append(Point(int(step), float(seconds), float(value)))
    return points


def metric_names(path: Path) -> set[str]:
    """Returns the names of all metrics in a log; raises the errors of :func:`read_curve`."""
    names = {name for _, record in _records(path) for name, value in record.items() if _is_number(value)}
    return names - {"step", "seconds", "scenes"}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each line's place, for errors, and its contents."""
    with reading(path, error=ResultError):
        lines = path.read_bytes().split(b"\n")
    lines.pop()  # what follows the last line break: nothing, or a line still being written
    for count, line in enumerate(lines, start=1):
        place = f"{path}, line {count}"
        record = parse_json(line, path=place)
        if not isinstance(record, dict):
            raise ResultError(f"{place}: expected an object, found {type(record).__name__}")
        yield place, record


@styled
def draw_curves(curves: Sequence[Curve], *, metric: str, title: str | None = None) -> Figure:
    """Draws one panel each for steps, seconds and, if the FLOPs of a step are known, FLOPs.

    Bands are one standard deviation over seeds to either side. The vertical axis is logarithmic if all values are
    positive and differ by a factor of more than 5. The legend states the last value of each curve; at least one has a
    value.
    """
    panels = _panels(curves)
    figure = Figure(figsize=(4.4 * len(panels), 3.9))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    _draw_panels(grid, panels, curves, metric=metric)
    handles = [
        Line2D([], [], label=legend_label(f"{sanitize(curve.label)} ({curve.last})"), **_line_style(curve, index))
        for index, curve in enumerate(curves)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(panels), handlelength=3.0)
    if title is not None:
        figure.suptitle(title)
    return figure


def draw_cost_curves(figure: Figure, curves: Sequence[Curve], *, metric: str, place: Mapping[str, float]) -> list[Axes]:
    """Draws a metric at equal time and, if the FLOPs of a step are known, at equal FLOPs; returns the panels.

    ``place`` has left, right, bottom and top of the panels, as shares of the figure.
    """
    panels = _panels(curves)[1:]
    grid = figure.add_gridspec(1, len(panels), wspace=0.1, **place).subplots(sharey=True, squeeze=False)[0]
    _draw_panels(grid, panels, curves, metric=metric)
    return list(grid)


def _draw_panels(grid: Sequence[Axes], panels: Sequence[_Panel], curves: Sequence[Curve], *, metric: str) -> None:
    for axes, panel in zip(grid, panels, strict=True):
        axes.set_xlabel(panel.label)
        use_short_numbers(axes.xaxis)
        for index, (curve, places) in enumerate(zip(curves, panel.places, strict=True)):
            if places is not None:
                _draw_curve(axes, curve, places, index=index)
    means = np.concatenate([curve.per_seed.mean(axis=0) for curve in curves if curve.per_seed.size])
    if means.min() > 0 and means.max() > _WIDE_RANGE * means.min():
        use_log_scale(grid[0], "y", low=means.min(), high=means.max())
        grid[0].set_ylim(means.min() / 1.2, means.max() * 1.2)  # a band may reach below zero
    prefix, _, name = metric.rpartition("/")
    info = find_metric(name)
    # Such as validation excess NELBO (nats/target).
    grid[0].set_ylabel(f"{_SPLITS.get(prefix, prefix)} {info.axis}".strip() if info else metric)


class _Panel(NamedTuple):
    label: str
    places: list[np.ndarray | None]  # of each curve


def _panels(curves: Sequence[Curve]) -> list[_Panel]:
    panels = [
        _Panel("training steps", [curve.steps for curve in curves]),
        _scaled("wall-clock time", [curve.seconds for curve in curves], _SECONDS),
    ]
    if any(curve.flops_per_step for curve in curves):
        flops = [curve.steps * curve.flops_per_step if curve.flops_per_step else None for curve in curves]
        panels.append(_scaled("training operations", flops, _FLOPS))
    return panels


def _scaled(label: str, places: Sequence[np.ndarray | None], units: Sequence[tuple[float, str]]) -> _Panel:
    """Divides by the largest unit of which the axis holds at least three."""
    largest = max(float(part.max()) for part in places if part is not None and part.size)
    size, unit = [units[0], *(unit for unit in units if largest >= 3.0 * unit[0])][-1]
    return _Panel(f"{label} ({unit})", [None if part is None else part / size for part in places])


def _draw_curve(axes: Axes, curve: Curve, places: np.ndarray, *, index: int) -> None:
    count = len(places)
    kept = np.unique(np.linspace(0, max(count - 1, 0), min(count, _MOST_POINTS)).round().astype(int))
    style = _line_style(curve, index)
    means = curve.per_seed.mean(axis=0)[kept] if count else np.zeros(0)
    axes.plot(places[kept], means, label=legend_label(curve.label), **style)
    if curve.spread is not None:
        spread = curve.spread[kept]
        axes.fill_between(places[kept], means - spread, means + spread, color=style["color"], alpha=0.2, linewidth=0.0)


def _line_style(curve: Curve, index: int) -> dict[str, Any]:
    style = series_style(index)
    return style if len(curve.steps) <= _MOST_MARKERS else style | {"marker": ""}
