"""When a curve reaches a threshold, on curves made by hand."""

import math

import pytest
from quality_runs import run_of

from benchmarks.time_to_quality.crossings import crossing_of, reached

# updates, CPU seconds, excess; 5 operations per update
CURVE = [(0, 0.0, 200.0), (10, 4.0, 100.0), (30, 10.0, 60.0), (40, 12.0, 70.0), (50, 16.0, 30.0)]


@pytest.mark.parametrize(
    ("threshold", "updates", "seconds"),
    [
        (250.0, 0.0, 0.0),  # before training
        (150.0, 5.0, 2.0),
        (100.0, 10.0, 4.0),  # at a scored point
        (70.0, 25.0, 8.5),  # the first time, not the second one at 40
        (50.0, 45.0, 14.0),  # after the curve rose again: from 70 at 40 to 30 at 50
        (30.0, 50.0, 16.0),
    ],
)
def test_between_points_the_excess_is_linear_in_the_updates(threshold, updates, seconds):
    found = crossing_of(run_of(CURVE), threshold)
    assert found.updates == pytest.approx(updates) and found.seconds == pytest.approx(seconds)
    assert found.flops == pytest.approx(5 * updates)


def test_what_is_never_reached_is_none():
    assert crossing_of(run_of(CURVE), 29.9) is None


def test_the_median_counts_seeds_that_do_not_reach_a_threshold_as_later_than_all_others():
    flat = [(0, 0.0, 200.0), (50, 20.0, 90.0)]
    slow = [(0, 0.0, 200.0), (100, 40.0, 0.0)]
    one = reached([run_of(CURVE), run_of(flat), run_of(slow)], 50.0)
    assert one.num_reached == 2 and one.median("updates") == pytest.approx(75.0)
    assert one.range("seconds") == (pytest.approx(14.0), math.inf)
    two = reached([run_of(CURVE), run_of(flat), run_of(flat)], 50.0)
    assert two.num_reached == 1 and math.isinf(two.median("updates"))
