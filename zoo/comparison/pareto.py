"""Pareto fronts of quality against cost: the models of a leaderboard that no other model beats in both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.seed_groups import SeedGroup, machine_of
from zoo.results.row import PREDICT_THROUGHPUT, ResultRow


@dataclass(frozen=True)
class Cost:
    """A cost that quality is set against.

    Attributes:
        name: in cells of tables.
        title: of an axis, with the unit.
        of_row: the cost of a row in that unit, None if it was not measured.
        of_machine: whether it depends on the machine, so that only models of one machine are compared.
    """

    name: str
    title: str
    of_row: Callable[[ResultRow], float | None]
    of_machine: bool

    def of(self, group: SeedGroup) -> float | None:
        """Returns the mean cost over seeds, None unless every seed has a positive one."""
        found = [value for row in group.rows if (value := self.of_row(row)) is not None and value > 0]
        return math.fsum(found) / len(found) if len(found) == len(group.rows) else None


def training_seconds(row: ResultRow) -> float | None:
    """Returns the training time, seconds; None if nothing was trained."""
    return row.budget.seconds if row.budget and row.budget.steps else None


def training_flops(row: ResultRow) -> float | None:
    """Returns the floating-point operations of the training; None if nothing was trained."""
    if row.model is None or row.model.flops_per_training_scene is None or row.budget is None or not row.budget.steps:
        return None
    return float(row.model.flops_per_training_scene) * row.budget.scenes_seen


def latency_ms(row: ResultRow) -> float | None:
    """Returns the time per predicted image within a batch, milliseconds."""
    timing = row.performance.get(PREDICT_THROUGHPUT)
    return 1000.0 / timing.median if timing and timing.median > 0 else None


def peak_memory_mib(row: ResultRow) -> float | None:
    """Returns the peak memory of training, MiB."""
    return row.model.peak_memory_bytes / 2**20 if row.model and row.model.peak_memory_bytes else None


def _parameters(row: ResultRow) -> float | None:
    return row.model.parameters / 1e6 if row.model else None


def _teraflops(row: ResultRow) -> float | None:
    flops = training_flops(row)
    return None if flops is None else flops / 1e12


COSTS = (
    Cost("time", "training time (s)", training_seconds, of_machine=True),
    Cost("FLOPs", "training operations (TFLOP)", _teraflops, of_machine=False),
    Cost("parameters", "parameters (M)", _parameters, of_machine=False),
    Cost("latency", "prediction (ms/image)", latency_ms, of_machine=True),
    Cost("memory", "peak memory (MiB)", peak_memory_mib, of_machine=True),
)


def on_pareto_front(
    models: Sequence[SeedGroup], *, metric: str, cost: Cost, higher_is_better: bool = False
) -> list[bool | None]:
    """Returns, for each model, whether it is on the Pareto front of quality and cost, by the means.

    A model is on the front if no other model is at least as good and as cheap, and better in one of the two. A model
    without the metric or the cost gets None. Where the cost depends on the machine, every machine has a front of its own.

    Args:
        models: comparable models.
        metric: the quality.
        cost: the cost; lower is better.
        higher_is_better: direction of the metric.
    """
    points: list[tuple[float, float, object] | None] = []
    for model in models:
        estimate, price = model.estimate(metric), cost.of(model)
        machine = machine_of(model.first) if cost.of_machine else None
        if estimate is None or price is None:
            points.append(None)
        else:
            points.append((-estimate.value if higher_is_better else estimate.value, price, machine))
    return [None if point is None else not any(_beats(other, point) for other in points if other) for point in points]


def pareto_costs(board: Leaderboard) -> list[tuple[str, ...] | None]:
    """Returns, for each model of a leaderboard, the names of the costs on whose Pareto front it is; None if unknown."""
    if board.metric is None:
        return [None] * len(board.models)
    by_cost = {
        cost.name: on_pareto_front(
            board.models, metric=board.metric, cost=cost, higher_is_better=board.higher_is_better
        )
        for cost in COSTS
    }
    found: list[tuple[str, ...] | None] = []
    for index in range(len(board.models)):
        known = {name: places[index] for name, places in by_cost.items() if places[index] is not None}
        found.append(tuple(name for name, first in known.items() if first) if known else None)
    return found


def _beats(other: tuple[float, float, object], point: tuple[float, float, object]) -> bool:
    if other[2] != point[2]:
        return False
    return other[0] <= point[0] and other[1] <= point[1] and other[:2] != point[:2]
