"""Calibration of the paired test over 2000 simulated pairs: false positives, coverage and power of its verdict at 5 %.

A score is drawn as (level of the scene, shared by both variants) + (a variant's preference for the scene) + (effect of the
seed) + (rest): the standard deviations of the last three make a case, that of the seed in units of preference / sqrt(n).
"""

from typing import NamedTuple

import numpy as np
import pytest
from comparison.bootstrap_oracle import bootstrap

from zoo.comparison.statistics import holm, paired_t_test, paired_t_test_over_seeds

PAIRS = 2000


class Case(NamedTuple):
    """The standard deviations and numbers of a simulated comparison."""

    scenes: int
    seeds: int
    preference: float
    seed: float
    rest: float

    def draw(self, effect):
        """Returns [k, seeds, n] of a and of b, whose means differ by ``effect`` standard errors; and that difference."""
        generator = np.random.default_rng(20180614)
        level = generator.gamma(2.0, 10.0, (PAIRS, 1, self.scenes))

        def side():
            shape = (PAIRS, self.seeds, self.scenes)
            preference = self.preference * generator.normal(size=(PAIRS, 1, self.scenes))
            seed = self.seed / np.sqrt(self.scenes) * generator.normal(size=(PAIRS, self.seeds, 1))
            return level + preference + seed + self.rest * generator.normal(size=shape)

        variance = 2 * (self.preference**2 + (self.seed**2 + self.rest**2) / self.seeds) / self.scenes
        truth = effect * np.sqrt(variance)
        return side() + truth, side(), truth

    def test_all(self, effect):
        """Returns the tests of all pairs, and the true difference."""
        a, b, truth = self.draw(effect)
        return [paired_t_test_over_seeds(first, second) for first, second in zip(a, b, strict=True)], truth


ONE_SEED = [Case(20, 1, 1.0, 0.0, 0.0), Case(50, 1, 1.0, 0.0, 0.0), Case(300, 1, 1.0, 0.0, 0.0)]
SEEDS = [
    Case(40, 2, 1.0, 1.0, 0.3),
    Case(40, 3, 1.0, 0.3, 0.3),
    Case(40, 3, 1.0, 1.0, 1.0),
    Case(40, 3, 0.3, 3.0, 0.3),
    Case(100, 3, 1.0, 3.0, 1.0),
    Case(40, 5, 1.0, 0.0, 0.5),
    Case(40, 5, 0.3, 3.0, 1.0),
    Case(40, 10, 0.3, 3.0, 1.0),
]


def rejection_rate(found):
    """The share of pairs that are called different."""
    return np.mean([difference.excludes_zero and all(holm([difference.p])) for difference in found])


@pytest.mark.parametrize("case", ONE_SEED + SEEDS, ids=str)
def test_true_nulls_are_rejected_in_5_percent_and_intervals_cover_in_95(case):
    found, _ = case.test_all(effect=0.0)
    assert 0.035 <= rejection_rate(found) <= 0.065
    found, truth = case.test_all(effect=1.5)
    assert 0.93 <= np.mean([difference.low <= truth <= difference.high for difference in found]) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
def test_two_trainings_of_one_variant_are_judged_conservatively(seeds):
    """The seeds differ by the noise of single scenes alone, so that their true variance is 0."""
    found, _ = Case(40, seeds, 0.0, 0.0, 1.0).test_all(effect=0.0)
    assert 0.015 <= rejection_rate(found) <= 0.05


@pytest.mark.parametrize(("scenes", "least"), [(50, 0.92), (400, 0.94)])
def test_intervals_of_skewed_differences_cover(scenes, least):
    differences = np.random.default_rng(5).exponential(1.0, (PAIRS, scenes)) - 1
    found = [paired_t_test(difference) for difference in differences]
    assert least <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.97


POWERFUL = [
    case for case in ONE_SEED + SEEDS if case.seeds in (1, 10) or (case.seeds > 2 and case.seed <= case.preference)
]


@pytest.mark.parametrize("case", POWERFUL, ids=str)
def test_differences_of_four_standard_errors_are_found(case):
    """With two or three seeds that dominate the variance too few degrees of freedom are left to find them."""
    found, _ = case.test_all(effect=4.0)
    assert np.mean([difference.excludes_zero and difference.mean > 0 for difference in found]) >= 0.95


@pytest.mark.parametrize("case", ONE_SEED + SEEDS, ids=str)
def test_the_bootstrap_gives_the_same_intervals_and_verdicts(case):
    a, b, _ = case.draw(effect=2.0)
    student = [paired_t_test_over_seeds(first, second) for first, second in zip(a[:200], b[:200], strict=True)]
    resampled = [bootstrap(first, second, resamples=4000) for first, second in zip(a[:200], b[:200], strict=True)]
    widths = [(s.high - s.low) / (r.high - r.low) for s, r in zip(student, resampled, strict=True)]
    assert np.median(widths) == pytest.approx(1.0, abs=0.02) and max(np.abs(np.log(widths))) < 0.2
    agree = [s.excludes_zero == (not r.low <= 0 <= r.high) for s, r in zip(student, resampled, strict=True)]
    assert np.mean(agree) >= 0.95
    assert np.median([abs(s.p - r.p) for s, r in zip(student, resampled, strict=True)]) < 0.01


def test_resampling_three_seeds_rejects_far_too_often():
    """Why seeds are not resampled as scenes are: the same pairs, judged by percentiles over both."""
    case = SEEDS[3]
    a, b, _ = case.draw(0.0)
    generator = np.random.default_rng(1)
    rejected = 0
    for first, second in zip(a[:300], b[:300], strict=True):
        scenes = generator.integers(0, case.scenes, (400, 1, case.scenes))
        own, other = (generator.integers(0, case.seeds, (400, case.seeds, 1)) for _ in range(2))
        means = (first[own, scenes] - second[other, scenes]).mean(axis=(1, 2))
        low, high = np.quantile(means, [0.025, 0.975])
        rejected += not low <= 0 <= high
    assert rejected / 300 > 0.15
