"""Which results may be compared: bounds with one key and floor, lossless code lengths over likelihoods.

Bounds in nats depend on the likelihood and its sigma, so both are part of the key. The lossless code length of the 8-bit
values, in bits/dim, means the same for every model, so it is compared over likelihoods and sigmas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from zoo.comparison.seed_groups import SeedGroup
from zoo.comparison.statistics import PairedDifference, paired_t_test_over_seeds
from zoo.errors import ResultError
from zoo.results.row import ComparabilityKey

CODE_LENGTH = "bits_per_dim"
_ANY_LIKELIHOOD = "8-bit values"
# Rows computed in float32 on different machines may differ in one floor by this much, relatively.
_SAME_FLOOR = 1e-4


class NotComparableError(ResultError):
    """Two results differ in what they must share before they may be compared."""

    exit_code = 3


def code_length_key(key: ComparabilityKey) -> ComparabilityKey:
    """Returns what lossless code lengths must share: the key without likelihood and sigma."""
    return key.model_copy(update={"likelihood": _ANY_LIKELIHOOD, "sigma": None})


def same_floor(first: float | None, second: float | None) -> bool:
    """Returns whether two floors agree, up to rounding; an unknown floor agrees with any."""
    if first is None or second is None:
        return True
    return abs(first - second) <= _SAME_FLOOR * max(1.0, abs(first), abs(second))


def differences_of(a: SeedGroup, b: SeedGroup, *, but: Iterable[str] = ()) -> list[str]:
    """Returns a phrase for each entry of the key, or the floor, in which two results differ, except those of ``but``."""
    assert a.key is not None and b.key is not None
    found = [phrase for phrase in a.key.differences(b.key) if phrase.split(" ", 1)[0] not in set(but)]
    if not found and not same_floor(a.floor, b.floor):
        return [f"floor {a.floor} against {b.floor}"]
    return found


def unlike_units(a: SeedGroup, b: SeedGroup, metric: str, other_metric: str) -> str:
    """Returns the units of a metric of a and another of b if they differ, else nothing.

    Units state the number of samples of a prediction where a metric depends on it; a baseline has no samples.
    """
    first, second = a.first.metrics.get(metric), b.first.metrics.get(other_metric)
    if first is None or second is None:
        return ""
    units = first.unit, second.unit
    if a.first.is_baseline or b.first.is_baseline:
        units = units[0].partition(",")[0], units[1].partition(",")[0]
    return "" if units[0] == units[1] else f"{metric} in {units[0]!r} against {other_metric} in {units[1]!r}"


def require_comparable(a: SeedGroup, b: SeedGroup, *, metric: str | None = None) -> None:
    """Checks that two results may be compared, in every respect or in one metric.

    Raises:
        NotComparableError: naming every entry of the key that differs.
    """
    names = f"{a.variant!r} and {b.variant!r}"
    if a.key is None or b.key is None:
        raise NotComparableError(f"{names} are not comparable: one of them has no evaluation")
    if metric == CODE_LENGTH:
        found = code_length_key(a.key).differences(code_length_key(b.key))
    else:
        found = differences_of(a, b)
    if found:
        raise NotComparableError(f"{names} are not comparable: {', '.join(found)}")


def share_code_length_only(a: SeedGroup, b: SeedGroup) -> bool:
    """Returns whether likelihood or sigma differ and nothing else, so that only the code lengths are comparable."""
    if a.key is None or b.key is None or not all(CODE_LENGTH in side.first.metrics for side in (a, b)):
        return False
    return bool(differences_of(a, b)) and code_length_key(a.key) == code_length_key(b.key)


def paired_difference(a: SeedGroup, b: SeedGroup, metric: str = "nelbo_excess") -> PairedDifference:
    """Tests a - b of a metric over the scenes that both were scored on.

    Raises:
        ResultError: if the keys or the scenes differ, if there are fewer than 2 scenes, or values per scene are missing.
    """
    require_comparable(a, b, metric=metric)
    return difference_of(a, b, metric, metric)


def difference_of(a: SeedGroup, b: SeedGroup, metric: str, other_metric: str) -> PairedDifference:
    """Tests a metric of a - another metric of b, whose keys may differ; trainings with the same seeds are paired.

    The number of seeds in the result is the smaller one of both sides, where baselines do not count.

    Raises:
        MissingRowsError: if values per scene are missing.
        ResultError: if the metrics have different units, or the sides were scored on different scenes, or on fewer than 2.
    """
    if found := unlike_units(a, b, metric, other_metric):
        raise NotComparableError(f"{a.variant!r} and {b.variant!r} are not comparable: {found}")
    values = a.per_scene(metric), b.per_scene(other_metric)
    if a.scenes != b.scenes:
        raise NotComparableError(f"{a.variant!r} and {b.variant!r} are not comparable: scored on different scenes")
    if len(a.scenes) < 2:
        raise ResultError(f"a paired test needs at least 2 scenes, found {len(a.scenes)}")
    test = paired_t_test_over_seeds(*values, same_seeds=a.seeds == b.seeds)
    return replace(test, seeds=min((len(side.seeds) for side in (a, b) if side.seeds), default=1))


def difference_if_possible(a: SeedGroup, b: SeedGroup, metric: str) -> PairedDifference | None:
    """Tests a - b of a metric; returns None where values per scene are missing or do not fit."""
    try:
        return paired_difference(a, b, metric)
    except ResultError:
        return None
