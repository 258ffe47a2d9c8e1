"""Quality against cost: which lines of a table no other line beats in both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zoo.comparison.seed_groups import SeedGroup, machine_of
from zoo.results.row import PREDICT_THROUGHPUT, ResultRow


@dataclass(frozen=True)
class Cost:
    """Something that quality is paid with.

    Attributes:
        name: for a cell of a table.
        title: for an axis, with the unit.
        of_row: the cost of a row in that unit, None if it was not measured.
        of_machine: whether it depends on the machine, so that only lines of one machine are set against each other.
    """

    name: str
    title: str
    of_row: Callable[[ResultRow], float | None]
    of_machine: bool

    def of(self, line: SeedGroup) -> float | None:
        """Returns the mean cost over the seeds of a line, None unless every seed has a positive one."""
        found = [value for row in line.rows if (value := self.of_row(row)) is not None and value > 0]
        return math.fsum(found) / len(found) if len(found) == len(line.rows) else None


def training_seconds(row: ResultRow) -> float | None:
    """Returns how long the training of a row's model took, seconds; None if it was not trained."""
    return row.budget.seconds if row.budget and row.budget.steps else None


def training_flops(row: ResultRow) -> float | None:
    """Returns the floating-point operations of the training of a row's model; None if it was not trained."""
    if row.model is None or row.model.flops_per_training_scene is None or row.budget is None or not row.budget.steps:
        return None
    return float(row.model.flops_per_training_scene) * row.budget.scenes_seen


def latency_ms(row: ResultRow) -> float | None:
    """Returns the time that a row's model takes for one predicted image within a batch, milliseconds."""
    timing = row.performance.get(PREDICT_THROUGHPUT)
    return 1000.0 / timing.median if timing and timing.median > 0 else None


def _parameters(row: ResultRow) -> float | None:
    return row.model.parameters / 1e6 if row.model else None


def _memory(row: ResultRow) -> float | None:
    return row.model.peak_memory_bytes / 2**20 if row.model and row.model.peak_memory_bytes else None


def _teraflops(row: ResultRow) -> float | None:
    flops = training_flops(row)
    return None if flops is None else flops / 1e12


COSTS = (
    Cost("time", "training time (s)", training_seconds, of_machine=True),
    Cost("FLOPs", "training operations (TFLOP)", _teraflops, of_machine=False),
    Cost("parameters", "parameters (M)", _parameters, of_machine=False),
    Cost("latency", "prediction (ms/image)", latency_ms, of_machine=True),
    Cost("memory", "peak memory (MiB)", _memory, of_machine=True),
)


def on_pareto_front(
    lines: Sequence[SeedGroup], *, metric: str, cost: Cost, higher_is_better: bool = False
) -> list[bool | None]:
    """Returns, for each line, whether no other line is at least as good and as cheap, and better in one of them.

    Point estimates are compared. A line without the metric or the cost gets None. Where the cost depends on the
    machine, a line is beaten by lines of its own machine alone.

    Args:
        lines: comparable lines.
        metric: the quality.
        cost: what the metric is set against.
        higher_is_better: of the metric; of a cost less is better.
    """
    points: list[tuple[float, float, object] | None] = []
    for line in lines:
        estimate, price = line.estimate(metric), cost.of(line)
        machine = machine_of(line.first) if cost.of_machine else None
        if estimate is None or price is None:
            points.append(None)
        else:
            points.append((-estimate.value if higher_is_better else estimate.value, price, machine))
    return [None if point is None else not any(_beats(other, point) for other in points if other) for point in points]


def frontiers(
    lines: Sequence[SeedGroup], *, metric: str, higher_is_better: bool = False
) -> list[tuple[str, ...] | None]:
    """Returns, for each line, the names of the costs on whose frontier it is; None if no cost of it is known."""
    by_cost = {
        cost.name: on_pareto_front(lines, metric=metric, cost=cost, higher_is_better=higher_is_better) for cost in COSTS
    }
    found: list[tuple[str, ...] | None] = []
    for index in range(len(lines)):
        known = {name: places[index] for name, places in by_cost.items() if places[index] is not None}
        found.append(tuple(name for name, first in known.items() if first) if known else None)
    return found


def _beats(other: tuple[float, float, object], point: tuple[float, float, object]) -> bool:
    if other[2] != point[2]:
        return False
    return other[0] <= point[0] and other[1] <= point[1] and other[:2] != point[:2]
