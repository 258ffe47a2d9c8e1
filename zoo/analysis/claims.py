"""Claims about paired scores, and the rule by which they hold.

The claims of one analysis are tested together: a claim holds if the mean difference has the claimed sign and its p-value,
from the paired t-test of ``zoo.comparison.statistics`` and after Holm's correction over all tests, is at most 5 %. The
models are one training each, so that a claim is about these trained models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoo.comparison.statistics import ALPHA, PairedDifference, holm_adjusted, paired_t_test


class Claim(NamedTuple):
    """A statement with its measurement and verdict."""

    text: str
    measured: str  # the numbers, with their uncertainty
    holds: bool
    mean: float | None = None  # of the paired differences, or of what was measured; None: the claim has no interval
    low: float | None = None  # lower end of the 95 % interval of the mean
    high: float | None = None  # upper end
    unit: str = ""
    scenes: int | None = None  # number of paired scores
    paired_over: str = "scenes"  # what they are the scores of

    @property
    def sentence(self) -> str:
        """The claim in one line."""
        return f"{'yes' if self.holds else 'NO '}  {self.text}: {self.measured}"


class Expectation(NamedTuple):
    """A statement that holds if the mean of paired differences is below zero."""

    text: str
    difference: PairedDifference
    unit: str
    note: str = ""  # further numbers, before those of the difference

    @classmethod
    def below_zero(cls, text: str, difference: np.ndarray, *, unit: str, note: str = "") -> Expectation:
        """Expects paired differences [n] to be negative in the mean."""
        return cls(text, paired_t_test(difference), unit, note)

    @classmethod
    def less(cls, text: str, smaller: np.ndarray, larger: np.ndarray, *, unit: str) -> Expectation:
        """Expects scores [n] to be smaller in the mean than others [n] of the same scenes."""
        return cls.below_zero(
            text, smaller - larger, unit=unit, note=f"{smaller.mean():.4g} against {larger.mean():.4g}"
        )

    @classmethod
    def least_sure(cls, text: str, differences: Sequence[np.ndarray], *, unit: str, note: str = "") -> Expectation:
        """Expects each of several differences to be negative in the mean, and tests the one with the largest t."""
        tests = [paired_t_test(difference) for difference in differences]
        return cls(text, max(tests, key=lambda test: test.t), unit, note)


def conclude(expectations: Sequence[Expectation | Claim]) -> list[Claim]:
    """Tests the expectations of one analysis together; claims that are decided already keep their place."""
    adjusted = iter(holm_adjusted([each.difference.p for each in expectations if isinstance(each, Expectation)]))
    return [_claim(each, next(adjusted)) if isinstance(each, Expectation) else each for each in expectations]


def _claim(expectation: Expectation, p: float) -> Claim:
    found = expectation.difference
    note = f"{expectation.note}; " if expectation.note else ""
    unit = f" {expectation.unit}" if expectation.unit else ""
    return Claim(
        text=expectation.text,
        measured=f"{note}difference {found.mean:+.4g}{unit}, 95% interval {found.low:+.4g} to {found.high:+.4g}, over {found.n} "
        f"scenes, corrected p {p:.1g}",
        holds=found.has_enough_scenes and found.mean < 0.0 and p <= ALPHA,
        mean=found.mean,
        low=found.low,
        high=found.high,
        unit=expectation.unit,
        scenes=found.n,
    )
