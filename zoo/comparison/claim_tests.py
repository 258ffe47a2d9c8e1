"""Whether committed rows bear claims out: paired tests over scenes and seeds, corrected over all claims of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from zoo.comparison.claim_comparisons import Comparison, comparisons_of
from zoo.comparison.claim_file import Below, Claims, Same, Statement
from zoo.comparison.claim_rows import MissingRowsError, failures_of
from zoo.comparison.statistics import (
    ALPHA,
    MIN_SCENES,
    MIN_SEEDS,
    PairedDifference,
    holm_adjusted,
    paired_t_test_over_seeds,
)
from zoo.errors import ResultError
from zoo.results.row import ResultRow

Verdict = Literal["holds", "does not hold", "undecided", "unknown"]

_WORST_FIRST = {"does not hold": 0, "undecided": 1, "holds": 2}


@dataclass(frozen=True)
class JudgedComparison:
    """One comparison with its test.

    Attributes:
        comparison: what is compared.
        difference: first - second.
        p: after Holm's correction over all comparisons of the file.
        verdict: ``holds`` or ``does not hold`` where that is established with 95 % for all comparisons together.
        reason: why it is undecided although figures are there; empty where the test itself does not decide.
    """

    comparison: Comparison
    difference: PairedDifference
    p: float
    verdict: Verdict
    reason: str

    @property
    def favour(self) -> float:
        """Standard errors by which the difference lies on the side that was claimed; of ``same`` minus the distance."""
        expected = self.comparison.expected
        return expected * self.difference.t if expected else -abs(self.difference.t)


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict.

    Attributes:
        statement: the claim.
        verdict: ``holds`` if all comparisons hold (with ``any`` one of them), ``does not hold`` if the opposite of one is
            established (with ``any`` of all), ``unknown`` where rows are missing, else ``undecided``.
        reason: what makes it undecided or unknown; empty where it is the test.
        comparisons: all comparisons, none where rows are missing.
        failures: measurements that failed and are hence not in it.
    """

    statement: Statement
    verdict: Verdict
    reason: str
    comparisons: tuple[JudgedComparison, ...]
    failures: tuple[str, ...]

    @property
    def decisive(self) -> JudgedComparison | None:
        """The comparison that is worst for the claim, with ``any`` the best; None if there is none."""
        ranked = sorted(self.comparisons, key=lambda judged: (_WORST_FIRST[judged.verdict], judged.favour))
        if not ranked:
            return None
        return ranked[-1 if _one_is_enough(self.statement) else 0]

    @property
    def holding(self) -> int:
        """How many of the comparisons hold."""
        return sum(judged.verdict == "holds" for judged in self.comparisons)


@dataclass(frozen=True)
class Judgement:
    """All claims of a file, judged together.

    Attributes:
        title: head of the file.
        claims: in the order of the file.
    """

    title: str
    claims: tuple[JudgedClaim, ...]

    @property
    def tested(self) -> int:
        """How many comparisons the p-values are corrected for."""
        return sum(len(claim.comparisons) for claim in self.claims)

    def count(self, verdict: Verdict) -> int:
        """Returns how many claims have a verdict."""
        return sum(claim.verdict == verdict for claim in self.claims)


def judge(claims: Claims, rows: Sequence[ResultRow], *, allow_missing: bool = False) -> Judgement:
    """Judges every claim from rows; all differences that are established are so together, with 95 % (Holm's correction).

    A difference between variants is tested as in tables (``zoo.comparison.statistics.paired_t_test_over_seeds``). Between two
    numbers of context views, or two metrics, of the same trained models the differences themselves are tested, seed by
    seed: what a training has in common with itself takes no part in their spread. With one training a variant, or fewer
    than 20 scenes, every claim is undecided, however clear the figures are. That ``same`` holds says that no difference
    was found or, with ``within``, that the 95 % interval of each comparison by itself excludes a larger one.

    Args:
        claims: what is claimed.
        rows: in any order.
        allow_missing: a claim whose rows or figures are not there yet is ``unknown``. Rows that are there and may not be
            compared remain an error: such a claim, or such a folder, has to be mended and not waited for.

    Raises:
        ResultError: naming the claim, if rows are missing or may not be compared.
    """
    found: list[list[Comparison]] = []
    scores: list[tuple[np.ndarray, np.ndarray]] = []
    missing: list[str] = []
    for number, statement in enumerate(claims.statements, start=1):
        own: list[Comparison] = []
        reason = ""
        try:
            own = comparisons_of(statement, claims.data[statement.data], rows)
            scores += [comparison.scores() for comparison in own]
        except ResultError as error:
            if not (allow_missing and isinstance(error, MissingRowsError)):
                raise ResultError(f"{claims.place(number)}: {error}") from None
            own, reason = [], str(error)
        found.append(own)
        missing.append(reason)
    differences = iter([paired_t_test_over_seeds(a, b) for a, b in scores])
    paired = [[replace(next(differences), seeds=comparison.seeds) for comparison in own] for own in found]
    adjusted = iter(holm_adjusted([difference.p for own in paired for difference in own]))
    judged = []
    for statement, own, tests, reason in zip(claims.statements, found, paired, missing, strict=True):
        comparisons = tuple(
            _judged(statement, comparison, difference, p=next(adjusted))
            for comparison, difference in zip(own, tests, strict=True)
        )
        failures = tuple(failures_of(statement, claims.data[statement.data], rows))
        judged.append(_claim(statement, comparisons, missing=reason, failures=failures))
    return Judgement(title=claims.title, claims=tuple(judged))


def _judged(
    statement: Statement, comparison: Comparison, difference: PairedDifference, *, p: float
) -> JudgedComparison:
    verdict: Verdict = "undecided"
    reason = ""
    established = p <= ALPHA and difference.excludes_zero
    if difference.seeds < MIN_SEEDS:
        reason = "one seed"
    elif difference.n < MIN_SCENES:
        reason = f"fewer than {MIN_SCENES} scenes"
    elif isinstance(statement, Same):
        margin = 0.0 if statement.within is None else statement.within
        if established and not _meet(difference, margin):
            verdict = "does not hold"
        elif statement.within is None or (-margin <= difference.low and difference.high <= margin):
            verdict = "holds"
    elif established:
        verdict = "holds" if difference.mean * comparison.expected > 0 else "does not hold"
    return JudgedComparison(comparison, difference, p=p, verdict=verdict, reason=reason)


def _meet(difference: PairedDifference, margin: float) -> bool:
    """Returns whether the 95 % interval and +-margin have anything in common."""
    return difference.low <= margin and difference.high >= -margin


def _claim(
    statement: Statement, comparisons: tuple[JudgedComparison, ...], *, missing: str, failures: tuple[str, ...]
) -> JudgedClaim:
    verdict: Verdict = "unknown"
    if comparisons:
        decisive = any if _one_is_enough(statement) else all
        refuting = all if _one_is_enough(statement) else any
        if decisive(judged.verdict == "holds" for judged in comparisons):
            verdict = "holds"
        elif refuting(judged.verdict == "does not hold" for judged in comparisons):
            verdict = "does not hold"
        else:
            verdict = "undecided"
    claim = JudgedClaim(statement, verdict, missing, comparisons, failures)
    if verdict == "undecided" and claim.decisive is not None:
        return replace(claim, reason=claim.decisive.reason)
    return claim


def _one_is_enough(statement: Statement) -> bool:
    return isinstance(statement, Below) and statement.any
