"""Claims judged from rows: intersection-union tests, Holm's correction over claims, and families tested in order.

"Every x is better than every y" is an intersection-union test (Berger 1982): it is established if every comparison is, each at
the full level, so its p-value is the largest one. Families are gatekept in series (Westfall and Krishen 2001): each is
tested at the full level, as long as all claims of the families before it hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal

from zoo.comparison.claim_file import Claim, Claims, DataChoice, Other
from zoo.comparison.comparability import difference_of, differences_of, same_floor
from zoo.comparison.seed_groups import MissingRowsError, SeedGroup, seed_groups, without_superseded
from zoo.comparison.statistics import ALPHA, MIN_SCENES, MIN_SEEDS, PairedDifference, holm_adjusted
from zoo.errors import ResultError, did_you_mean
from zoo.results.row import ComparabilityKey, ResultRow

ClaimVerdict = Literal["holds", "does not hold", "undecided", "exploratory", "unknown"]


@dataclass(frozen=True)
class Comparison:
    """One comparison of a claim with its test, which has no verdict of its own: verdicts are on claims."""

    first: SeedGroup
    second: SeedGroup  # where two metrics are compared, the same as the first
    metric: str  # of the first
    other_metric: str  # of the second
    expected: int  # the claimed sign of first - second; 0 for "the same"
    same_trainings: bool = False  # both are the same trained models

    @cached_property
    def difference(self) -> PairedDifference:
        """The test of first - second; raises ResultError as :func:`zoo.comparison.comparability.difference_of`."""
        return difference_of(self.first, self.second, self.metric, self.other_metric)

    @property
    def fault(self) -> str:
        """Why the comparison decides nothing, however clear it is; empty if it may."""
        if self.difference.seeds < MIN_SEEDS:
            return "one seed"
        return "" if self.difference.has_enough_scenes else f"fewer than {MIN_SCENES} scenes"

    @property
    def has_claimed_sign(self) -> bool:
        """Whether the difference has the claimed sign; never for "the same"."""
        return self.difference.mean * self.expected > 0

    @property
    def in_favour(self) -> bool:
        """Whether the 95 % interval is on the claimed side of zero; for "the same", whether it contains zero."""
        claimed = self.has_claimed_sign if self.difference.excludes_zero else self.expected == 0
        return claimed and not self.fault

    @property
    def support(self) -> tuple[bool, float]:
        """Sorts comparisons, the one that speaks most against the claim first."""
        p = self.difference.p
        return self.has_claimed_sign, -p if self.has_claimed_sign else p


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict.

    It is ``holds`` if every comparison is established, ``does not hold`` if the opposite of one is, ``exploratory`` behind a
    family of which a claim does not hold, ``unknown`` where rows are missing, else ``undecided``.
    """

    claim: Claim
    verdict: ClaimVerdict
    reason: str  # why it is undecided or unknown; empty where the test does not decide
    p: float | None  # after Holm's correction; None if it is exploratory or unknown
    comparisons: tuple[Comparison, ...]  # the one with the least support first; none where rows are missing
    failures: tuple[str, ...]  # measurements that failed and are not part of it


def judge_claims(claims: Claims, rows: Sequence[ResultRow], *, allow_missing: bool = False) -> tuple[JudgedClaim, ...]:
    """Judges every claim of a file; all established differences hold together with 95 %.

    A claim is established if its p-value, after Holm's correction over the claims of its family, is at most 0.05, with at
    least 20 scenes and 2 seeds in each comparison; claims without rows count in the correction. A control ("the same") is an
    alarm and not a finding: it does not hold if its own p-value is at most 0.05, and does not count in the correction.

    Raises:
        ResultError: naming the claim, if rows may not be compared, or are missing; with ``allow_missing`` a claim whose
            rows or values are missing is unknown.
    """
    found: list[tuple[tuple[Comparison, ...], str]] = []
    for number, claim in enumerate(claims.claims, start=1):
        try:
            tests = _comparisons_of(claim, claims.data[claim.data], rows)
            found.append((tuple(sorted(tests, key=lambda test: test.support)), ""))
        except ResultError as error:
            if not (allow_missing and isinstance(error, MissingRowsError)):
                raise ResultError(f"{claims.place(number)}: {error}") from None
            found.append(((), str(error)))
    judged: dict[int, JudgedClaim] = {}
    is_open = True
    rows = without_superseded(rows)
    for family in claims.families or (None,):
        places = [place for place, claim in enumerate(claims.claims) if claim.family == family]
        own = {place: _p_of_claim(found[place][0]) for place in places}
        counted = [place for place in places if claims.claims[place].same_as is None]
        own |= zip(counted, holm_adjusted([own[place] for place in counted]), strict=True)
        for place in places:
            claim, (comparisons, missing) = claims.claims[place], found[place]
            verdict, reason = _verdict_of(comparisons, own[place]) if comparisons else ("unknown", missing)
            if comparisons and not is_open:
                verdict, reason = "exploratory", ""
            p = None if verdict in ("exploratory", "unknown") else own[place]
            failures = _failures_of(claim, claims.data[claim.data], rows)
            judged[place] = JudgedClaim(claim, verdict, reason, p, comparisons, failures)
        is_open = is_open and all(judged[place].verdict == "holds" for place in places)
    return tuple(judged[place] for place in range(len(claims.claims)))


def _p_of_claim(comparisons: Sequence[Comparison]) -> float:
    """Returns the p-value of a claim, before Holm's correction: of "holds" or, where one sign is wrong, of "does not hold".

    Every comparison must be established for the former, so the largest p-value counts. One is enough for the latter, so
    the smallest counts, times the number of comparisons (Bonferroni). Each verdict is wrong in at most half of ``ALPHA``,
    as it takes a significant difference with one of the two signs.
    """
    wrong = [test.difference.p for test in comparisons if not test.has_claimed_sign and not test.fault]
    if wrong:
        return min(1.0, len(comparisons) * min(wrong))
    return max((1.0 if test.fault else test.difference.p for test in comparisons), default=1.0)


def _verdict_of(comparisons: Sequence[Comparison], p: float) -> tuple[ClaimVerdict, str]:
    fault = next((test.fault for test in comparisons if test.fault), "")
    if p <= ALPHA:
        return ("holds" if all(test.has_claimed_sign for test in comparisons) else "does not hold"), ""
    return ("undecided", fault) if fault or comparisons[0].expected else ("holds", "")


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


def _failures_of(claim: Claim, choice: DataChoice, rows: Sequence[ResultRow]) -> tuple[str, ...]:
    """Returns the variants that a claim's patterns match and whose measurement on its data failed.

    The row of a job that failed does not name its data. It is included if the data have no row of its variant and seed.
    """
    patterns = [*claim.variants, *(claim.same_as or []), *((claim.better_than and claim.better_than.variants) or [])]
    own = [row for row in rows if row.key is not None and _is_of(row.key, choice)]
    measured = {(row.variant, row.provenance.seed) for row in own}
    unnamed = (row for row in rows if row.key is None and (row.variant, row.provenance.seed) not in measured)
    failures = {
        f"{row.variant} (seed {row.provenance.seed}: {row.status}{', perhaps on other data' if row.key is None else ''})"
        for row in (*own, *unnamed)
        if row.status != "ok" and _matches(row.variant, patterns) and not _matches(row.variant, claim.exclude)
    }
    return tuple(sorted(failures))


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
    """Returns whether a pattern matches ``gqn-tower@small``, in full or without its size."""
    names = variant, variant.partition("@")[0]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
