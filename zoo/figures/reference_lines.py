"""References in charts of a ranking metric: where their lines go, and what an axis says."""

from __future__ import annotations

from typing import NamedTuple

from zoo.comparison.leaderboards import Leaderboard
from zoo.results.metrics import metric_info

# A reference that is farther from the models than they are from one another would press them together.
_REACH = 1.0


class Mark(NamedTuple):
    """A reference with its value of the ranking metric, and whether it is near enough to be drawn."""

    name: str
    value: float
    near: bool


def reference_lines(group: Leaderboard) -> list[Mark]:
    """Returns the references of a group that have its ranking metric, best first."""
    if group.metric is None:
        return []
    values = [estimate.value for line in group.models if (estimate := line.estimate(group.metric)) is not None]
    if not values:
        return []
    low, high = min(values), max(values)
    reach = _REACH * (high - low)
    return [
        Mark(line.variant, estimate.value, near=low - reach <= estimate.value <= high + reach)
        for line in group.baselines
        if (estimate := line.estimate(group.metric)) is not None
    ]


def words_of_far(group: Leaderboard) -> str:
    """Returns a sentence about the references that are not drawn, with their values; empty if there are none."""
    far = [f"{mark.name} ({mark.value:.4g})" for mark in reference_lines(group) if not mark.near]
    return f"References too far away to be drawn: {', '.join(far)}." if far else ""


def axis_words(group: Leaderboard) -> str:
    """Returns what the axis of a group's ranking metric is called, with its unit."""
    return metric_info(group.metric or "").axis
