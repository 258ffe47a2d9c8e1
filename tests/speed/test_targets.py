"""Targets are judged by medians, at full size only, and every one of them can be measured."""

import pytest
from speed_records import number, record_of

from benchmarks.speed import against_plain, feeding, gpu
from benchmarks.speed.loading import RESIDENT, STORE
from benchmarks.speed.targets import TARGETS, Target, judge
from benchmarks.speed.work import NETWORKS


def test_every_target_that_was_measured_is_judged_and_no_other(record):
    judged = {(found.target.subject, found.target.quantity): found.holds for found in judge(record)}
    assert judged == {
        ("shared", "speed-up"): True,
        ("unshared", "speed-up"): False,
        ("shared", "fraction of the convolution, fast"): True,
        ("shared", "difference"): True,
    }
    assert judge(record.model_copy(update={"size": "quick"})) == []


@pytest.mark.parametrize(("sense", "holds"), [("at least", [False, True, True]), ("at most", [True, True, False])])
def test_a_bound_has_two_sides_and_is_kept_when_it_is_met(sense, holds):
    target = Target("p", "s", "a", "q", sense, 2.0)
    assert [target.holds(number("s", "a", "q", [value, value, 9.0 * value])) for value in (1.9, 2.0, 2.1)] == holds


def test_every_target_names_something_that_its_part_measures():
    actions = {case.action for case in against_plain.CASES}
    for target in TARGETS:
        if target.part == against_plain.PART:
            assert target.subject in NETWORKS and target.action in actions
        elif target.part == feeding.PART:
            assert target.subject in (STORE, RESIDENT) and target.action == feeding.ACTION
        else:
            assert target.part == gpu.PART and target.action == gpu.FASTEST
    assert len({target.address for target in TARGETS}) == len(TARGETS)


def test_a_record_without_numbers_is_judged_by_nothing():
    assert judge(record_of([])) == []
