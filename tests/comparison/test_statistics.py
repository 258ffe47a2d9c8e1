import numpy as np
import pytest
import scipy.stats
from comparison.bootstrap_oracle import bootstrap

from zoo.comparison.statistics import holm, paired_t_test, paired_t_test_over_seeds


def test_a_test_over_scenes_is_the_paired_t_test_of_scipy():
    a, b = np.random.default_rng(1).normal(0.3, 1.0, (2, 400))
    found, expected = paired_t_test(a - b), scipy.stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (found.t, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (found.n, found.seeds, found.degrees_of_freedom) == (400, 1, pytest.approx(399))


@pytest.mark.parametrize("seeds", [(2, 3), (4, 4)])
def test_seeds_that_dominate_give_the_welch_test_of_scipy(seeds):
    """Where scenes add no variance of their own, what is left is Welch's t-test of the means of the seeds."""
    generator = np.random.default_rng(3)
    a, b = (np.repeat(generator.normal(0, 1, (m, 1)), 30, axis=1) for m in seeds)
    found = paired_t_test_over_seeds(a, b)
    expected = scipy.stats.ttest_ind(a[:, 0], b[:, 0], equal_var=False)
    assert (found.t, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert found.degrees_of_freedom == pytest.approx(expected.df)


def test_p_value_and_interval_agree():
    generator = np.random.default_rng(4)
    for _ in range(200):
        found = paired_t_test(generator.normal(0.25, 1, 60))
        assert found.excludes_zero == (found.p < 0.05)


def test_pairing_finds_what_unpaired_means_cannot():
    generator = np.random.default_rng(5)
    shared = generator.gamma(2.0, 50.0, 100)
    a, b = shared + 1.0 + generator.normal(0, 1, 100), shared + generator.normal(0, 1, 100)
    unpaired = (a.mean() - b.mean()) / np.hypot(a.std() / 10, b.std() / 10)
    assert abs(unpaired) < 0.5
    assert paired_t_test(a - b).t > 4


def test_variances_of_seeds_are_those_of_an_explicit_analysis():
    generator = np.random.default_rng(6)
    a, b = generator.normal(0, 1, (3, 30)) + generator.normal(0, 2, (3, 1)), generator.normal(0, 1, (4, 30))
    a += generator.normal(0, 1, 30)
    over_scenes = np.var(a.mean(0) - b.mean(0), ddof=1) / 30
    over_seeds = 0.0
    for scores in (a, b):
        m = len(scores)
        fitted = scores.mean(0)[None] + scores.mean(1)[:, None] - scores.mean()
        interaction = ((scores - fitted) ** 2).sum() / ((m - 1) * 29)
        over_seeds += np.var(scores.mean(1), ddof=1) / m - interaction / (m * 30)
    assert over_seeds > 0
    found = paired_t_test_over_seeds(a, b)
    assert found.stderr == pytest.approx(np.sqrt(over_scenes + over_seeds), rel=1e-12)
    assert found.mean == pytest.approx(a.mean() - b.mean(), rel=1e-12)
    assert (found.seeds, found.n) == (3, 30)
    # Between 2 degrees of freedom, those of three seeds alone, and the normal distribution.
    assert 1.96 < (found.high - found.low) / (2 * found.stderr) < 4.4


@pytest.mark.parametrize("shape", [(1, 20), (3, 60), (2, 200)])
def test_the_bootstrap_gives_the_same_interval_and_p_value(shape):
    a, b = np.random.default_rng(7).normal(0, 1, (2, *shape))
    a += 0.2
    student, resampled = paired_t_test_over_seeds(a, b), bootstrap(a, b, resamples=40_000)
    width = student.high - student.low
    assert student.low == pytest.approx(resampled.low, abs=0.03 * width)
    assert student.high == pytest.approx(resampled.high, abs=0.03 * width)
    assert student.p == pytest.approx(resampled.p, abs=0.02)


def test_degenerate_differences():
    same = paired_t_test(np.zeros(30))
    assert (same.t, same.p, same.low, same.high) == (0.0, 1.0, 0.0, 0.0)
    constant = paired_t_test(np.full(30, -1.0))
    assert (constant.t, constant.p, constant.low, constant.high) == (-np.inf, 0.0, -1.0, -1.0)
    with pytest.raises(ValueError, match="at least 2"):
        paired_t_test(np.zeros(1))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.02, 0.03]) == [True, True]
    assert holm([0.03, 0.03]) == [False, False]
    assert holm([]) == []


def test_holm_keeps_the_family_wise_error():
    p = np.random.default_rng(9).uniform(size=(4000, 5))
    any_rejected = np.mean([any(holm(list(family))) for family in p])
    assert 0.04 <= any_rejected <= 0.06
    uncorrected = np.mean((p <= 0.05).any(axis=1))
    assert uncorrected > 0.2
