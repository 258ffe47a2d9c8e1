"""Learning curves for the page: the mean over seeds with a band, against steps, seconds and training FLOPs.

Curves share a figure only if what they measure is the same: task, data, likelihood, sigma, context and targets.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zoo.comparison.formatting import number
from zoo.errors import ResultError, did_you_mean
from zoo.figures.training_log import Point, metric_names, read_curve
from zoo.report.charts import Axis, Chart, Series
from zoo.report.runs import Run
from zoo.results.metrics import find_metric
from zoo.results.row import ResultRow

PREFERRED = ("eval/nelbo_excess", "train/nelbo_excess")


@dataclass(frozen=True)
class CurveFigure:
    """Charts of one metric for runs that measure the same thing.

    Attributes:
        title: what was measured, in one line.
        charts: against steps, seconds and, where a row tells the cost of a scene, training FLOPs.
        legend: for every line, lowest end first: its style, its label, and where it ended.
        notes: what has to be known to read it.
    """

    title: str
    charts: tuple[Chart, ...]
    legend: tuple[LegendEntry, ...]
    notes: tuple[str, ...]


class LegendEntry(NamedTuple):
    """One line of a figure in words."""

    style: int
    label: str
    last: str


class _Family(NamedTuple):
    """Runs that differ by their seed alone, with the values at the steps that all of them have reached."""

    variant: str
    label: str
    steps: np.ndarray  # [points]
    seconds: np.ndarray  # [points], mean over seeds
    values: np.ndarray  # [seeds, points]
    flops_per_step: float | None
    unfinished: int  # runs without any value yet


def curve_figures(
    runs: Sequence[Run], rows: Sequence[ResultRow], *, styles: Mapping[str, int], metric: str | None = None
) -> list[CurveFigure]:
    """Returns one figure for every set of runs that may be drawn together.

    Args:
        runs: the runs whose logs are read.
        rows: where the FLOPs of a training scene are looked up, by the digest of the settings.
        styles: variant -> number of its colour and dashes; what it lacks gets a number of its own.
        metric: name in ``metrics.jsonl``; None takes the excess on validation scenes, or else on training scenes.

    Raises:
        ResultError: if a log is damaged, or if no run has the metric that was asked for.
    """
    if not runs:
        return []
    if metric is None:
        known = set().union(*(metric_names(run.log) for run in runs))
        metric = next((name for name in PREFERRED if name in known), None)
        if metric is None:
            return []
    curves = [(run, read_curve(run.log, metric=metric)) for run in runs]
    if not any(points for _, points in curves):
        names = set().union(*(metric_names(run.log) for run in runs))
        raise ResultError(f"no run has values of {metric!r}{did_you_mean(metric, names)}")
    together: dict[str, list[tuple[Run, list[Point]]]] = {}
    for run, points in curves:
        together.setdefault(_subject(run), []).append((run, points))
    figures = []
    for subject, members in sorted(together.items()):
        families = [family for family in _families(members, _flops(rows)) if family.values.size]
        if families:
            figures.append(_figure(subject, families, styles=styles, metric=metric))
    return figures


def _subject(run: Run) -> str:
    """Returns what a run's validation measures; runs with different subjects never share a figure."""
    size = run.setting("image_size")
    likelihood, sigma = run.setting("likelihood.use"), run.setting("training.sigma.end")
    targets, contexts = run.setting("training.targets"), run.setting("training.contexts")
    images = f", {size}x{size} pixels" if size else ""
    return (
        f"{run.setting('task.use')} on {run.setting('data.name')}@{str(run.setting('data.revision'))[:8]}{images}, "
        f"{likelihood}, sigma ends at {sigma:g}, trained with {contexts['minimum']} to {contexts['maximum']} context "
        f"views and {targets} target{'s' if targets != 1 else ''}"
    )


def _flops(rows: Iterable[ResultRow]) -> Mapping[str, int]:
    found = {}
    for row in rows:
        if row.model is not None and row.model.flops_per_training_scene:
            found[row.provenance.config_hash] = row.model.flops_per_training_scene
    return found


def _families(members: Sequence[tuple[Run, list[Point]]], flops: Mapping[str, int]) -> list[_Family]:
    rounds: dict[tuple[str, str], list[dict[int, tuple[Run, list[Point]]]]] = {}
    for run, points in members:
        # A seed that was run twice starts a line of its own: no repeat is dropped, none is preferred.
        tries = rounds.setdefault((run.label, run.config_hash), [])
        free = next((seeds for seeds in tries if run.seed not in seeds), None)
        if free is None:
            tries.append(free := {})
        free[run.seed] = (run, points)
    labels = [label for label, _ in rounds]
    families = []
    for (label, digest), tries in rounds.items():
        name = label if labels.count(label) == 1 else f"{label} ({digest[:6]})"
        for attempt, seeds in enumerate(tries, start=1):
            begun = [points for _, points in seeds.values() if points]
            run = next(iter(seeds.values()))[0]
            cost = flops.get(digest)
            families.append(
                _family(
                    label,
                    name if attempt == 1 else f"{name}, repeat {attempt}",
                    begun,
                    flops_per_step=cost * float(run.setting("training.batch_size")) if cost else None,
                    unfinished=len(seeds) - len(begun),
                )
            )
    return families


def _family(
    variant: str, label: str, curves: Sequence[list[Point]], *, flops_per_step: float | None, unfinished: int
) -> _Family:
    at_step = [{point.step: point for point in points} for points in curves]
    steps = sorted(set.intersection(*map(set, at_step))) if at_step else []
    return _Family(
        variant=variant,
        label=label,
        steps=np.array(steps, dtype=float),
        seconds=np.array([[points[step].seconds for step in steps] for points in at_step]).mean(axis=0)
        if at_step
        else np.zeros(0),
        values=np.array([[points[step].value for step in steps] for points in at_step]),
        flops_per_step=flops_per_step,
        unfinished=unfinished,
    )


def _numbers(families: Sequence[_Family], styles: Mapping[str, int]) -> list[int]:
    """Returns a style for every family; of two with one variant the second gets a style that nothing else has."""
    free = itertools.count(max(styles.values(), default=-1) + 1)
    numbers: list[int] = []
    for family in families:
        style = styles.get(family.variant)
        numbers.append(next(free) if style is None or style in numbers else style)
    return numbers


def _figure(subject: str, families: list[_Family], *, styles: Mapping[str, int], metric: str) -> CurveFigure:
    families = sorted(families, key=lambda family: (float(family.values[:, -1].mean()), family.label))
    numbers = _numbers(families, styles)
    prefix, _, name = metric.rpartition("/")
    split = {"eval": "validation", "train": "training"}.get(prefix, prefix)
    info = find_metric(name)
    vertical = f"{split} {info.axis}" if info else metric
    axes: list[tuple[Axis, Sequence[np.ndarray | None]]] = [
        (Axis.whole("training steps"), [family.steps for family in families]),
        (Axis.time("wall-clock time"), [family.seconds for family in families]),
        (
            Axis.work("training cost"),
            [None if family.flops_per_step is None else family.steps * family.flops_per_step for family in families],
        ),
    ]
    charts = []
    for axis, places in axes:
        series = [
            _series(style, family, where)
            for style, family, where in zip(numbers, families, places, strict=True)
            if where is not None
        ]
        if series:
            charts.append(Chart.of(series, horizontal=axis, vertical=vertical))
    seeds = [len(family.values) for family in families]
    notes = [f"Lines are {metric}" + (", means over seeds." if max(seeds) > 1 else ", of one seed each.")]
    if max(seeds) > 1:
        notes.append(
            "Bands are one standard deviation over the n seeds to either side, drawn as far as all n have come."
        )
    if missing := [family.label for family in families if family.flops_per_step is None]:
        notes.append(f"Without a row that tells the FLOPs of a training scene: {', '.join(missing)}.")
    if waiting := [family.label for family in families if family.unfinished]:
        notes.append(f"Some seeds have logged no value yet: {', '.join(waiting)}.")
    legend = [LegendEntry(style, family.label, _last(family)) for style, family in zip(numbers, families, strict=True)]
    return CurveFigure(subject, tuple(charts), tuple(legend), tuple(notes))


def _series(style: int, family: _Family, places: np.ndarray) -> Series:
    means, spread = family.values.mean(axis=0), _spread(family.values)
    return Series(
        style=style, label=family.label, places=places, means=means, lows=means - spread, highs=means + spread
    )


def _spread(values: np.ndarray) -> np.ndarray:
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])


def _last(family: _Family) -> str:
    """Returns the value at the last common step, with its standard deviation over seeds."""
    seeds = len(family.values)
    value, spread = number(float(family.values[:, -1].mean()), float(_spread(family.values)[-1]) if seeds > 1 else None)
    ending = f" at step {family.steps[-1]:.0f}" + (f", n={seeds}" if seeds > 1 else "")
    return (f"{value} ± {spread}" if spread else value) + ending
