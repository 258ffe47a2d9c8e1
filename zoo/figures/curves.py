"""Learning curves: one metric of several runs, against training steps and against wall-clock time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zoo.errors import ResultError, did_you_mean
from zoo.files import write_text, writing_file
from zoo.results.metrics import find_metric

SUFFIXES = (".pdf", ".png", ".svg")

# Okabe and Ito (2008) without the yellow, which print does not show; every round of colours has its dashes and markers.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D")
_MARKED_POINTS = 40  # with more points than this, markers hide the line
_WIDE_RANGE = 30.0  # largest over smallest value from which the axis is logarithmic
# Without dates and with fixed names inside of SVG files, the same curves are the same bytes.
_METADATA: dict[str, dict[str, Any]] = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class Point(NamedTuple):
    """One value of a metric during training."""

    step: int
    seconds: float
    value: float


@dataclass(frozen=True)
class _Clock:
    unit: str
    seconds: float


def learning_curves(
    runs: Mapping[str, Path], target: Path, *, metric: str = "eval/nelbo_excess", title: str | None = None
) -> Path:
    """Draws a metric of several runs against steps and against seconds, and writes the CSV it drew beside the image.

    Args:
        runs: label -> run folder, which holds ``metrics.jsonl``.
        target: the image; its suffix, .png, .pdf or .svg, decides the format.
        metric: name in ``metrics.jsonl``. Runs that have no value of it yet stay in the legend and say so.
        title: printed above the panels.

    Raises:
        ResultError: if a file is damaged, if no run has the metric, or if the suffix is not known.
    """
    target = Path(target)
    if target.suffix not in SUFFIXES:
        raise ResultError(f"{target}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    if not runs:
        raise ResultError(f"{target}: no runs to draw")
    curves = {label: read_curve(Path(folder) / "metrics.jsonl", metric=metric) for label, folder in runs.items()}
    if not any(curves.values()):
        names = {name for folder in runs.values() for name in metric_names(Path(folder) / "metrics.jsonl")}
        raise ResultError(f"no run has values of {metric!r}{did_you_mean(metric, names)}")
    with mpl.rc_context({"svg.hashsalt": "gqn-zoo", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure = _draw(curves, metric=metric, title=title)
        with writing_file(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:], dpi=200, metadata=_METADATA[target.suffix])
    frame = pd.DataFrame(
        [(label, *point) for label, points in curves.items() for point in points],
        columns=["run", "step", "seconds", metric],
    )
    write_text(target.with_suffix(".csv"), frame.to_csv(index=False, lineterminator="\n"))
    return target


def read_curve(path: Path, *, metric: str) -> list[Point]:
    """Reads the values of a metric from a log of JSON lines, each with ``step`` and ``seconds``.

    A run that was resumed goes back to its checkpoint: what was logged after that step belongs to a path that was
    given up, and is left out. A last line without an end is one that a running job is about to finish.

    Raises:
        ResultError: naming the file and the line, if the log is missing or any other line is damaged.
    """
    points: list[Point] = []
    last = -1
    for number, record in _records(path):
        step, seconds, value = record.get("step"), record.get("seconds"), record.get(metric)
        if not _is_number(step) or step != int(step) or step < 0:
            raise ResultError(f"{path}, line {number}: step: expected a whole number, found {step!r}")
        if not _is_number(seconds):
            raise ResultError(f"{path}, line {number}: seconds: expected a number, found {seconds!r}")
        if step < last:
            points = [point for point in points if point.step < step]
        last = int(step)
        if value is None:
            continue
        if not _is_number(value):
            raise ResultError(f"{path}, line {number}: {metric}: expected a number, found {value!r}")
        points.append(Point(int(step), float(seconds), float(value)))
    return points


def metric_names(path: Path) -> set[str]:
    """Returns the names of all metrics in a log.

    Raises:
        ResultError: as :func:`read_curve`.
    """
    names = {name for _, record in _records(path) for name, value in record.items() if _is_number(value)}
    return names - {"step", "seconds", "scenes"}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    lines.pop()  # what follows the last line break: nothing, or a line still being written
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ResultError(f"{path}, line {number}: not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise ResultError(f"{path}, line {number}: expected an object, found {type(record).__name__}")
        records.append((number, record))
    return records


def _draw(curves: Mapping[str, list[Point]], *, metric: str, title: str | None) -> Figure:
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    by_steps, by_time = figure.subplots(1, 2, sharey=True)
    clock = _clock(max(point.seconds for points in curves.values() for point in points))
    handles = []
    for index, (label, points) in enumerate(curves.items()):
        style: dict[str, Any] = {
            "color": _COLOURS[index % len(_COLOURS)],
            "linestyle": _DASHES[index // len(_COLOURS) % len(_DASHES)],
            "linewidth": 1.6,
            "marker": _MARKERS[index // len(_COLOURS) % len(_MARKERS)] if len(points) <= _MARKED_POINTS else "",
            "markersize": 3.5,
        }
        values = [point.value for point in points]
        by_steps.plot([point.step for point in points], values, **style)
        by_time.plot([point.seconds / clock.seconds for point in points], values, **style)
        # matplotlib leaves labels out that begin with an underscore.
        name = f" {label}" if label.startswith("_") else label
        handles.append(Line2D([], [], label=name if points else f"{name} (no values yet)", **style))
    _name_axes(by_steps, by_time, metric=metric, clock=clock)
    values = [point.value for points in curves.values() for point in points]
    if min(values) > 0 and max(values) > _WIDE_RANGE * min(values):
        by_steps.set_yscale("log")
    legend = figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9, handlelength=3.0)
    texts = list(legend.get_texts())
    if title is not None:
        texts.append(figure.suptitle(title, fontsize=11))
    for text in texts:
        text.set_parse_math(False)  # a dollar in a label is a dollar
    return figure


def _name_axes(by_steps: Axes, by_time: Axes, *, metric: str, clock: _Clock) -> None:
    prefix, _, name = metric.rpartition("/")
    by_steps.set_xlabel("training steps")
    by_steps.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
    by_time.set_xlabel(f"wall-clock time ({clock.unit})")
    info = find_metric(name)
    label = by_steps.set_ylabel(f"{prefix} {info.axis if info else name}".strip())
    label.set_parse_math(False)
    for axes in (by_steps, by_time):
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)


def _clock(longest: float) -> _Clock:
    for unit, seconds in (("hours", 3600.0), ("minutes", 60.0)):
        if longest >= 3 * seconds:
            return _Clock(unit, seconds)
    return _Clock("seconds", 1.0)
