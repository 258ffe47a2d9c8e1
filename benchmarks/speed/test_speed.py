"""The fast core beside the plain loop of the textbook, with the same weights, so that the table shows their quotient.

pytest-benchmark times all of one before all of the other; ``gqn-zoo bench --suite speed``, whose cases these are, lets
them take turns, and is the fairer of the two.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.speed.against_plain import CASES, Case
from benchmarks.speed.record import Size
from benchmarks.speed.work import NETWORKS, SIDES, PredictionStep, Side, TrainingStep, make_pair, make_task, network

ROUNDS = 3
SUITE_SIZES: dict[str, Size] = {"smoke": "quick", "full": "full"}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.action.replace(", ", "-").replace(" ", "-"))
@pytest.mark.parametrize("name", NETWORKS)
def test_speed(benchmark: Any, speed_size: str, name: str, case: Case, side: Side) -> None:
    """Training steps and predictions of one network, on the CPU."""
    variant = network(name, size=SUITE_SIZES[speed_size])
    task = make_task(getattr(make_pair(variant), side), variant, scenes=case.scenes, queries=case.queries)
    step = TrainingStep(task) if case.phase == "training" else PredictionStep(task)
    counts = step.count()
    benchmark.group = f"speed: {case.action}, {name} ({speed_size})"
    benchmark.extra_info.update(variant=variant.name, side=side, scenes=case.scenes, queries=case.queries)
    benchmark.extra_info.update(flops=counts.flops, saved_bytes=counts.saved_bytes)
    benchmark.pedantic(step, rounds=ROUNDS)
