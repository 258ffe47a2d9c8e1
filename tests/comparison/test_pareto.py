import numpy as np
import pytest

from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.pareto import COSTS, PARAMETERS, TIME, on_pareto_front, pareto_cells
from zoo.comparison.seed_groups import seed_groups
from zoo.comparison.tables import tables_of
from zoo.results.row import Budget, ModelFacts


@pytest.fixture
def make_group(make_row):
    def make(variant, *, excess, seconds, parameters=1_000_000, flops=10**9, memory=2**30, **changes):
        row = make_row(
            np.full(30, float(excess)),
            variant=variant,
            model=ModelFacts(parameters=parameters, flops_per_training_scene=flops, peak_memory_bytes=memory),
            budget=Budget(steps=10, batch_size=4, scenes_seen=2000, seconds=seconds),
            **changes,
        )
        return seed_groups([row])[0]

    return make


def front_of(groups, cost):
    """Whether each of the groups is on the front of their leaderboard."""
    (board,) = leaderboards_of([row for group in groups for row in group.rows])
    found = dict(zip((model.variant for model in board.models), on_pareto_front(board, cost), strict=True))
    return [found[group.variant] for group in groups]


def test_a_model_that_is_beaten_in_both_is_not_on_the_pareto_front(make_group):
    lines = [
        make_group("best", excess=1, seconds=100),
        make_group("middle", excess=2, seconds=50),
        make_group("beaten", excess=3, seconds=60),
        make_group("cheap", excess=9, seconds=1),
        make_group("as-good-but-dearer", excess=2, seconds=51),
        make_group("twin", excess=2, seconds=50),
    ]
    assert front_of(lines, TIME) == [True, True, False, True, False, True]


def test_the_pareto_front_is_that_of_every_pair_by_definition(make_group):
    generator = np.random.default_rng(0)
    points = generator.integers(1, 8, (30, 2))
    lines = [make_group(f"v{i}", excess=quality, seconds=float(price)) for i, (quality, price) in enumerate(points)]
    expected = [not any((other <= point).all() and (other < point).any() for other in points) for point in points]
    assert front_of(lines, TIME) == expected
    assert 0 < sum(expected) < 30


def test_costs_of_machines_are_compared_on_one_machine(make_group):
    lines = [
        make_group("here", excess=1, seconds=10, parameters=5),
        make_group("there", excess=2, seconds=20, parameters=6, cpu="Xeon"),
    ]
    assert front_of(lines, TIME) == [True, True]
    assert front_of(lines, PARAMETERS) == [True, False]


def test_every_cost_has_its_unit_and_an_unknown_one_is_left_out(make_group, make_row):
    line = make_group("a", excess=1, seconds=12.0, parameters=2_500_000, flops=3 * 10**9, memory=2**31, speed=20.0)
    values = [cost.of(line) for cost in COSTS]
    assert values == pytest.approx([12.0, 6.0, 2.5, 5.0, 2048.0])  # s, TFLOP, M, ms per image, MiB
    bare = make_group("b", excess=2, seconds=13.0, flops=None, memory=None, performance={})
    assert [cost.of(bare) is None for cost in COSTS] == [False, True, False, True, True]
    (board,) = leaderboards_of([*line.rows, *bare.rows])
    assert pareto_cells(board) == ["all", "parameters"]


def test_the_table_names_the_costs(make_row, excess_of_scenes):
    rows = [make_row(excess_of_scenes + shift, variant=variant) for variant, shift in (("a", 0), ("b", 1))]
    rows.append(make_row(excess_of_scenes + 2, variant="c", speed=200.0))
    frame = tables_of(leaderboards_of(rows), extra=["pareto"])[0].frame.set_index("variant")
    assert frame.loc["a", "on the Pareto front of"] == "time, parameters, latency, memory"
    assert frame.loc["b", "on the Pareto front of"] == "none"
    assert frame.loc["c", "on the Pareto front of"] == "latency"
    assert "on the Pareto front of" not in tables_of(leaderboards_of(rows[:1]), extra=["pareto"])[0].frame
