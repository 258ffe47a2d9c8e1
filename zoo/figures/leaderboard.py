"""A leaderboard as one figure: quality against training time, predictions of every model, curves at equal time and FLOPs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.comparison.formatting import number, sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.pareto import TIME
from zoo.comparison.seed_groups import SeedGroup
from zoo.figures.attachments import Attachments, Strip, load_curve, load_strip
from zoo.figures.curves import Curve, curve_of, draw_cost_curves
from zoo.figures.pareto_front import draw_cost, note_on_far_baselines
from zoo.figures.style import GREY, series_style, styled
from zoo.results.metrics import metric_info

METRIC = "eval/nelbo_excess"
SCORED_IMAGES = "psnr"  # of rows whose predictions are images
# All lengths are inches.
_PLOT_WIDTH, _LEAST_HEIGHT, _MOST_HEIGHT, _CURVES_HEIGHT = 6.4, 4.0, 6.5, 2.9
_NAME_WIDTH, _LINE, _LARGE_LINE, _LINE_OF_TEXT = 3.0, 0.5, 0.8, 0.36  # of the list; images are as high as their line
_HEAD, _LABELS, _GAP = 0.5, 0.65, 0.15  # above all, for the labels of an axis, between parts
_NAME_LETTERS = 44


class BoardFigure(NamedTuple):
    """A figure, and what could not be drawn in it, one sentence each."""

    figure: Figure
    notes: tuple[str, ...]


def has_times(board: Leaderboard) -> bool:
    """Returns whether two ranked models have a training time."""
    return sum(TIME.of(model) is not None for model in board.models[: board.num_ranked]) > 1


@styled
def draw_leaderboard(board: Leaderboard, *, attachments: Attachments, title: str = "") -> BoardFigure:
    """Draws the ranked models of a leaderboard that :func:`has_times`.

    Discs are the ranking metric against the training time, full on the Pareto front, with the ranks as numbers and the
    spread of the tables as bars. At the right are the models in the order of their ranks, with predictions of the first
    scenes, below the truth; of several seeds the first that has a strip. Below are the validations during training. What
    rows lack is left out and noted.

    Raises:
        ResultError: if a strip or a curve is damaged.
    """
    ranked = board.models[: board.num_ranked]
    strips = [_strip(model, attachments) for model in ranked]
    curves = [_curve(rank, model, attachments) for rank, model in enumerate(ranked, start=1)]
    columns = max((len(strip.truth) for strip in strips if strip), default=0)
    roomy = min(_LARGE_LINE, _LEAST_HEIGHT / (len(ranked) + 1))
    line = max(_LINE, roomy) if columns else _LINE_OF_TEXT
    curves_height = _CURVES_HEIGHT if any(curve.per_seed.size for curve in curves) else 0.0
    list_height, list_width = line * (len(ranked) + bool(columns)), _NAME_WIDTH + line * columns
    plot_height = min(_MOST_HEIGHT, max(_LEAST_HEIGHT, list_height - curves_height))
    height = max(plot_height + curves_height, list_height)
    width, height = _PLOT_WIDTH + list_width, height + _HEAD
    # Placed by hand: a solver of constraints ends with other last digits in every process.
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    left, right, top = _LABELS / width, (_PLOT_WIDTH - _GAP) / width, 1 - _HEAD / height
    below = top - plot_height / height
    axes = figure.add_axes((left, below + _LABELS / height, right - left, (plot_height - _LABELS) / height))
    colours = [_colour(rank) for rank in range(1, len(board.models) + 1)]
    draw_cost(axes, board, TIME, colours=colours, fronts=[GREY] * len(colours))
    axes.set_ylabel(metric_info(board.metric or "").axis)
    if curves_height:
        bottom = below - (curves_height - _LABELS) / height
        place = {"left": left, "right": right, "bottom": bottom, "top": below - _GAP / height}
        # Validations at equal time and equal FLOPs; every curve ends with the rank of its model.
        for panel in draw_cost_curves(figure, curves, metric=METRIC, place=place):
            for drawn in panel.lines:
                across, up = np.asarray(drawn.get_xdata()), np.asarray(drawn.get_ydata())
                if len(across):
                    panel.annotate(
                        str(drawn.get_label()), (across[-1], up[-1]), (3, 0), textcoords="offset points",
                        color=drawn.get_color(), fontsize=7, va="center",
                    )  # fmt: skip
    axes = figure.add_axes((_PLOT_WIDTH / width, top - list_height / height, list_width / width, list_height / height))
    axes.set(xlim=(0.0, list_width / line), ylim=(list_height / line, 0.0))
    axes.axis("off")
    _draw_list(axes, board, strips, start=list_width / line - columns, scale=line)
    notes = _notes(ranked, strips, curves)
    head = "\n".join(text for text in (sanitize(title), sanitize(note_on_far_baselines(board))) if text)
    if head:
        figure.suptitle(head, fontsize=9, y=1 - 0.08 / height, va="top", wrap=True)
    return BoardFigure(figure, notes)


def _colour(rank: int) -> str:
    return str(series_style(rank - 1)["color"])


def _strip(model: SeedGroup, attachments: Attachments) -> Strip | None:
    """Returns the strip of the first seed that has one."""
    found = next((path for row in model.rows if (path := attachments.strips.get(row.id))), None)
    return load_strip(found) if found else None


def _curve(rank: int, model: SeedGroup, attachments: Attachments) -> Curve:
    logs = [load_curve(path) for row in model.rows if (path := attachments.curves.get(row.id))]
    facts, budget = model.first.model, model.first.budget
    flops = facts.flops_per_training_scene if facts else None
    return curve_of(str(rank), logs, flops_per_step=float(flops) * budget.batch_size if flops and budget else None)


def _draw_list(axes: Axes, board: Leaderboard, strips: Sequence[Strip | None], *, start: float, scale: float) -> None:
    """Draws one line per ranked model, with its strip from ``start`` on; the unit of both axes is a line, ``scale`` inches."""
    truth = next((strip.truth for strip in strips if strip), None)
    if truth is not None:
        _draw_images(axes, truth, x=start, y=0.0)
        axes.text(start - 0.2, 0.5, "truth", ha="right", va="center", color=GREY, fontsize=8)
    for rank, (model, strip) in enumerate(zip(board.models, strips, strict=False), start=1):
        estimate = model.estimate(board.metric or "")
        assert estimate is not None
        value, spread = number(estimate.value, estimate.spread)
        name, seeds = sanitize(model.variant), len(model.rows)
        text = (f"{value} ± {spread}" if spread else value) + (f", {seeds} seeds" if seeds > 1 else "")
        top = rank - (truth is None)
        label = textwrap.shorten(name, _NAME_LETTERS, placeholder="…")
        for words, x, offset, style in (
            (str(rank), 0.3 / scale, 5, {"ha": "right", "color": _colour(rank), "fontsize": 9, "weight": "bold"}),
            (label, 0.4 / scale, 5, {"fontsize": 8}),
            (text, 0.4 / scale, -6, {"fontsize": 7, "color": GREY}),
        ):
            axes.annotate(words, (x, top + 0.5), (0, offset), textcoords="offset points", va="center", **style)
        if strip is not None:
            _draw_images(axes, strip.predicted, x=start, y=float(top))


def _draw_images(axes: Axes, images: np.ndarray, *, x: float, y: float) -> None:
    for column, image in enumerate(images):
        left, top, side = x + column + 0.02, y + 0.02, 0.96
        axes.imshow(image, extent=(left, left + side, top + side, top), aspect="equal")


def _notes(ranked: tuple[SeedGroup, ...], strips: list[Strip | None], curves: list[Curve]) -> tuple[str, ...]:
    of_images = any(SCORED_IMAGES in model.first.metrics for model in ranked)
    missing = {
        "predictions": [rank for rank, strip in enumerate(strips, start=1) if strip is None] if of_images else [],
        "learning curve": [rank for rank, curve in enumerate(curves, start=1) if not curve.per_seed.size],
    }
    return tuple(
        f"Rows without {name}: "
        + ("all" if len(ranks) == len(ranked) else ", ".join(f"{rank} ({ranked[rank - 1].variant})" for rank in ranks))
        + "."
        for name, ranks in missing.items()
        if ranks
    )
