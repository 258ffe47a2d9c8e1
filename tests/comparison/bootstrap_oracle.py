"""A bootstrap over scenes: an oracle for the intervals and p-values of Student's paired t-test of two trainings.

Scenes are resampled with replacement. The deviations are widened by sqrt(n / (n - 1)), the bias of the plug-in variance,
and by sqrt(f / chi^2_f) with its f = n - 1 degrees of freedom.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """The percentile interval of 95 % and the two-sided p-value of the bootstrap."""

    low: float
    high: float
    p: float


def bootstrap(difference: np.ndarray, *, resamples: int = 10_000) -> Interval:
    """Returns the interval of the mean of paired differences [n]."""
    n = len(difference)
    chi_squares = np.random.default_rng(2).chisquare(n - 1, size=resamples)
    widening = np.sqrt(n / (n - 1)) * np.sqrt((n - 1) / chi_squares)
    means = difference.mean() + counts(n, resamples) @ (difference - difference.mean()) / n * widening
    low, high = np.quantile(means, [0.025, 0.975])
    fewer = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Interval(float(low), float(high), min(1.0, 2 * (fewer + 1) / (resamples + 1)))


@lru_cache(maxsize=8)
def counts(n, resamples):
    """Returns [resamples, n] how often each scene is in each resample."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
