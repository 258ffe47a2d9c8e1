"""Pareto fronts of quality against cost: the models of a leaderboard that no other model beats in both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.seed_groups import SeedGroup, machine_of
from zoo.results.row import PREDICT_THROUGHPUT, ResultRow


@dataclass(frozen=True)
class Cost:
    """A cost that quality is set against."""

    name: str  # in cells of tables
    title: str  # of an axis, with the unit
    of_row: Callable[[ResultRow], float]  # in that unit, 0 if it was not measured
    of_machine: bool  # so that only models of one machine are compared

    def of(self, group: SeedGroup) -> float | None:
        """Returns the mean cost over seeds; None unless every seed has a positive one, of one machine if that matters."""
        if self.of_machine and len({machine_of(row) for row in group.rows}) > 1:
            return None
        found = [value for row in group.rows if (value := self.of_row(row)) > 0]
        return math.fsum(found) / len(found) if len(found) == len(group.rows) else None


def training_flops(row: ResultRow) -> float | None:
    """Returns the floating-point operations of the training; None if nothing was trained."""
    if row.model is None or row.model.flops_per_training_scene is None or row.budget is None or not row.budget.steps:
        return None
    return float(row.model.flops_per_training_scene) * row.budget.scenes_seen


def _latency_ms(row: ResultRow) -> float:
    """Returns the time per predicted image within a batch, milliseconds."""
    timing = row.performance.get(PREDICT_THROUGHPUT)
    return 1000.0 / timing.median if timing and timing.median > 0 else 0.0


def _memory_mib(row: ResultRow) -> float:
    return row.model.peak_memory_bytes / 2**20 if row.model and row.model.peak_memory_bytes else 0.0


COSTS = TIME, FLOPS, PARAMETERS, LATENCY, MEMORY = (
    Cost("time", "training time (s)", lambda row: row.budget.seconds if row.budget else 0.0, of_machine=True),
    Cost("FLOPs", "training operations (TFLOP)", lambda row: (training_flops(row) or 0.0) / 1e12, of_machine=False),
    Cost(
        "parameters", "parameters (M)", lambda row: row.model.parameters / 1e6 if row.model else 0.0, of_machine=False
    ),
    Cost("latency", "prediction (ms/image)", _latency_ms, of_machine=True),
    Cost("memory", "peak memory (MiB)", _memory_mib, of_machine=True),
)


def on_pareto_front(board: Leaderboard, cost: Cost) -> list[bool | None]:
    """Returns, for each model, whether it is on the Pareto front of quality and cost, by the means.

    A model is on the front if no other model is at least as good and as cheap, and better in one of the two. A model
    without the metric of the ranking or the cost gets None. Where the cost depends on the machine, every machine has a
    front of its own.
    """
    points: list[tuple[float, float, object] | None] = []
    for model in board.models:
        estimate, price = model.estimate(board.metric or ""), cost.of(model)
        machine = machine_of(model.first) if cost.of_machine else None
        if estimate is None or price is None:
            points.append(None)
        else:
            points.append((-estimate.value if board.higher_is_better else estimate.value, price, machine))

    def is_best(point: tuple[float, float, object]) -> bool:
        others = [other for other in points if other and other[2] == point[2] and other != point]
        return not any(other[0] <= point[0] and other[1] <= point[1] for other in others)

    return [None if point is None else is_best(point) for point in points]


def pareto_cells(board: Leaderboard) -> list[str]:
    """Returns, for each model, the costs on whose Pareto front it is: ``all``, ``none``, or their names."""
    if not board.behind_best:
        return [""] * len(board.models)
    cells = []
    for places in zip(*(on_pareto_front(board, cost) for cost in COSTS), strict=True):
        names = [cost.name for cost, is_first in zip(COSTS, places, strict=True) if is_first]
        known = any(is_first is not None for is_first in places)
        cells.append("" if not known else "all" if len(names) == len(COSTS) else ", ".join(names) or "none")
    return cells
