"""Paired tests for results that were scored on the same scenes.

Two models that see the same scenes share most of the variation between scenes, so the difference by scene is tested,
never the two means. Training seeds, where several are given, add a variance of their own.

A score is taken for x_si = mean + scene_i + variant's liking of scene_i + seed_s + rest_si. What the difference of two
variants varies by is then estimated from three mean squares: over scenes V (seeds averaged), over seeds S (scenes
averaged), and their interaction E, which both hold once. The variance of the mean difference is V + max(0, S - E), and
its degrees of freedom follow Welch and Satterthwaite (1946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ALPHA = 0.05
RESAMPLES = 10_000
# Below this many scenes a bootstrap interval is too short to carry a claim.
MIN_SCENES = 20
# One training says nothing of how training varies: what is claimed of a variant needs more.
MIN_SEEDS = 2

_SEED = 20180614
_BLOCK = 2**22


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference a - b over shared scenes.

    Attributes:
        mean: mean of a - b.
        stderr: its standard error; it holds the variance over seeds of those of a and b that were trained with several.
        z: mean / stderr.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p: two-sided bootstrap p-value of "no difference", never below 1 / (resamples + 1).
        n: number of scenes.
        seeds: the smaller number of seeds of a and b.
    """

    mean: float
    stderr: float
    z: float
    low: float
    high: float
    p: float
    n: int
    seeds: int = 1

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        return self.low, self.high

    @property
    def tests(self) -> bool:
        """Whether there are scenes enough for the interval to carry a claim."""
        return self.n >= MIN_SCENES

    @property
    def excludes_zero(self) -> bool:
        """Whether the 95 % interval excludes zero and may carry a claim."""
        return self.tests and not self.low <= 0 <= self.high


def bootstrap_difference(difference: np.ndarray, *, resamples: int = RESAMPLES) -> PairedDifference:
    """Tests whether the mean of paired differences [n], n >= 2, is zero, each model being one training.

    Raises:
        ValueError: for fewer than 2 scenes.
    """
    difference = np.asarray(difference, dtype=float)
    return bootstrap_differences(difference[None, None], np.zeros((1, 1, len(difference))), resamples=resamples)[0]


def bootstrap_differences(a: np.ndarray, b: np.ndarray, *, resamples: int = RESAMPLES) -> list[PairedDifference]:
    """Tests, for each of k pairs, whether a and b have the same mean over scenes and seeds.

    The scenes are resampled with replacement, the same for a and b, each standing for its mean over seeds. A handful of
    seeds cannot be resampled: three have ten different resamples, whose spread is too small by a factor sqrt(2 / 3).
    Their part of every resample is a normal draw of variance max(0, S - E) in their place (0 where there is one seed,
    so that the answer is about these trained models). Plain percentiles of such means are too narrow, 93 % in place of
    95 % at 20 scenes: their deviations are widened by sqrt(n / (n - 1)), the bias of the plug-in variance, and by
    sqrt(f / chi^2_f) with the f degrees of freedom of the whole variance, which turns normal tails into those of
    Student's t. The random numbers are fixed, so that a table is the same whenever it is made.

    With seeds in equal numbers 4 to 5 % of true null hypotheses are rejected at 5 % (2 seeds: 3 to 7 %); fewer, 3 %,
    where two variants are alike on every scene and their seeds differ by nothing but noise. Where one side has 2 seeds
    and varies more than the other with many, it can be 12 %.

    Args:
        a: [k, seeds, n] scores of scenes, n >= 2, the scenes in the same order as those of ``b``.
        b: [k, seeds, n]; it may have another number of seeds: they are not paired.
        resamples: bootstrap resamples.

    Raises:
        ValueError: for fewer than 2 scenes.
    """
    n = a.shape[-1]
    if n < 2:
        raise ValueError(f"a paired test needs at least 2 scenes, found {n}")
    difference = a.mean(axis=1) - b.mean(axis=1)
    mean = difference.mean(axis=1)
    over_scenes = difference.var(axis=1, ddof=1) / n
    over_seeds, freedom = _seeds_part(a, b, over_scenes=over_scenes)
    stderr = np.sqrt(over_scenes + over_seeds)
    deviations = _resampled_means(difference - mean[:, None], resamples=resamples) * np.sqrt(n / (n - 1))
    normal = np.random.default_rng(_SEED + 1).standard_normal(resamples)
    seeds = min(a.shape[1], b.shape[1])
    found = []
    for index in range(len(mean)):
        widening = np.sqrt(freedom[index] / _chi_squares(float(freedom[index]), resamples))
        means = mean[index] + (deviations[index] + np.sqrt(over_seeds[index]) * normal) * widening
        low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
        fewer = min(int((means <= 0).sum()), int((means >= 0).sum()))
        found.append(
            PairedDifference(
                mean=float(mean[index]),
                stderr=float(stderr[index]),
                z=_ratio(float(mean[index]), float(stderr[index])),
                low=float(low),
                high=float(high),
                p=min(1.0, 2 * (fewer + 1) / (resamples + 1)),
                n=n,
                seeds=seeds,
            )
        )
    return found


def _seeds_part(a: np.ndarray, b: np.ndarray, *, over_scenes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns [k] the variance that seeds add to a mean difference, and [k] the degrees of freedom of the whole."""
    n = a.shape[-1]
    sides = []
    for scores in (a, b):
        m = scores.shape[1]
        if m > 1:
            mean_square = scores.mean(axis=2).var(axis=1, ddof=1) / m
            rest = scores - scores.mean(axis=2, keepdims=True) - scores.mean(axis=1, keepdims=True)
            rest += scores.mean(axis=(1, 2), keepdims=True)
            interaction = (rest**2).sum(axis=(1, 2)) / ((m - 1) * (n - 1) * m * n)
            sides.append((mean_square, mean_square - interaction, m - 1))
    added = np.maximum(0.0, sum((net for _, net, _ in sides), np.zeros_like(over_scenes)))
    # The mean squares themselves, not what is left of them, say how well the part of the seeds is known.
    spread = over_scenes**2 / (n - 1)
    for mean_square, net, freedom in sides:
        spread = spread + np.where((added > 0) & (net > 0), mean_square**2 / freedom, 0.0)
    total = over_scenes + added
    return added, np.divide(total**2, spread, out=np.full_like(total, n - 1.0), where=spread > 0)


def _resampled_means(centred: np.ndarray, *, resamples: int) -> np.ndarray:
    """Returns [k, resamples] means of [k, n] values over scenes drawn with replacement, the same scenes for all k."""
    n = centred.shape[1]
    counts = _counts(n, resamples)
    block = max(1, _BLOCK // n)
    parts = [centred @ counts[start : start + block].astype(float).T for start in range(0, resamples, block)]
    return np.concatenate(parts, axis=1) / n


@lru_cache(maxsize=4)
def _counts(n: int, resamples: int) -> np.ndarray:
    """Returns [resamples, n] how often each of n scenes is in each resample."""
    generator = np.random.default_rng(_SEED)
    counts = np.empty((resamples, n), dtype=np.uint8 if n < 256 else np.uint16)
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        part = counts[start : start + block]
        drawn = generator.integers(0, n, size=part.shape) + n * np.arange(len(part))[:, None]
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    return counts


@lru_cache(maxsize=4)
def _chi_squares(freedom: float, resamples: int) -> np.ndarray:
    return np.random.default_rng(_SEED + 2).chisquare(freedom, size=resamples)


def _ratio(mean: float, stderr: float) -> float:
    if stderr > 0:
        return mean / stderr
    return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))


def holm(p_values: Sequence[float], *, alpha: float = ALPHA) -> list[bool]:
    """Returns which hypotheses are rejected when the chance of any false rejection is to stay below ``alpha``.

    Holm (1979): the k-th smallest of m p-values is compared with alpha / (m - k + 1), until the first that fails.
    """
    return [p <= alpha for p in holm_adjusted(p_values)]


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values after Holm's correction: at most ``alpha`` where :func:`holm` rejects at ``alpha``."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted
