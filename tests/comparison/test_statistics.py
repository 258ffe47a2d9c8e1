import numpy as np
import pytest
import scipy.stats

from zoo.comparison.statistics import bootstrap_difference, bootstrap_differences, holm


def test_moments_are_the_textbook_ones_and_the_bootstrap_agrees():
    difference = np.random.default_rng(1).normal(0.3, 1.0, 400)
    found = bootstrap_difference(difference)
    stderr = difference.std(ddof=1) / 20
    assert found.mean == pytest.approx(difference.mean(), rel=1e-12)
    assert found.stderr == pytest.approx(stderr, rel=1e-12)
    assert found.z == pytest.approx(difference.mean() / stderr, rel=1e-12)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(stderr, rel=0.04)
    assert found.n == 400


def test_interval_covers_the_truth_in_95_percent():
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(1000):
        shared = generator.gamma(2.0, 10.0, 50)
        a, b = shared + generator.normal(0.2, 1.0, 50), shared + generator.normal(0.0, 1.0, 50)
        found = bootstrap_difference(a - b, resamples=1000)
        covered += found.low <= 0.2 <= found.high
    assert 930 <= covered <= 970


def test_p_value_is_uniform_without_a_difference():
    generator = np.random.default_rng(3)
    p = np.array([bootstrap_difference(generator.normal(0, 1, 60), resamples=999).p for _ in range(1000)])
    assert 0.03 <= (p <= 0.05).mean() <= 0.07
    assert 0.46 <= (p <= 0.5).mean() <= 0.54


def test_p_value_and_interval_agree():
    generator = np.random.default_rng(4)
    for _ in range(200):
        found = bootstrap_difference(generator.normal(0.25, 1, 60), resamples=1999)
        outside = not found.low <= 0 <= found.high
        assert outside == (found.p <= 0.05) or 0.045 < found.p < 0.055


def test_pairing_finds_what_unpaired_means_cannot():
    generator = np.random.default_rng(5)
    shared = generator.gamma(2.0, 50.0, 100)
    a, b = shared + 1.0 + generator.normal(0, 1, 100), shared + generator.normal(0, 1, 100)
    unpaired = (a.mean() - b.mean()) / np.hypot(a.std() / 10, b.std() / 10)
    assert abs(unpaired) < 0.5
    assert bootstrap_difference(a - b).z > 4


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
    (found,) = bootstrap_differences(a[None], b[None])
    assert found.stderr == pytest.approx(np.sqrt(over_scenes + over_seeds), rel=1e-12)
    assert found.mean == pytest.approx(a.mean() - b.mean(), rel=1e-12)
    assert (found.seeds, found.n) == (3, 30)
    # Between 2 degrees of freedom, were the three seeds all that varies, and what the normal distribution would give.
    assert 1.96 < (found.high - found.low) / (2 * found.stderr) < 4.4


@pytest.mark.parametrize("scenes", [20, 60])
def test_intervals_of_normal_scores_are_as_wide_as_those_of_student(scenes):
    a = np.random.default_rng(10).normal(0, 1, (400, 1, scenes))
    found = bootstrap_differences(a, np.zeros_like(a))
    width = np.mean([(one.high - one.low) / (2 * one.stderr) for one in found])
    assert width == pytest.approx(scipy.stats.t.ppf(0.975, scenes - 1), rel=0.015)


def test_pairs_tested_together_or_alone_give_the_same():
    a, b = np.random.default_rng(7).normal(0, 1, (2, 5, 3, 40))
    together = bootstrap_differences(a, b)
    for index, found in enumerate(together):
        (alone,) = bootstrap_differences(a[index : index + 1], b[index : index + 1])
        assert alone.low == pytest.approx(found.low, rel=1e-9) and alone.p == found.p


def test_the_same_data_give_the_same_answer():
    difference = np.random.default_rng(8).normal(0, 1, 30)
    assert bootstrap_difference(difference) == bootstrap_difference(difference)


def test_degenerate_differences():
    same = bootstrap_difference(np.zeros(30))
    assert (same.z, same.p, same.low, same.high) == (0.0, 1.0, 0.0, 0.0)
    assert bootstrap_difference(np.full(30, -1.0)).z == -np.inf
    with pytest.raises(ValueError, match="at least 2"):
        bootstrap_difference(np.zeros(1))


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
