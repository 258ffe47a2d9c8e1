"""Exponents are those of the power laws that the times follow."""

import numpy as np
import pytest

from benchmarks.speed import scaling
from benchmarks.speed.record import Findings
from benchmarks.speed.scaling import AXES, BASE, PART, Sizes, fit


def test_exponents_of_exact_laws_are_found():
    sizes = np.array([1.0, 2.0, 4.0, 8.0])
    turns = np.stack([0.3 * sizes**1.0, 0.2 * sizes**1.5, 0.1 * sizes**2.0], axis=1)
    law = fit([1, 2, 4, 8], turns, axis="queries", action="training", subject="fast")
    assert law.exponent == pytest.approx(1.5)
    assert (law.exponent_p10, law.exponent_p90) == (pytest.approx(1.1), pytest.approx(1.9))
    np.testing.assert_allclose(law.seconds, np.median(turns, axis=1))


def test_fixed_costs_flatten_the_range_more_than_its_end():
    sizes = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    law = fit([1, 2, 4, 8, 16], (1.0 + sizes)[:, None], axis="views", action="training", subject="fast")
    assert law.exponent < law.exponent_of_the_largest < 1.0
    assert law.exponent_of_the_largest == pytest.approx(np.log2(17 / 9))


def test_every_axis_is_measured_for_both_cores(monkeypatch):
    log = []
    monkeypatch.setattr(scaling, "AXES", {"quick": {"queries": (1, 2), "steps": (1, 2), "image_size": (8, 16)}})
    findings = Findings(PART, log=log.append)
    scaling.scaling(findings, size="quick", repeats=1)
    assert {(law.axis, law.action, law.subject) for law in findings.scalings} == {
        (axis, action, side)
        for axis in ("queries", "steps", "image size")
        for action in ("training", "prediction")
        for side in ("fast", "plain")
    }
    assert len(log) == 3


def test_the_base_lies_within_every_axis():
    for size, axes in AXES.items():
        assert set(axes) == set(Sizes._fields)
        for name, sizes in axes.items():
            assert list(sizes) == sorted(set(sizes))
            assert sizes[0] <= getattr(BASE[size], name) <= sizes[-1]
