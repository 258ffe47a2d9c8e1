"""Quality against cost: one panel per cost, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zoo.comparison.formatting import hardware_of, sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.pareto import COSTS, Cost, on_pareto_front
from zoo.comparison.seed_groups import SeedGroup, machine_of
from zoo.errors import ResultError
from zoo.figures.style import GREY, PALETTE, check_suffix, save_figure, styled, use_log_scale, use_short_numbers
from zoo.results.metrics import metric_info

_COLUMNS = 3
_WIDE_RANGE = 3.0  # largest over smallest cost from which the axis is logarithmic
_DOTS = (0, (1.5, 2.0))
# Baselines farther from the models than the models are from one another are not drawn: they would press the models together.
_REACH = 1.0


class Baseline(NamedTuple):
    """A baseline with its value of the ranking metric, and whether it is near enough to be drawn."""

    name: str
    value: float
    near: bool


def can_be_drawn(board: Leaderboard) -> bool:
    """Returns whether two ranked variants of a leaderboard have a cost in common."""
    return bool(_costs(board))


def pareto_image(board: Leaderboard, target: Path, *, title: str) -> Path:
    """Writes the figure of :func:`draw_pareto_front`.

    Raises:
        ResultError: if the suffix is not .pdf, .png or .svg, or if there is nothing to draw.
        DiskFullError: if the image cannot be written.
    """
    target = check_suffix(target)
    if not can_be_drawn(board):
        raise ResultError(f"{target}: no two variants with a metric and a cost")
    return save_figure(draw_pareto_front(board, title=title), target)


@styled
def draw_pareto_front(board: Leaderboard, *, title: str = "") -> Figure:
    """Draws the ranking metric of a leaderboard that :func:`can_be_drawn` against every cost that two of its variants have.

    Numbers are ranks in the board. Bars are the spreads of the tables. Discs on the Pareto front are full, the others
    pale. Each machine has a colour and, for costs that depend on the machine, a front of its own. Baselines are dotted.
    """
    costs = _costs(board)
    columns, rows = min(_COLUMNS, len(costs)), -(-len(costs) // _COLUMNS)
    figure = Figure(figsize=(4.4 * columns, 3.6 * rows + 0.2 * (len(board.models) // columns + 2)))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    machines = list(dict.fromkeys(machine_of(model.first) for model in board.models))
    colours = [_colour(model, machines) for model in board.models]
    for axes, cost in zip(panels, costs, strict=False):
        draw_cost(axes, board, cost, colours=colours, fronts=colours if cost.of_machine else [GREY] * len(colours))
    for axes in panels[len(costs) :]:
        axes.remove()
    for axes in panels[: len(costs) : columns]:
        axes.set_ylabel(metric_info(board.metric or "").axis)
    labels = [(f"{rank}  {sanitize(model.variant)}", model) for rank, model in enumerate(board.models, start=1)]
    handles = [
        Line2D([], [], linestyle="", marker="o", color=_colour(model, machines), label=label)
        for label, model in labels[: board.num_ranked]
    ]
    if len(machines) > 1:
        handles += [
            Line2D([], [], marker="", color=_colour(model, machines), label=sanitize(hardware_of(model.first)))
            for model in {machine_of(model.first): model for model in board.models}.values()
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=1.0)
    head = "\n".join(text for text in (sanitize(title), sanitize(note_on_far_baselines(board))) if text)
    if head:
        figure.suptitle(head, fontsize=9, wrap=True)
    return figure


def baselines_of(board: Leaderboard) -> list[Baseline]:
    """Returns the baselines of a leaderboard with ranked models that have its metric, best first."""
    metric = board.metric or ""
    values = [estimate.value for model in board.models if (estimate := model.estimate(metric))]
    reach = _REACH * (max(values) - min(values))
    return [
        Baseline(model.variant, estimate.value, near=min(values) - reach <= estimate.value <= max(values) + reach)
        for model in board.baselines
        if (estimate := model.estimate(metric))
    ]


def note_on_far_baselines(board: Leaderboard) -> str:
    """Returns a sentence on the baselines that are not drawn, with their values; empty if there are none."""
    far = [f"{baseline.name} ({baseline.value:.4g})" for baseline in baselines_of(board) if not baseline.near]
    return f"Baselines too far away to be drawn: {', '.join(far)}." if far else ""


def _costs(board: Leaderboard) -> list[Cost]:
    ranked = board.models[: board.num_ranked]
    return [cost for cost in COSTS if sum(cost.of(model) is not None for model in ranked) > 1]


def _colour(model: SeedGroup, machines: list[tuple[object, ...]]) -> str:
    return PALETTE[machines.index(machine_of(model.first)) % len(PALETTE)]


def draw_cost(axes: Axes, board: Leaderboard, cost: Cost, *, colours: Sequence[str], fronts: Sequence[str]) -> None:
    """Draws the ranking metric against one cost, with the ranks as numbers, the Pareto fronts and the near baselines.

    ``colours`` are those of the models' discs, ``fronts`` of the fronts that they are on: one front for every colour and,
    where the cost depends on the machine, for every machine. Two of the ranked models have the cost.
    """
    metric = board.metric or ""
    best = on_pareto_front(board, cost)
    corners: dict[tuple[str, tuple[object, ...]], list[tuple[float, float]]] = {}
    prices = []
    for rank, (model, is_best, colour, front) in enumerate(
        zip(board.models, best, colours, fronts, strict=True), start=1
    ):
        estimate, price = model.estimate(metric), cost.of(model)
        if is_best is None or estimate is None or price is None:
            continue
        prices.append(price)
        layer = 3.0 + is_best + 1.0 / rank
        spread = 0.0 if estimate.spread is None else estimate.spread
        axes.errorbar(price, estimate.value, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.8, zorder=2)
        axes.plot(
            price, estimate.value, "o", markersize=11, color=colour if is_best else "white",
            markeredgecolor=colour, markeredgewidth=0.8, zorder=layer,
        )  # fmt: skip
        axes.annotate(
            str(rank), (price, estimate.value), ha="center", va="center_baseline", fontsize=7,
            color="white" if is_best else colour, zorder=layer,
        )  # fmt: skip
        if is_best:
            machine = machine_of(model.first) if cost.of_machine else ()
            corners.setdefault((front, machine), []).append((price, estimate.value))
    for (front, _), points in corners.items():
        across, up = zip(*sorted(points), strict=True)
        axes.step(across, up, where="post", color=front, linewidth=1.0, zorder=1)
    # Dotted lines with their names, in turn at the right and the left end, so that two near ones can be read.
    for index, baseline in enumerate(baseline for baseline in baselines_of(board) if baseline.near):
        axes.axhline(baseline.value, color=GREY, linewidth=0.8, linestyle=_DOTS, zorder=0.5)
        axes.annotate(
            sanitize(baseline.name), (0.995 - 0.99 * (index % 2), baseline.value), (0, 1.5), color=GREY, fontsize=7,
            xycoords=axes.get_yaxis_transform(), textcoords="offset points", ha="left" if index % 2 else "right",
        )  # fmt: skip
    if max(prices) > _WIDE_RANGE * min(prices):
        use_log_scale(axes, "x", low=min(prices), high=max(prices))
    else:
        use_short_numbers(axes.xaxis)
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel(cost.title)
