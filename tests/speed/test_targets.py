"""Targets are bounds of medians at full size, and every one of them can be measured."""

import pytest
from speed_records import number, record_of

from benchmarks.speed import against_plain, gpu, loading
from benchmarks.speed.loading import RESIDENT, STORE
from benchmarks.speed.targets import TARGETS, Target, reached
from benchmarks.speed.work import NETWORKS


def test_targets_that_were_measured(record):
    held = {(target.subject, target.quantity): target.holds(measured) for target, measured in reached(record)}
    assert held == {
        ("shared", "speed-up"): True,
        ("unshared", "speed-up"): False,
        ("shared", "fraction of the convolution, fast"): True,
        ("shared", "difference"): True,
    }
    assert reached(record.model_copy(update={"size": "quick"})) == []


@pytest.mark.parametrize(("sense", "holds"), [("at least", [False, True, True]), ("at most", [True, True, False])])
def test_a_bound_holds_for_equality(sense, holds):
    target = Target("p", "s", "a", "q", sense, 2.0)
    assert [target.holds(number("s", "a", "q", [value, value, 9.0 * value])) for value in (1.9, 2.0, 2.1)] == holds


def test_every_target_is_a_quantity_of_its_part():
    actions = {case.action for case in against_plain.CASES}
    for target in TARGETS:
        if target.part == against_plain.PART:
            assert target.subject in NETWORKS and target.action in actions
        elif target.part == loading.PART:
            assert target.subject in (STORE, RESIDENT) and target.action == loading.ACTION
        else:
            assert target.part == gpu.PART and target.action == gpu.FASTEST
    assert len({target.address for target in TARGETS}) == len(TARGETS)


def test_a_record_without_numbers_reaches_no_target():
    assert reached(record_of([])) == []
