"""The images of the page, as data URIs: learning curves of comparable runs, Pareto fronts, and sheets of predictions."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from PIL import Image

from zoo.comparison.formatting import sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.seed_groups import grouped
from zoo.errors import ResultError
from zoo.figures.attachments import Attachments
from zoo.figures.curves import Curve, Point, curve_of, draw_curves, metric_names, read_curves
from zoo.figures.leaderboard import draw_leaderboard, has_times
from zoo.figures.pareto_front import can_be_drawn, draw_pareto_front
from zoo.figures.style import svg_of
from zoo.files import reading
from zoo.report.runs import Run
from zoo.results.row import ResultRow

PREFERRED = ("eval/nelbo_excess", "train/nelbo_excess")
PATTERN = "sheet*.png"
MAX_BYTES = 8 * 2**20
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_PIXELS_PER_INCH = 96


class EmbeddedImage(NamedTuple):
    """An image with its size in CSS pixels."""

    name: str
    address: str
    width: int
    height: int


class PageChart(NamedTuple):
    """A chart with its caption and notes."""

    caption: str
    image: EmbeddedImage
    notes: tuple[str, ...]


def pareto_chart(board: Leaderboard, *, name: str) -> EmbeddedImage | None:
    """Returns the chart of quality against cost, None unless two ranked variants have a cost in common."""
    return embed_figure(draw_pareto_front(board), name=name) if can_be_drawn(board) else None


def leaderboard_chart(board: Leaderboard, attachments: Attachments, *, name: str) -> PageChart | None:
    """Returns the figure of a leaderboard with its notes, None unless two ranked variants have a training time."""
    if not has_times(board):
        return None
    figure, notes = draw_leaderboard(board, attachments=attachments)
    return PageChart(name, embed_figure(figure, name=name), notes)


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
    logged = zip(runs, read_curves([run.log for run in runs], metric=metric), strict=True)
    charts = []
    for subject, members in sorted(grouped(logged, lambda pair: _subject(pair[0])).items()):
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
    configurations = grouped(members, lambda member: (member[0].label, member[0].config_hash))
    labels = [label for label, _ in configurations]
    for (label, config_hash), logged in configurations.items():
        name = label if labels.count(label) == 1 else f"{label} ({config_hash[:6]})"
        cost = flops.get(config_hash)
        attempts: list[dict[int, list[Point]]] = []  # by seed
        for run, points in logged:
            if all(run.seed in seeds for seeds in attempts):
                attempts.append({})
            next(seeds for seeds in attempts if run.seed not in seeds)[run.seed] = points
        for attempt, seeds in enumerate(attempts, start=1):
            yield curve_of(
                name if attempt == 1 else f"{name}, repeat {attempt}",
                list(seeds.values()),
                flops_per_step=cost * float(logged[0][0].setting("training.batch_size")) if cost else None,
            )


def _notes(curves: Sequence[Curve]) -> Iterable[str]:
    if any(curve.spread is not None for curve in curves):
        yield "Curves are means over n seeds, up to the last step of all n; bands and ± are one standard deviation."
    if unknown := [curve.label for curve in curves if curve.flops_per_step is None]:
        yield f"No row with FLOPs per training scene: {', '.join(unknown)}."
    if waiting := [curve.label for curve in curves if curve.waiting]:
        yield f"Some seeds have no value yet: {', '.join(waiting)}."


def find_sheets(paths: Iterable[Path]) -> list[Path]:
    """Returns the prediction sheets (``sheet*.png``) at or below the folders among ``paths``, each once, by name."""
    found = {
        sheet.resolve(): sheet for path in map(Path, paths) if path.is_dir() for sheet in sorted(path.rglob(PATTERN))
    }
    return sorted(found.values(), key=lambda sheet: (sheet.name, str(sheet)))


def embed_file(path: Path) -> EmbeddedImage:
    """Reads an image file.

    Raises:
        ResultError: if it is missing, damaged, larger than 8 MiB, or neither PNG, JPEG nor WebP.
    """
    path = Path(path)
    with reading(path, error=ResultError):
        contents = path.read_bytes()
    if len(contents) > MAX_BYTES:
        raise ResultError(f"{path}: has {len(contents)} bytes, expected at most {MAX_BYTES}")
    try:
        with Image.open(BytesIO(contents), formats=tuple(_TYPES)) as image:
            image.load()
            kind, (width, height) = str(image.format), image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ResultError(f"{path}: is not a whole image in PNG, JPEG or WebP") from error
    return EmbeddedImage(path.stem, data_uri(_TYPES[kind], contents), width, height)


def embed_figure(figure: Figure, *, name: str) -> EmbeddedImage:
    """Returns a chart as SVG with a transparent background."""
    width, height = (round(_PIXELS_PER_INCH * inches) for inches in figure.get_size_inches())
    return EmbeddedImage(name, data_uri("image/svg+xml", svg_of(figure)), width, height)


def data_uri(media_type: str, contents: bytes) -> str:
    """Returns the address of contents that are part of the page."""
    return f"data:{media_type};base64,{base64.b64encode(contents).decode('ascii')}"
