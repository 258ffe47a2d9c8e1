"""Claims judged from rows: the comparisons of each claim, and one Holm correction over all comparisons of the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from zoo.comparison.claim_file import Claim, Claims, DataChoice, Other
from zoo.comparison.comparability import differences_of, require_same_scenes, same_floor
from zoo.comparison.seed_groups import MissingRowsError, SeedGroup, seed_groups
from zoo.comparison.statistics import (
    ALPHA,
    MIN_SCENES,
    MIN_SEEDS,
    PairedDifference,
    holm_adjusted,
    paired_t_test_over_seeds,
)
from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ComparabilityKey, ResultRow

ClaimVerdict = Literal["holds", "does not hold", "undecided", "unknown"]

_WORST_FIRST = {"does not hold": 0, "undecided": 1, "holds": 2}


@dataclass(frozen=True)
class Comparison:
    """One comparison of a claim, before its test."""

    first: SeedGroup
    second: SeedGroup  # where two metrics are compared, the same as the first
    metric: str  # of the first
    other_metric: str  # of the second
    expected: int  # the claimed sign of first - second; 0 for "the same"
    same_trainings: bool = False  # both are the same trained models, so that seeds are paired as scenes are

    def test(self) -> PairedDifference:
        """Tests first - second; baselines do not count as seeds.

        Raises:
            MissingRowsError: if values per scene are missing.
            ResultError: if the sides were scored on different scenes, or on fewer than 2.
        """
        a, b = self.first.per_scene(self.metric), self.second.per_scene(self.other_metric)
        require_same_scenes(self.first, self.second)
        if self.same_trainings:
            a, b = a - b, np.zeros((1, b.shape[1]))
        seeds = min(len(side.rows) for side in (self.first, self.second) if not side.first.is_baseline)
        return replace(paired_t_test_over_seeds(a, b), seeds=seeds)


@dataclass(frozen=True)
class JudgedComparison:
    """A comparison with its test and verdict."""

    comparison: Comparison
    difference: PairedDifference
    p_holm: float  # after Holm's correction over the file
    verdict: ClaimVerdict
    reason: str  # why it is undecided although there are values; empty where the test does not decide

    @property
    def support(self) -> float:
        """The t statistic with the claimed sign; of "the same" minus its absolute value."""
        expected = self.comparison.expected
        return expected * self.difference.t if expected else -abs(self.difference.t)


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict.

    It is ``holds`` if all comparisons hold, ``does not hold`` if the opposite of one is established, ``unknown`` where rows
    are missing, else ``undecided``.
    """

    claim: Claim
    verdict: ClaimVerdict
    reason: str  # why it is undecided or unknown; empty where the test does not decide
    comparisons: tuple[JudgedComparison, ...]  # the one with the least support first; none where rows are missing
    failures: tuple[str, ...]  # measurements that failed and are not part of it


def judge_claims(claims: Claims, rows: Sequence[ResultRow], *, allow_missing: bool = False) -> tuple[JudgedClaim, ...]:
    """Judges every claim of a file; all established differences hold together with 95 % (Holm's correction).

    A difference is established if its p-value, after the correction over all comparisons of the file, is at most 0.05,
    with at least 20 scenes and 2 seeds. A comparison holds if the claimed difference is established, or no difference for
    "the same". Two numbers of context views, or two metrics, of the same trained models are compared seed by seed.

    Raises:
        ResultError: naming the claim, if rows may not be compared, or are missing; with ``allow_missing`` a claim whose
            rows or values are missing is unknown.
    """
    found: list[tuple[list[tuple[Comparison, PairedDifference]], str]] = []
    for number, claim in enumerate(claims.claims, start=1):
        try:
            compared = _comparisons_of(claim, claims.data[claim.data], rows)
            found.append(([(comparison, comparison.test()) for comparison in compared], ""))
        except ResultError as error:
            if not (allow_missing and isinstance(error, MissingRowsError)):
                raise ResultError(f"{claims.place(number)}: {error}") from None
            found.append(([], str(error)))
    adjusted = iter(holm_adjusted([test.p for tests, _ in found for _, test in tests]))
    judged = []
    for claim, (tests, missing) in zip(claims.claims, found, strict=True):
        comparisons = [_judge_comparison(*test, p_holm=next(adjusted)) for test in tests]
        comparisons.sort(key=lambda one: (_WORST_FIRST[one.verdict], one.support))
        verdict, reason = (comparisons[0].verdict, comparisons[0].reason) if comparisons else ("unknown", missing)
        failures = _failures_of(claim, claims.data[claim.data], rows)
        judged.append(JudgedClaim(claim, verdict, reason, tuple(comparisons), failures))
    return tuple(judged)


def _comparisons_of(claim: Claim, choice: DataChoice, rows: Iterable[ResultRow]) -> list[Comparison]:
    """Returns all comparisons of a claim, in the order of the variants' names.

    Raises:
        MissingRowsError: if a pattern matches no row, or rows lack the metric.
        ResultError: if the rows that match may not be compared, naming what differs.
    """
    ok = [row for row in rows if row.status == "ok" and row.metrics and row.key is not None]
    known = [row for row in ok if row.key is not None and _is_of(row.key, choice)]
    first = _select(known, claim, claim.variants)
    sign = 0 if claim.same_as is not None else _better_sign(first, claim.metric)
    other = claim.better_than or Other(variants=claim.same_as)
    if other.contexts is not None or other.metric is not None:
        _require_one_training_per_variant(first)
        second = first
        if other.contexts is not None:
            variants = [group.variant for group in first]
            second = _same_trainings(first, _select(known, claim, variants, contexts=other.contexts), other.contexts)
        metric = other.metric or claim.metric
        return [Comparison(a, b, claim.metric, metric, sign, True) for a, b in zip(first, second, strict=True)]
    second = _select(known, claim, other.baselines or other.variants or [], baselines=bool(other.baselines))
    if both := sorted({group.variant for group in first} & {group.variant for group in second}):
        raise ResultError(f"{', '.join(both)} is on both sides of the claim")
    for group in (*first[1:], *second):
        if found := differences_of(first[0], group, but=["task"] if other.across_tasks else []):
            raise ResultError(f"{first[0].variant!r} and {group.variant!r} are not comparable: {', '.join(found)}")
    _require_one_training_per_variant([*first, *second])
    return [Comparison(a, b, claim.metric, claim.metric, sign) for a in first for b in second]


def _select(
    rows: Sequence[ResultRow],
    claim: Claim,
    patterns: Sequence[str],
    *,
    contexts: int | None = None,
    baselines: bool = False,
) -> list[SeedGroup]:
    """Returns the models, or the baselines (each outcome once), that any pattern matches; each pattern must match one."""
    views = claim.contexts if contexts is None else contexts
    there = [row for row in rows if row.key is not None and row.key.num_context == views]
    groups = seed_groups(row for row in there if row.is_baseline == baselines)
    groups.sort(key=lambda group: (group.variant, group.first.provenance.config_hash, group.first.id))
    if baselines:
        outcomes = {(g.variant, g.key, str(g.first.metrics), str(g.first.per_scene)): g for g in reversed(groups)}
        groups = list(reversed(outcomes.values()))
    groups = [group for group in groups if not _matches(group.variant, claim.exclude)]
    for pattern in patterns:
        if not any(_matches(group.variant, [pattern]) for group in groups):
            variants = sorted({group.variant for group in groups})
            kind = "baseline " if baselines else ""
            hint = did_you_mean(pattern, variants) if variants else f"; there is no {kind}row at all"
            raise MissingRowsError(f"no {kind}row of {pattern!r} on {claim.data}, {views} context views{hint}")
    return [group for group in groups if _matches(group.variant, patterns)]


def _same_trainings(groups: Sequence[SeedGroup], others: Sequence[SeedGroup], contexts: int) -> list[SeedGroup]:
    """Returns, for each result, that of the same trainings with another number of context views."""
    _require_one_training_per_variant(others)
    found = []
    for group in groups:
        partners = [other for other in others if _training(other) == _training(group)]
        if len(partners) != 1 or not same_floor(group.floor, partners[0].floor):
            raise MissingRowsError(
                f"of {group.variant!r} the same trainings were not measured with {contexts} context views as well"
            )
        found.append(partners[0])
    return found


def _training(group: SeedGroup) -> tuple[object, ...]:
    """Returns what two measurements of the same weights share: variant, settings, key but for the context, checkpoints."""
    assert group.key is not None
    checkpoints = tuple((row.provenance.seed, row.budget.steps if row.budget else None) for row in group.rows)
    return group.variant, group.first.provenance.config_hash, group.key.without_context(), checkpoints


def _require_one_training_per_variant(groups: Sequence[SeedGroup]) -> None:
    seen: dict[tuple[str, ComparabilityKey | None], SeedGroup] = {}
    for group in groups:
        other = seen.setdefault((group.variant, group.key), group)
        if other is not group:
            rows = " and ".join(f"{g.first.id} (settings {g.first.provenance.config_hash})" for g in (other, group))
            raise ResultError(
                f"{group.variant!r} was trained or measured several times on the same scenes, by the rows {rows}: "
                "expected one training and one measurement per seed"
            )


def _better_sign(groups: Sequence[SeedGroup], metric: str) -> int:
    for group in groups:
        if metric in group.first.metrics:
            higher = group.first.metrics[metric].higher_is_better
            if higher is None:
                raise ResultError(f"neither direction of {metric!r} is better")
            return 1 if higher else -1
    raise MissingRowsError(f"{groups[0].variant!r} has no {metric!r}{did_you_mean(metric, groups[0].first.metrics)}")


def _judge_comparison(comparison: Comparison, difference: PairedDifference, *, p_holm: float) -> JudgedComparison:
    verdict: ClaimVerdict = "undecided"
    reason = ""
    if difference.seeds < MIN_SEEDS:
        reason = "one seed"
    elif difference.n < MIN_SCENES:
        reason = f"fewer than {MIN_SCENES} scenes"
    elif p_holm <= ALPHA:
        verdict = "holds" if difference.mean * comparison.expected > 0 else "does not hold"
    elif comparison.expected == 0:
        verdict = "holds"
    return JudgedComparison(comparison, difference, p_holm, verdict, reason)


def _failures_of(claim: Claim, choice: DataChoice, rows: Iterable[ResultRow]) -> tuple[str, ...]:
    """Returns the variants that a claim's patterns match and whose measurement on its data failed."""
    patterns = [*claim.variants, *(claim.same_as or []), *((claim.better_than and claim.better_than.variants) or [])]
    failed = (row for row in rows if row.status != "ok" and row.key is not None and _is_of(row.key, choice))
    matching = (row for row in failed if _matches(row.variant, patterns) and not _matches(row.variant, claim.exclude))
    return tuple(sorted({f"{row.variant} (seed {row.provenance.seed}: {row.status})" for row in matching}))


def _is_of(key: ComparabilityKey, choice: DataChoice) -> bool:
    return (
        key.dataset == choice.dataset
        and key.split == choice.split
        and choice.image_size in (None, key.image_size)
        and choice.task in (None, key.task)
        and key.revision.startswith(choice.revision or "")
        and choice.targets in (None, key.num_targets)
        and choice.likelihood in (None, key.likelihood)
        and (choice.sigma is None or f"{choice.sigma:.6g}" == f"{key.sigma or 0:.6g}")
    )


def _matches(variant: str, patterns: Iterable[str]) -> bool:
    """Returns whether a pattern matches ``gqn-tower@quickstart``, in full or without its size."""
    names = variant, variant.partition("@")[0]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
