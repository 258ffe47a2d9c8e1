"""Conservative paired t-tests over scenes and seeds, and Holm's correction.

Two models that are scored on the same scenes share most of the variation between scenes, so the difference per scene is
tested and not the two means. Training seeds add a variance of their own.

The difference of scene i between the trainings with seed s is modelled as d_si = mean + preference_i + seed_s + rest_si, all
normal. Three mean squares estimate the variance of its mean: V over scenes (averaged over seeds), S over seeds (averaged over
scenes) and their interaction E, which V and S both contain once. V - E has enough degrees of freedom to be subtracted; S of
few seeds is small by chance so often that subtracting from it, or adding up degrees of freedom (Welch 1947, Satterthwaite 1946),
multiplies false positives near p = 0.0003. So S counts in full and with its own m - 1 degrees of freedom: the half-width of
an interval at level alpha is

    sqrt(t(n - 1)^2 max(0, V - E) + t(m - 1)^2 S),  t(f) the 1 - alpha / 2 quantile of Student's t,

after Banerjee (1960). It is conservative for any true variances v_k: the distribution function F of a chi-square with one
degree of freedom is concave, hence F(sum_k w_k x_k) >= sum_k w_k F(x_k) for weights w_k = v_k / sum v, and each F(t(f_k)^2
chi^2_f_k / f_k) is 1 - alpha in the mean. It is exact where scenes or seeds alone vary; where both do, it loses power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

ALPHA = 0.05
# With fewer scenes the mean of a skewed difference is too far from normal for a t-interval.
MIN_SCENES = 20
# One training does not show how training varies: a claim about a variant needs more.
MIN_SEEDS = 2
# Smaller p-values are reported as zero.
LEAST_P = 1e-100


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference a - b over shared scenes."""

    mean: float
    stderr: float  # of the mean; includes the variance over seeds where a or b has several
    t: float  # mean / stderr
    low: float  # lower end of the 95 % interval
    high: float  # upper end
    p: float  # two-sided, of "no difference"
    n: int  # scenes
    seeds: int  # the smaller number of a and b

    @property
    def has_enough_scenes(self) -> bool:
        """Whether there are at least ``MIN_SCENES`` scenes, so that the interval is reliable."""
        return self.n >= MIN_SCENES

    @property
    def excludes_zero(self) -> bool:
        """Whether the 95 % interval excludes zero, with enough scenes."""
        return self.has_enough_scenes and not self.low <= 0 <= self.high


def paired_t_test(difference: np.ndarray) -> PairedDifference:
    """Tests whether the mean of paired differences [n] is zero, each model being one training.

    Raises:
        ValueError: for fewer than 2 scenes.
    """
    difference = np.asarray(difference, dtype=float)
    return paired_t_test_over_seeds(difference[None], np.zeros((1, len(difference))), same_seeds=True)


def paired_t_test_over_seeds(a: np.ndarray, b: np.ndarray, *, same_seeds: bool) -> PairedDifference:
    """Tests whether a and b have the same mean over scenes and seeds.

    Equal seeds mean equal data: the order of the scenes, the views drawn from them and the noise are functions of the seed,
    so the same seed is lucky or unlucky with both sides and the trainings are paired as the scenes are. Pairing is valid
    also where nothing is shared, and costs no width. Two copies of the same scores have a difference of exactly 0, and an
    interval of width 0. With one seed on both sides this is Student's paired t-test: it is about these trained models.

    Args:
        a: [seeds, n] scores per scene, n >= 2, the scenes in the same order as in ``b``.
        b: [seeds, n]; with other seeds than ``a``, maybe of another number, or a single row that has no seed.
        same_seeds: whether both sides have the same seeds in the same order.

    Raises:
        ValueError: for fewer than 2 scenes.
    """
    n = a.shape[1]
    if n < 2:
        raise ValueError(f"a paired test needs at least 2 scenes, found {n}")
    mean = float((a.mean(axis=0) - b.mean(axis=0)).mean())
    components = variance_components(a, b, same_seeds=same_seeds)
    stderr = math.sqrt(sum(float(variance) for variance, _ in components))
    half_width = float(half_width_of(components, ALPHA))
    return PairedDifference(
        mean=mean,
        stderr=stderr,
        t=mean / stderr if stderr > 0 else math.copysign(math.inf, mean) if mean else 0.0,
        low=mean - half_width,
        high=mean + half_width,
        p=_p_value(abs(mean), components),
        n=n,
        seeds=min(len(a), len(b)),
    )


def variance_components(a: np.ndarray, b: np.ndarray, *, same_seeds: bool) -> list[tuple[np.ndarray, int]]:
    """Returns the variances [...] of the mean difference over scenes and over seeds, with their degrees of freedom.

    Args:
        a: [..., seeds, n] scores per scene.
        b: [..., seeds, n]
        same_seeds: whether the seeds are paired; otherwise each side that has several has a component of its own.
    """
    n = a.shape[-1]
    scenes = (a.mean(axis=-2) - b.mean(axis=-2)).var(axis=-1, ddof=1) / n
    seeds = []
    for scores in [a - b] if same_seeds or 1 in (a.shape[-2], b.shape[-2]) else [a, b]:
        m = scores.shape[-2]
        if m > 1:
            means = scores.mean(axis=-1, keepdims=True)
            rest = scores - means - (scores - means).mean(axis=-2, keepdims=True)
            scenes = scenes - (rest**2).sum(axis=(-2, -1)) / ((m - 1) * (n - 1) * m * n)
            seeds.append((means[..., 0].var(axis=-1, ddof=1) / m, m - 1))
    return [(np.maximum(scenes, 0.0), n - 1), *seeds]


def half_width_of(components: Sequence[tuple[np.ndarray, int]], level: float) -> np.ndarray:
    """Returns the half-width [...] of the interval that excludes the true mean in at most ``level`` of all samples."""
    return np.sqrt(sum(stdtrit(freedom, level / 2) ** 2 * variance for variance, freedom in components))


def _p_value(distance: float, components: Sequence[tuple[np.ndarray, int]]) -> float:
    """Returns the level at which the interval's half-width is the distance of the mean from zero."""
    if distance == 0:
        return 1.0
    if half_width_of(components, LEAST_P) < distance:
        return 0.0

    def excess(logarithm: float) -> float:
        return float(half_width_of(components, math.exp(logarithm))) - distance

    return math.exp(brentq(excess, math.log(LEAST_P), 0.0, xtol=1e-13))


def holm(p_values: Sequence[float]) -> list[bool]:
    """Returns which hypotheses are rejected such that the chance of any false rejection is at most ``ALPHA``.

    Holm (1979): the k-th smallest of m p-values is compared with alpha / (m - k + 1), until the first that fails.
    """
    return [p <= ALPHA for p in holm_adjusted(p_values)]


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values after Holm's correction: at most ``ALPHA`` where :func:`holm` rejects."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    return adjusted.tolist()
