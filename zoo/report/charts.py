"""The charts of the page: learning curves of runs that measure the same, and Pareto fronts of leaderboards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zoo.comparison.formatting import sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.figures.curves import Curve, curve_of, draw_curves, read_curves
from zoo.figures.pareto_front import can_be_drawn, draw_pareto_front
from zoo.figures.training_log import Point, metric_names
from zoo.report.embedded_images import EmbeddedImage, embed_figure
from zoo.report.runs import Run
from zoo.results.row import ResultRow

PREFERRED = ("eval/nelbo_excess", "train/nelbo_excess")


class PageChart(NamedTuple):
    """A chart with its caption and notes."""

    caption: str
    image: EmbeddedImage
    notes: tuple[str, ...]


def pareto_chart(board: Leaderboard, *, name: str) -> EmbeddedImage | None:
    """Returns the chart of quality against cost, None unless two ranked variants have a cost in common."""
    return embed_figure(draw_pareto_front(board), name=name) if can_be_drawn(board) else None


def curve_charts(runs: Sequence[Run], rows: Sequence[ResultRow], *, metric: str | None = None) -> list[PageChart]:
    """Returns one chart for every set of runs with the same task, data, likelihood, sigma, contexts and targets.

    Args:
        runs: their logs are read.
        rows: the FLOPs per training scene, found by the hash of the settings.
        metric: name in ``metrics.jsonl``; None: the excess NELBO on validation scenes, or else on training scenes.

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
    flops = {
        row.provenance.config_hash: row.model.flops_per_training_scene
        for row in rows
        if row.model is not None and row.model.flops_per_training_scene
    }
    together: dict[str, list[tuple[Run, list[Point]]]] = {}
    for run, points in zip(runs, read_curves([run.log for run in runs], metric=metric), strict=True):
        together.setdefault(_subject(run), []).append((run, points))
    charts = []
    for subject, members in sorted(together.items()):
        curves = [curve for curve in _curves(members, flops) if curve.per_seed.size]
        if curves:
            curves.sort(key=lambda curve: (float(curve.per_seed[:, -1].mean()), curve.label))
            image = embed_figure(draw_curves(curves, metric=metric), name=f"Learning curves, {metric}")
            charts.append(PageChart(sanitize(subject), image, tuple(_notes(curves))))
    return charts


def _subject(run: Run) -> str:
    """Returns what the validation of a run measures; runs of different subjects never share a chart."""
    size = run.setting("image_size")
    likelihood, sigma = run.setting("likelihood.use"), run.setting("training.sigma.end")
    targets, contexts = run.setting("training.targets"), run.setting("training.contexts")
    images = f", {size}x{size} pixels" if size else ""
    return (
        f"{run.setting('task.use')} on {run.setting('data.name')}@{str(run.setting('data.revision'))[:8]}{images}, "
        f"{likelihood}, final sigma {sigma:g}, trained with {contexts['minimum']} to {contexts['maximum']} context "
        f"views and {targets} target{'s' if targets != 1 else ''}"
    )


def _curves(members: Sequence[tuple[Run, list[Point]]], flops: Mapping[str, int]) -> Iterable[Curve]:
    """Joins the seeds of each configuration; a repeated seed starts a curve of its own."""
    repeats: dict[tuple[str, str], list[dict[int, tuple[Run, list[Point]]]]] = {}
    for run, points in members:
        attempts = repeats.setdefault((run.label, run.config_hash), [])
        free = next((seeds for seeds in attempts if run.seed not in seeds), None)
        if free is None:
            attempts.append(free := {})
        free[run.seed] = (run, points)
    labels = [label for label, _ in repeats]
    for (label, config_hash), attempts in repeats.items():
        name = label if labels.count(label) == 1 else f"{label} ({config_hash[:6]})"
        for attempt, seeds in enumerate(attempts, start=1):
            run = next(iter(seeds.values()))[0]
            cost = flops.get(config_hash)
            yield curve_of(
                name if attempt == 1 else f"{name}, repeat {attempt}",
                [points for _, points in seeds.values()],
                flops_per_step=cost * float(run.setting("training.batch_size")) if cost else None,
            )


def _notes(curves: Sequence[Curve]) -> Iterable[str]:
    if any(curve.spread is not None for curve in curves):
        yield "Curves are means over n seeds, up to the last step of all n; bands and ± are one standard deviation."
    if unknown := [curve.label for curve in curves if curve.flops_per_step is None]:
        yield f"No row with FLOPs per training scene: {', '.join(unknown)}."
    if waiting := [curve.label for curve in curves if curve.waiting]:
        yield f"Some seeds have no value yet: {', '.join(waiting)}."
