"""The columns that a comparison table may have, and what stands in the cell of a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from zoo.comparison.formatting import commit_of, hardware_of, number
from zoo.comparison.leaderboards import Leaderboard, SeedGroup
from zoo.comparison.pareto import COSTS, frontiers, training_flops, training_seconds
from zoo.results.metrics import metric_info
from zoo.results.row import PREDICT_THROUGHPUT, TRAIN_THROUGHPUT, ResultRow

Cell = Callable[[SeedGroup], str]

# What leads every table, whichever other columns were chosen; and those that are no metrics.
LEADING = ("variant", "rank", "behind_best")
OTHERS = (
    *("encoder", "core", "parameters", "steps", "frontier", TRAIN_THROUGHPUT, PREDICT_THROUGHPUT),
    *("peak_memory", "training_seconds", "training_flops", "hardware", "commit", "seed"),
)


class Column(NamedTuple):
    """One column: the name to choose it by, its head, what stands in it, and whether that is a number."""

    name: str
    header: str
    cell: Cell
    is_number: bool


def columns_of(group: Leaderboard, *, metrics: Sequence[str]) -> list[Column]:
    """Returns every column of a group's table, with these metrics among them, in its order."""
    places = {id(line): place for place, line in enumerate(group.models)}
    frontier = frontier_cells(group)
    columns = [
        Column("variant", "variant", lambda line: line.variant, False),
        Column("encoder", "encoder", lambda line: line.first.encoder, False),
        Column("core", "core", lambda line: line.first.core, False),
        Column("parameters", "params (M)", _parameters, True),
        Column("steps", "steps", _steps, True),
    ]
    if group.metric is not None:
        metric = group.metric
        columns += [
            Column("rank", ranking_header(group), lambda line: _with_spread(line, metric), True),
            Column("behind_best", "behind the best [95%]", lambda line: _behind(group, places.get(id(line), 0)), True),
            Column(
                "frontier",
                "on the frontier of",
                lambda line: frontier[places[id(line)]] if id(line) in places else "",
                False,
            ),
        ]
    columns += [
        Column(name, metric_info(name).head, metric_cell(name), True) for name in metrics if name != group.metric
    ]
    columns += [
        Column(TRAIN_THROUGHPUT, "train scenes/s ↑", lambda line: _timing(line, TRAIN_THROUGHPUT), True),
        Column(PREDICT_THROUGHPUT, "predict images/s ↑", lambda line: _timing(line, PREDICT_THROUGHPUT), True),
        Column("peak_memory", "peak memory (MiB) ↓", _memory, True),
        Column("training_seconds", "training (s) ↓", lambda line: _mean(line, training_seconds, 1.0), True),
        Column("training_flops", "training (TFLOP) ↓", lambda line: _mean(line, training_flops, 1e12), True),
        Column("hardware", "hardware", lambda line: _distinct(hardware_of(row) for row in line.rows), False),
        Column("commit", "commit", lambda line: _distinct(commit_of(row) for row in line.rows), False),
        Column("seed", "seed", lambda line: _distinct(str(row.provenance.seed) for row in line.rows), True),
    ]
    return columns


def ranking_header(group: Leaderboard) -> str:
    """Returns the head of the column that a table is ranked by."""
    return f"{metric_info(group.metric or '').head} ±"


def metric_cell(metric: str) -> Cell:
    """Returns what writes the estimate of a metric with the digits that its spread allows."""

    def cell(line: SeedGroup) -> str:
        estimate = line.estimate(metric)
        return number(estimate.value, estimate.spread)[0] if estimate else ""

    return cell


def frontier_cells(group: Leaderboard) -> list[str]:
    """Returns, for each line of a group, the costs on whose frontier it is: ``all``, ``none``, or their names."""
    if group.metric is None or not group.differences:
        return [""] * len(group.models)
    cells = []
    for names in frontiers(group.models, metric=group.metric, higher_is_better=group.higher_is_better):
        every = names is not None and len(names) == len(COSTS)
        cells.append("" if names is None else "all" if every else ", ".join(names) or "none")
    return cells


def _with_spread(line: SeedGroup, metric: str) -> str:
    estimate = line.estimate(metric)
    if estimate is None:
        return ""
    value, spread = number(estimate.value, estimate.spread)
    seeds = f" (n={estimate.seeds})" if estimate.seeds > 1 else ""
    return (f"{value} ± {spread}" if spread else value) + seeds


def _behind(group: Leaderboard, place: int) -> str:
    """Returns by how much a line is worse than the best, with its interval: nothing for the best and for references."""
    if not 1 <= place <= len(group.differences):
        return ""
    difference = group.differences[place - 1]
    if difference is None:
        return ""
    mean, low, high = difference.mean, difference.low, difference.high
    if not group.higher_is_better:
        mean, low, high = -mean, -high, -low
    value, _ = number(mean, difference.stderr)
    decimals = len(value.partition(".")[2])
    return f"{value} [{low:.{decimals}f}, {high:.{decimals}f}]"


def _parameters(line: SeedGroup) -> str:
    if line.first.model is None or line.first.is_baseline:
        return ""
    return f"{line.first.model.parameters / 1e6:.2f}"


def _steps(line: SeedGroup) -> str:
    return _distinct(str(row.budget.steps) for row in line.rows if row.budget and row.budget.steps)


def _timing(line: SeedGroup, name: str) -> str:
    medians = [row.performance[name].median for row in line.rows if name in row.performance]
    return number(sum(medians) / len(medians), None)[0] if medians else ""


def _memory(line: SeedGroup) -> str:
    peaks = [row.model.peak_memory_bytes for row in line.rows if row.model and row.model.peak_memory_bytes]
    return f"{max(peaks) / 2**20:.0f}" if peaks else ""


def _mean(line: SeedGroup, cost: Callable[[ResultRow], float | None], unit: float) -> str:
    if line.first.is_baseline:
        return ""  # nothing was trained
    found = [value / unit for row in line.rows if (value := cost(row)) is not None]
    return number(sum(found) / len(found), None)[0] if len(found) == len(line.rows) else ""


def _distinct(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))
