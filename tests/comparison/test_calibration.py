"""What ``compare`` promises, over 2000 simulated pairs: false positives, coverage and power of its verdict at 5 %.

A score is drawn as (level of the scene, shared by both variants) + (a variant's liking of the scene) + (luck of the
training) + (what is left): the standard deviations of the last three make a case, the luck in units of liking / sqrt(n).
"""

from typing import NamedTuple

import numpy as np
import pytest

from zoo.comparison.statistics import bootstrap_differences, holm

PAIRS = 2000
RESAMPLES = 2000


class Case(NamedTuple):
    """One world in which variants are compared."""

    scenes: int
    seeds: int
    liking: float
    luck: float
    rest: float

    def draw(self, effect):
        """Returns [k, seeds, n] of a and of b, whose means differ by ``effect`` standard errors; and that difference."""
        generator = np.random.default_rng(20180614)
        level = generator.gamma(2.0, 10.0, (PAIRS, 1, self.scenes))

        def side():
            shape = (PAIRS, self.seeds, self.scenes)
            liking = self.liking * generator.normal(size=(PAIRS, 1, self.scenes))
            luck = self.luck / np.sqrt(self.scenes) * generator.normal(size=(PAIRS, self.seeds, 1))
            return level + liking + luck + self.rest * generator.normal(size=shape)

        truth = effect * np.sqrt(2 * (self.liking**2 + (self.luck**2 + self.rest**2) / self.seeds) / self.scenes)
        return side() + truth, side(), truth

    def judged(self, effect):
        """Returns the tests of all pairs, and the true difference."""
        a, b, truth = self.draw(effect)
        return bootstrap_differences(a, b, resamples=RESAMPLES), truth


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


def rate(found):
    """The share of pairs on which compare gives a verdict."""
    return np.mean([difference.excludes_zero and all(holm([difference.p])) for difference in found])


@pytest.mark.parametrize("case", ONE_SEED + SEEDS, ids=str)
def test_a_true_null_is_rejected_in_5_percent_and_the_interval_covers_in_95(case):
    found, _ = case.judged(effect=0.0)
    assert 0.035 <= rate(found) <= 0.065
    found, truth = case.judged(effect=1.5)
    assert 0.93 <= np.mean([difference.low <= truth <= difference.high for difference in found]) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
def test_two_trainings_of_one_variant_are_judged_too_carefully_rather_than_too_boldly(seeds):
    """Seeds that differ by noise of single scenes alone: their part is known to be none only by chance."""
    found, _ = Case(40, seeds, 0.0, 0.0, 1.0).judged(effect=0.0)
    assert 0.015 <= rate(found) <= 0.05


@pytest.mark.parametrize(("scenes", "least"), [(50, 0.93), (400, 0.94)])
def test_skewed_differences_are_covered(scenes, least):
    difference = np.random.default_rng(5).exponential(1.0, (PAIRS, 1, scenes)) - 1
    found = bootstrap_differences(difference, np.zeros_like(difference), resamples=RESAMPLES)
    assert least <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.97


POWERFUL = [case for case in ONE_SEED + SEEDS if case.seeds in (1, 10) or (case.seeds > 2 and case.luck <= case.liking)]


@pytest.mark.parametrize("case", POWERFUL, ids=str)
def test_four_standard_errors_are_found(case):
    """With two or three seeds whose luck decides nothing can find them: too few degrees of freedom are left."""
    found, _ = case.judged(effect=4.0)
    assert np.mean([difference.excludes_zero and difference.mean > 0 for difference in found]) >= 0.95


def test_the_resampling_of_three_seeds_would_be_far_too_sure():
    """Why the seeds are not resampled as the scenes are: the same pairs, judged by percentiles over both."""
    case = SEEDS[3]
    a, b, _ = case.draw(0.0)
    generator = np.random.default_rng(1)
    rejected = 0
    for first, second in zip(a[:300], b[:300], strict=True):
        scenes = generator.integers(0, case.scenes, (400, 1, case.scenes))
        mine, theirs = (generator.integers(0, case.seeds, (400, case.seeds, 1)) for _ in range(2))
        means = (first[mine, scenes] - second[theirs, scenes]).mean(axis=(1, 2))
        low, high = np.quantile(means, [0.025, 0.975])
        rejected += not low <= 0 <= high
    assert rejected / 300 > 0.15
