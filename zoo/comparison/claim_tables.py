"""Claims and their verdicts as a table for people, and every single comparison as a record of a CSV file."""

from __future__ import annotations

import pandas as pd

from zoo.comparison.claim_file import Below
from zoo.comparison.claim_tests import JudgedClaim, JudgedComparison, Judgement
from zoo.comparison.formatting import escape_formula, number, sanitize
from zoo.comparison.seed_groups import SeedGroup
from zoo.comparison.statistics import MIN_SCENES, MIN_SEEDS, PairedDifference
from zoo.comparison.table_rows import Table
from zoo.results.metrics import metric_info

COLUMNS = ("claim", "verdict", "hold", "worst comparison", "difference [95%]", "p", "scenes × seeds")
_NUMBERS = frozenset({"hold", "difference [95%]", "p", "scenes × seeds"})


def table_of_claims(judgement: Judgement) -> Table:
    """Lays the claims out, one line each: the verdict, how many comparisons hold, and the one that is worst for it."""
    return Table(
        title=sanitize(f"{judgement.title}: {_summary(judgement)}"),
        frame=pd.DataFrame(
            [_line(place, claim) for place, claim in enumerate(judgement.claims, start=1)], columns=list(COLUMNS)
        ),
        numbers=_NUMBERS,
        bold=None,
        failures=pd.DataFrame(),
        notes=_notes(judgement),
    )


def csv_of_claims(judgement: Judgement) -> str:
    """Returns one record a comparison, and one for a claim without any; figures have seven digits."""
    records: list[dict[str, object]] = []
    for place, claim in enumerate(judgement.claims, start=1):
        about = {
            "claim": place,
            "text": claim.statement.text,
            "kind": getattr(claim.statement, "kind", None),
            "data": claim.statement.data,
            "claim_verdict": claim.verdict,
            "claim_reason": claim.reason,
        }
        records += [about | _record(judged) for judged in claim.comparisons] or [about | _record(None)]
    safe = [{name: escape_formula(v) if isinstance(v, str) else v for name, v in record.items()} for record in records]
    return str(pd.DataFrame(safe, dtype=object).to_csv(index=False, lineterminator="\n"))


def _line(place: int, claim: JudgedClaim) -> dict[str, str]:
    judged = claim.decisive
    cells = dict.fromkeys(COLUMNS, "")
    cells |= {"claim": sanitize(f"{place}. {claim.statement.text}"), "verdict": sanitize(_verdict(claim))}
    if judged is not None:
        difference = judged.difference
        cells |= {
            "hold": f"{claim.holding} of {len(claim.comparisons)}",
            "worst comparison": sanitize(_pair(judged)),
            "difference [95%]": _difference(difference),
            "p": f"{judged.p:.3f}",
            "scenes × seeds": f"{difference.n} × {difference.seeds}",
        }
    return cells


def _verdict(claim: JudgedClaim) -> str:
    return f"{claim.verdict} ({claim.reason})" if claim.reason and claim.verdict == "undecided" else claim.verdict


def _pair(judged: JudgedComparison) -> str:
    """Returns what is subtracted from what, and only what tells the two apart where they are of one variant."""
    comparison = judged.comparison
    metric, than = (metric_info(name).title for name in (comparison.metric, comparison.than))
    first, second = comparison.first, comparison.second
    if metric != than:
        return f"{first.variant}: {metric} − {than}"
    if comparison.same_trainings:
        return f"{first.variant}: {_views(first)} − {_views(second)} context views, {metric}"
    return f"{first.variant} − {second.variant}, {metric}"


def _views(line: SeedGroup) -> int:
    assert line.first.key is not None
    return line.first.key.num_context


def _difference(difference: PairedDifference) -> str:
    spread = number(difference.mean, difference.stderr)[1]
    decimals = len(spread.partition(".")[2]) if spread else 3
    # Zero is added so that what rounds to zero is not written with a minus.
    mean, low, high = (
        f"{round(value, decimals) + 0.0:+.{decimals}f}" for value in (difference.mean, difference.low, difference.high)
    )
    return f"{mean} [{low}, {high}]"


def _summary(judgement: Judgement) -> str:
    """Returns ``3 of 6 claims hold, 1 does not, 2 undecided``."""
    total = len(judgement.claims)
    held = judgement.count("holds")
    parts = [f"{held} of {total} claim{'s' if total > 1 else ''} hold{'s' if total == 1 else ''}"]
    if refuted := judgement.count("does not hold"):
        parts.append(f"{refuted} do{'es' if refuted == 1 else ''} not")
    if undecided := judgement.count("undecided"):
        parts.append(f"{undecided} undecided")
    if unknown := judgement.count("unknown"):
        parts.append(f"{unknown} unknown")
    return ", ".join(parts)


def _notes(judgement: Judgement) -> tuple[str, ...]:
    notes = []
    if judgement.tested:
        notes.append(
            f"Judged from the rows by paired t-tests over scenes and seeds: a difference "
            "is established where its 95% interval excludes 0 and p, after Holm's correction over all "
            f"{judgement.tested} comparisons of all claims, is at most 0.05. At least {MIN_SCENES} scenes and {MIN_SEEDS} "
            "seeds; a reference has no seeds. Intervals are each for themselves."
        )
        notes.append(
            "A claim holds if all its comparisons do, and does not hold if the opposite of one is established. Shown is the "
            "comparison that is worst for it, as the first less the second; bounds are in nats per target."
        )
    if any(isinstance(claim.statement, Below) and claim.statement.any for claim in judgement.claims):
        notes.append("Of a claim for which one comparison is enough, the best is shown.")
    for place, claim in enumerate(judgement.claims, start=1):
        if claim.verdict == "unknown":
            notes.append(sanitize(f"Claim {place} is unknown: {claim.reason}."))
        if claim.failures:
            notes.append(sanitize(f"Not in claim {place}, as the measurement failed: {', '.join(claim.failures)}."))
    return tuple(notes)


def _record(judged: JudgedComparison | None) -> dict[str, object]:
    if judged is None:
        return {}
    comparison, difference = judged.comparison, judged.difference
    key, other = comparison.first.first.key, comparison.second.first.key
    assert key is not None and other is not None
    return {
        "verdict": judged.verdict,
        "reason": judged.reason,
        "first": comparison.first.variant,
        "second": comparison.second.variant,
        "first_metric": comparison.metric,
        "second_metric": comparison.than,
        "unit": comparison.first.first.metrics[comparison.metric].unit,
        "dataset": key.dataset,
        "revision": key.revision,
        "split": key.split,
        "first_contexts": key.num_context,
        "second_contexts": other.num_context,
        "targets": key.num_targets,
        "likelihood": key.likelihood,
        "sigma": key.sigma,
        "difference": _short(difference.mean),
        "low": _short(difference.low),
        "high": _short(difference.high),
        "stderr": _short(difference.stderr),
        "p": _short(difference.p),
        "p_holm": _short(judged.p),
        "scenes": difference.n,
        "first_seeds": len(comparison.first.rows),
        "second_seeds": len(comparison.second.rows),
        "first_rows": " ".join(row.id for row in comparison.first.rows),
        "second_rows": " ".join(row.id for row in comparison.second.rows),
    }


def _short(value: float) -> float:
    """Returns seven digits: the last ones of a sum of many numbers differ from machine to machine."""
    return float(f"{value:.7g}") + 0.0
