"""The fast core and the textbook's loop with the same weights, for pytest-benchmark's table.

pytest-benchmark times all rounds of one before the other; ``python -m benchmarks.speed``, which has the same cases, times
them in turns.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.speed.against_plain import CASES, Case
from benchmarks.speed.record import Size
from benchmarks.speed.work import NETWORKS, SIDES, Side, make_pair, make_task, network, saved_bytes
from zoo.evaluation.throughput import flops_of

ROUNDS = 3
SUITE_SIZES: dict[str, Size] = {"smoke": "quick", "full": "full"}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.action.replace(", ", "-").replace(" ", "-"))
@pytest.mark.parametrize("name", NETWORKS)
def test_speed(benchmark: Any, speed_size: str, name: str, case: Case, side: Side) -> None:
    """Training steps and predictions of one network, on the CPU."""
    variant = network(name, size=SUITE_SIZES[speed_size])
    task = make_task(getattr(make_pair(variant), side), variant, scenes=case.scenes, queries=case.queries)
    action = task.action(case.phase)
    benchmark.group = f"speed: {case.action}, {name} ({speed_size})"
    benchmark.extra_info.update(variant=variant.name, side=side, scenes=case.scenes, queries=case.queries)
    benchmark.extra_info.update(flops=flops_of(action), saved_bytes=saved_bytes(task))
    benchmark.pedantic(action, rounds=ROUNDS)
