"""Paired tests for results that were scored on the same scenes.

Two models that see the same scenes share most of the variation between scenes, so the difference by scene is tested,
never the two means. Training seeds, where several are given, add a variance of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.05
RESAMPLES = 10_000
# Below this many scenes a bootstrap interval is too short to carry a claim.
MIN_SCENES = 20

_SEED = 20180614
_BLOCK = 2**22


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference a - b over shared scenes.

    Attributes:
        mean: mean of a - b.
        stderr: its standard error; it holds the variance over seeds where both a and b were trained with several.
        z: mean / stderr.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p: two-sided bootstrap p-value of "no difference", never below 1 / (resamples + 1).
        n: number of scenes.
    """

    mean: float
    stderr: float
    z: float
    low: float
    high: float
    p: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        return self.low, self.high


def bootstrap_difference(
    difference: np.ndarray, *, seed_means: Sequence[np.ndarray] = (), resamples: int = RESAMPLES
) -> PairedDifference:
    """Tests whether the mean of paired differences is zero.

    The scenes are resampled with replacement. Plain percentiles of the resampled means are too narrow, 93 % in place
    of 95 % at 20 scenes: their deviations are widened by sqrt(n / (n - 1)), the bias of the plug-in variance, and by
    sqrt((n - 1) / chi^2) with a draw of n - 1 degrees of freedom each, which turns normal tails into those of
    Student's t. Variation over training seeds enters each resample as s / sqrt(m) times a draw from Student's t with
    m - 1 degrees of freedom, the fiducial solution of Behrens and Fisher: with few seeds a bootstrap over seeds would
    be far too sure. The random numbers are fixed, so that a table is the same whenever it is made.

    Args:
        difference: [n] float, a - b by scene, n >= 2; means over seeds where there are several.
        seed_means: for a and for b, where trained with m >= 2 seeds, [m] means over scenes.
        resamples: bootstrap resamples.
    """
    n = len(difference)
    if n < 2:
        raise ValueError(f"a paired test needs at least 2 scenes, found {n}")
    mean = float(difference.mean())
    variances = [float(np.var(means, ddof=1)) / len(means) for means in seed_means]
    stderr = float(np.sqrt(np.var(difference, ddof=1) / n + sum(variances)))
    generator = np.random.default_rng(_SEED)
    centred = difference - mean
    block = max(1, _BLOCK // n)
    deviations = np.concatenate(
        [
            centred[generator.integers(0, n, size=(min(block, resamples - start), n), dtype=np.int32)].mean(axis=1)
            for start in range(0, resamples, block)
        ]
    ) * np.sqrt(n / generator.chisquare(n - 1, size=resamples))
    for means, variance in zip(seed_means, variances, strict=True):
        deviations += np.sqrt(variance) * generator.standard_t(len(means) - 1, size=resamples)
    means_of_resamples = mean + deviations
    low, high = np.quantile(means_of_resamples, [ALPHA / 2, 1 - ALPHA / 2])
    below = int((means_of_resamples <= 0).sum())
    above = int((means_of_resamples >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))
    z = mean / stderr if stderr > 0 else (0.0 if mean == 0 else float(np.copysign(np.inf, mean)))
    return PairedDifference(mean=mean, stderr=stderr, z=z, low=float(low), high=float(high), p=p, n=n)


def holm(p_values: Sequence[float], *, alpha: float = ALPHA) -> list[bool]:
    """Returns which hypotheses are rejected when the chance of any false rejection is to stay below ``alpha``.

    Holm (1979): the k-th smallest of m p-values is compared with alpha / (m - k + 1), until the first that fails.
    """
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected
