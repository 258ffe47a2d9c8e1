import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.comparison.statistics import holm, holm_adjusted, paired_t_test, paired_t_test_over_seeds


def test_a_test_over_scenes_is_the_paired_t_test_of_scipy():
    a, b = np.random.default_rng(1).normal(0.3, 1.0, (2, 400))
    found, expected = paired_t_test(a - b), scipy.stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (found.t, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (found.n, found.seeds) == (400, 1)


def test_paired_seeds_that_dominate_give_the_paired_test_of_scipy_over_seeds():
    """Where scenes add no variance of their own, what is left is the t-test of the means of the seeds."""
    a, b = (np.repeat(np.random.default_rng(seed).normal(0, 1, (4, 1)), 30, axis=1) for seed in (3, 4))
    found = paired_t_test_over_seeds(a, b, same_seeds=True)
    expected = scipy.stats.ttest_rel(a[:, 0], b[:, 0])
    assert (found.t, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_other_seeds_that_dominate_are_judged_more_conservatively_than_by_welch():
    generator = np.random.default_rng(3)
    a, b = (np.repeat(generator.normal(0, 1, (m, 1)), 30, axis=1) for m in (2, 3))
    found = paired_t_test_over_seeds(a, b, same_seeds=False)
    expected = scipy.stats.ttest_ind(a[:, 0], b[:, 0], equal_var=False)
    assert found.t == pytest.approx(expected.statistic) and expected.pvalue < found.p < 1
    quantiles = scipy.stats.t.ppf(0.975, [1, 2])
    variances = [a[:, 0].var(ddof=1) / 2, b[:, 0].var(ddof=1) / 3]
    assert found.high - found.mean == pytest.approx(np.sqrt((quantiles**2 * variances).sum()))


def test_identical_scores_have_a_difference_of_0_and_a_width_of_0():
    a = np.random.default_rng(1).gamma(2.0, 10.0, (8, 200)) / 3
    found = paired_t_test_over_seeds(a, a.copy(), same_seeds=True)
    assert (found.mean, found.low, found.high, found.stderr, found.t, found.p) == (0, 0, 0, 0, 0, 1)
    unpaired = paired_t_test_over_seeds(a, a.copy(), same_seeds=False)
    assert unpaired.mean == 0 and unpaired.high - unpaired.low > 1


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


@pytest.mark.parametrize("same_seeds", [True, False])
def test_variance_components_are_those_of_an_explicit_analysis(same_seeds):
    generator = np.random.default_rng(6)
    a, b = generator.normal(0, 1, (2, 4, 30)) + generator.normal(0, 2, (2, 4, 1)) + generator.normal(0, 1, (2, 1, 30))
    scenes = np.var(a.mean(0) - b.mean(0), ddof=1) / 30
    seeds = []
    for scores in [a - b] if same_seeds else [a, b]:
        m = len(scores)
        fitted = scores.mean(0)[None] + scores.mean(1)[:, None] - scores.mean()
        scenes -= ((scores - fitted) ** 2).sum() / ((m - 1) * 29) / (m * 30)
        seeds.append(np.var(scores.mean(1), ddof=1) / m)
    assert scenes > 0
    found = paired_t_test_over_seeds(a, b, same_seeds=same_seeds)
    assert found.stderr == pytest.approx(np.sqrt(scenes + sum(seeds)), rel=1e-12)
    width = np.sqrt(scipy.stats.t.ppf(0.975, 29) ** 2 * scenes + scipy.stats.t.ppf(0.975, 3) ** 2 * sum(seeds))
    assert found.high - found.mean == pytest.approx(width, rel=1e-9)
    assert found.mean == pytest.approx(a.mean() - b.mean(), rel=1e-12)
    assert (found.seeds, found.n) == (4, 30)


def test_a_side_without_seeds_adds_no_variance_of_seeds():
    a, b = np.random.default_rng(7).normal(0, 1, (4, 30)), np.random.default_rng(8).normal(0, 1, (1, 30))
    single, paired = (paired_t_test_over_seeds(a, b, same_seeds=same) for same in (False, True))
    repeated = paired_t_test_over_seeds(a, np.repeat(b, 4, axis=0), same_seeds=True)
    assert single.p == pytest.approx(repeated.p) == pytest.approx(paired.p) and single.seeds == 1


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


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    seeds=st.integers(1, 4),
    scenes=st.integers(2, 30),
    same_seeds=st.booleans(),
    shift=st.floats(-1e3, 1e3),
    factor=st.floats(1e-3, 1e3),
)
def test_a_verdict_depends_neither_on_units_nor_on_order(seed, seeds, scenes, same_seeds, shift, factor):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0, 1, (2, seeds, scenes)) + generator.normal(0, 1, (2, seeds, 1))
    found = paired_t_test_over_seeds(a, b, same_seeds=same_seeds)
    swapped = paired_t_test_over_seeds(b, a, same_seeds=same_seeds)
    assert (swapped.mean, swapped.low, swapped.high) == pytest.approx((-found.mean, -found.high, -found.low))
    order, own = generator.permutation(scenes), generator.permutation(seeds)
    levels = generator.normal(0, 10, scenes)  # of the scenes, which both sides share
    for one, other, scale in (
        (a[:, order], b[:, order], 1.0),
        (a[own], b[own], 1.0),
        (a + levels, b + levels, 1.0),
        (a + shift, b + shift, 1.0),
        (a * factor, b * factor, factor),
    ):
        again = paired_t_test_over_seeds(one, other, same_seeds=same_seeds)
        expected = [value * scale for value in (found.mean, found.low, found.high)]
        assert (again.mean, again.low, again.high) == pytest.approx(expected, rel=1e-6, abs=1e-8 * scale)
        assert again.p == pytest.approx(found.p, rel=1e-4, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(p_values=st.lists(st.floats(0, 1), max_size=12), data=st.data())
def test_adjusted_p_values_are_those_of_the_definition_in_any_order(p_values, data):
    found = holm_adjusted(p_values)
    ordered = sorted(p_values)
    steps = [min(1.0, max((len(ordered) - k) * p for k, p in enumerate(ordered[: i + 1]))) for i in range(len(ordered))]
    assert sorted(found) == pytest.approx(steps)
    assert all(adjusted >= p for adjusted, p in zip(found, p_values, strict=True))
    order = data.draw(st.permutations(range(len(p_values))))
    again = holm_adjusted([p_values[place] for place in order])
    assert sorted(again) == pytest.approx(sorted(found))
    assert [adjusted <= 0.05 for adjusted in found] == holm(p_values)
