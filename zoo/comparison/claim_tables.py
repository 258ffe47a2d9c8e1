"""Claims with their verdicts as a table for people, and every comparison as a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

import pandas as pd

from zoo.comparison.claims import Comparison, JudgedClaim
from zoo.comparison.formatting import sanitize, with_interval
from zoo.comparison.markup import Table
from zoo.comparison.records import Record, seven_digits
from zoo.comparison.statistics import MIN_SCENES, MIN_SEEDS
from zoo.results.metrics import metric_info

_COLUMNS = ("claim", "verdict", "in favour", "comparison", "difference [95%]", "p", "scenes × seeds")
_NUMBERS = frozenset({"in favour", "difference [95%]", "p", "scenes × seeds"})


def table_of_claims(title: str, claims: Sequence[JudgedClaim]) -> Table:
    """Returns one row per claim: the verdict, how many comparisons are in its favour, and that with the least support."""
    cells = [_cells(place, claim) for place, claim in enumerate(claims, start=1)]
    head = sanitize(f"{title}: {_summary(claims)}")
    return Table(head, pd.DataFrame(cells, columns=list(_COLUMNS)), _NUMBERS, notes=_notes(claims))


def _summary(claims: Sequence[JudgedClaim]) -> str:
    """Returns ``3 of 6 claims hold, 1 does not, 2 undecided``."""
    count = Counter(claim.verdict for claim in claims)
    held, refuted = count["holds"], count["does not hold"]
    parts = [f"{held} of {len(claims)} claim{'s' if len(claims) > 1 else ''} hold{'s' if len(claims) == 1 else ''}"]
    if refuted:
        parts.append(f"{refuted} do{'es' if refuted == 1 else ''} not")
    return ", ".join(
        parts + [f"{count[word]} {word}" for word in ("undecided", "exploratory", "unknown") if count[word]]
    )


def claim_records(claims: Sequence[JudgedClaim]) -> list[Record]:
    """Returns one record per comparison, and one for a claim without any; numbers have seven digits."""
    records: list[Record] = []
    for place, judged in enumerate(claims, start=1):
        about: Record = {
            "claim": place,
            "text": judged.claim.text,
            "data": judged.claim.data,
            "family": judged.claim.family,
            "claim_verdict": judged.verdict,
            "claim_reason": judged.reason,
            "claim_p_holm": None if judged.p is None else seven_digits(judged.p),
        }
        own = sorted((_record(comparison) for comparison in judged.comparisons), key=itemgetter("first", "second"))
        records += [about | record for record in own] or [about]
    return records


def _cells(place: int, judged: JudgedClaim) -> dict[str, str]:
    cells = dict.fromkeys(_COLUMNS, "")
    undecided = f"{judged.verdict} ({judged.reason})" if judged.verdict == "undecided" and judged.reason else ""
    cells |= {"claim": sanitize(f"{place}. {judged.claim.text}"), "verdict": undecided or judged.verdict}
    if judged.comparisons:
        worst = judged.comparisons[0]
        difference = worst.difference
        p = judged.p
        cells |= {
            "in favour": f"{sum(found.in_favour for found in judged.comparisons)} of {len(judged.comparisons)}",
            "comparison": sanitize(_words(worst)),
            "difference [95%]": " ".join(with_interval(difference, signed=True)),
            "p": "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}",
            "scenes × seeds": f"{difference.n} × {difference.seeds}",
        }
    return cells


def _words(comparison: Comparison) -> str:
    """Returns what is subtracted from what."""
    metric, other = metric_info(comparison.metric).title, metric_info(comparison.other_metric).title
    first, second = comparison.first, comparison.second
    if metric != other:
        return f"{first.variant}: {metric} − {other}"
    if comparison.same_trainings:
        assert first.key is not None and second.key is not None
        views = f"{first.key.num_context} − {second.key.num_context} context views"
        return f"{first.variant}: {views}, {metric}"
    return f"{first.variant} − {second.variant}, {metric}"


def _notes(claims: Sequence[JudgedClaim]) -> tuple[str, ...]:
    notes = []
    if any(claim.comparisons for claim in claims):
        families = len({claim.claim.family for claim in claims})
        notes.append(
            "Paired t-tests over scenes and seeds. The p-value of a claim is the largest of its comparisons, or of the opposite "
            "the smallest times their number, after Holm's correction over the claims"
            f"{' of its family' if families > 1 else ''}. A claim holds if p is at most 0.05, with at least {MIN_SCENES} scenes "
            f"and {MIN_SEEDS} seeds (baselines have no seeds); it does not hold if that is so of the opposite of a comparison. A "
            "control, outside the correction, holds unless a difference is established. "
            f"{'Claims behind a family that does not hold as a whole are exploratory. ' if families > 1 else ''}"
            "In favour: comparisons whose own 95% interval is on the claimed side of zero. The one with the least support is "
            "shown, first minus second, with that interval; bounds are in nats per target."
        )
    for place, claim in enumerate(claims, start=1):
        if claim.verdict == "unknown":
            notes.append(sanitize(f"Claim {place} is unknown: {claim.reason}."))
        if claim.failures:
            notes.append(sanitize(f"Not in claim {place}, as the measurement failed: {', '.join(claim.failures)}."))
    return tuple(notes)


def _record(comparison: Comparison) -> Record:
    difference = comparison.difference
    key, other = comparison.first.key, comparison.second.key
    assert key is not None and other is not None
    return {
        "in_favour": comparison.in_favour,
        "fault": comparison.fault,
        "first": comparison.first.variant,
        "second": comparison.second.variant,
        "first_metric": comparison.metric,
        "second_metric": comparison.other_metric,
        "unit": comparison.first.first.metrics[comparison.metric].unit,
        "second_contexts": other.num_context,
        **key.model_dump(),
        "difference": seven_digits(difference.mean),
        **{name: seven_digits(getattr(difference, name)) for name in ("low", "high", "stderr", "p")},
        "scenes": difference.n,
        "first_seeds": len(comparison.first.rows),
        "second_seeds": len(comparison.second.rows),
        "first_rows": " ".join(row.id for row in comparison.first.rows),
        "second_rows": " ".join(row.id for row in comparison.second.rows),
    }
