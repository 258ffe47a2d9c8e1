"""A paired t-test over scenes and seeds: an oracle for the intervals and p-values of Student's t.

Scenes are resampled with replacement. The part of the seeds is a normal draw of their variance. The deviations are widened
by sqrt(n / (n - 1)), the bias of the plug-in variance, and by sqrt(f / chi^2_f) with the f degrees of freedom of the
whole variance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from zoo.comparison.statistics import paired_t_test_over_seeds


class Interval(NamedTuple):
    """The percentile interval of 95 % and the two-sided p-value of the bootstrap."""

    low: float
    high: float
    p: float


def bootstrap(a: np.ndarray, b: np.ndarray, *, resamples: int = 10_000) -> Interval:
    """Returns the interval of the mean difference of [seeds, n] scores of a and b."""
    n = a.shape[1]
    difference = a.mean(axis=0) - b.mean(axis=0)
    student = paired_t_test_over_seeds(a, b)
    over_seeds = max(0.0, student.stderr**2 - difference.var(ddof=1) / n)
    normal, widening = draws(resamples, student.degrees_of_freedom)
    deviations = counts(n, resamples) @ (difference - student.mean) / n * np.sqrt(n / (n - 1))
    means = student.mean + (deviations + np.sqrt(over_seeds) * normal) * widening
    low, high = np.quantile(means, [0.025, 0.975])
    fewer = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Interval(float(low), float(high), min(1.0, 2 * (fewer + 1) / (resamples + 1)))


def draws(resamples, freedom):
    """Returns [resamples] normal draws and [resamples] factors that turn normal tails into those of Student's t."""
    chi_squares = np.random.default_rng(2).chisquare(freedom, size=resamples)
    return np.random.default_rng(1).standard_normal(resamples), np.sqrt(freedom / chi_squares)


@lru_cache(maxsize=8)
def counts(n, resamples):
    """Returns [resamples, n] how often each scene is in each resample."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
