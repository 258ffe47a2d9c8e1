"""Tables of what changed between a base and a new set of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd

from zoo.comparison.formatting import escape_formula, number, sanitize
from zoo.comparison.matching import Changes, Compared
from zoo.comparison.pairs import PairDelta
from zoo.comparison.statistics import MIN_SCENES, MIN_SEEDS
from zoo.comparison.table_rows import Table
from zoo.errors import ResultError
from zoo.results.row import ResultRow

VERDICTS = ("better", "worse", "changed", "undecided")

_NUMBERS = frozenset({"base", "new", "difference", "95% interval", "%", "seeds"})
_COLUMNS = ("variant", "quantity", "base", "new", "difference", "95% interval", "%", "verdict", "seeds")


def tables_of_changes(
    changes: Changes, *, only_changed: bool = False, split: bool = False, factor: float = 1.0
) -> list[Table]:
    """Lays the differences out, one table for every comparability key.

    Args:
        changes: what :func:`changes_between` found.
        only_changed: leaves out what is undecided.
        split: makes a table for each verdict.
        factor: changes by less than this factor count as undecided, where zero is a natural origin.

    Raises:
        ResultError: if nothing that both sides have can be compared.
    """
    tables = []
    for title, members in groupby(changes.compared, key=_title):
        records = [(pair, _dampened(delta, factor)) for pair in members for delta in pair.deltas]
        for verdict in VERDICTS if split else (None,):
            chosen = [
                _record(pair, delta)
                for pair, delta in records
                if verdict in (None, delta.verdict) and not (only_changed and delta.verdict == "undecided")
            ]
            if chosen or not split:
                tables.append(
                    Table(
                        title=title if verdict is None else f"{verdict}: {title}",
                        frame=pd.DataFrame(chosen, columns=list(_COLUMNS)),
                        numbers=_NUMBERS,
                        bold=None,
                        failures=_failures(()),
                        notes=() if chosen else ("Nothing has changed.",),
                    )
                )
    if not tables:
        raise ResultError("what was compared has no metric and no speed of the same machine in common")
    tables[-1] = replace(
        tables[-1], failures=_failures(changes.failures), notes=(*tables[-1].notes, _note(changes), *changes.remarks)
    )
    return tables


def csv_of_changes(changes: Changes) -> str:
    """Returns every difference as a line of CSV, unrounded but for the interval and p, which have seven digits."""
    records = [
        {
            "base_variant": escape_formula(pair.base.variant),
            "new_variant": escape_formula(pair.new.variant),
            "key": escape_formula(_title(pair)),
            "quantity": delta.name,
            "unit": escape_formula(delta.unit),
            "base": delta.base,
            "new": delta.new,
            "difference": delta.delta,
            "low": f"{delta.difference.low:.7g}" if delta.difference else None,
            "high": f"{delta.difference.high:.7g}" if delta.difference else None,
            "p": f"{delta.difference.p:.7g}" if delta.difference else None,
            "percent": delta.percent,
            "verdict": delta.verdict,
            "base_rows": " ".join(row.id for row in pair.base.rows),
            "new_rows": " ".join(row.id for row in pair.new.rows),
        }
        for pair in changes.compared
        for delta in pair.deltas
    ]
    return pd.DataFrame(records, dtype=object).to_csv(index=False, lineterminator="\n")


def _record(pair: Compared, delta: PairDelta) -> dict[str, str]:
    test = delta.difference
    digits, _ = number(delta.delta, test.stderr if test else None)
    decimals = len(digits.partition(".")[2])
    names = dict.fromkeys((pair.base.variant, pair.new.variant))
    return {
        "variant": sanitize(" -> ".join(names)),
        "quantity": sanitize(f"{delta.name} ({delta.unit})"),
        "base": f"{delta.base:.5g}",
        "new": f"{delta.new:.5g}",
        "difference": f"{delta.delta:+.{decimals}f}",
        "95% interval": f"[{test.low:.{decimals}f}, {test.high:.{decimals}f}]" if test else "",
        "%": "" if delta.percent is None else f"{delta.percent:+.1f}",
        "verdict": delta.verdict,
        "seeds": f"{len(pair.base.rows)}, {len(pair.new.rows)}",
    }


def _dampened(delta: PairDelta, factor: float) -> PairDelta:
    if delta.percent is None or delta.new <= 0 or delta.verdict == "undecided":
        return delta
    ratio = delta.new / delta.base
    return delta if max(ratio, 1 / ratio) >= factor else replace(delta, verdict="undecided")


def _title(pair: Compared) -> str:
    return "Without an evaluation" if pair.key is None else sanitize(pair.key.label())


def _failures(rows: Sequence[ResultRow]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "variant": sanitize(row.variant),
                "status": row.status,
                "error": sanitize(row.error or ""),
                "seed": str(row.provenance.seed),
            }
            for row in rows
        ]
    )


def _note(changes: Changes) -> str:
    fewest = min(min(len(pair.base.rows), len(pair.new.rows)) for pair in changes.compared)
    count = len(changes.compared)
    correction = f", Holm correction over {count} lines for each quantity" if count > 1 else ""
    note = (
        f"Better, worse or changed: the 95% interval of the new value minus the base excludes zero (paired bootstrap over scenes "
        f"and seeds, at least {MIN_SCENES} scenes{correction}); for a speed: the spreads over repeats do not meet."
    )
    if fewest < MIN_SEEDS:
        note += " Where a side has one seed, the test judges these trained models, not how training varies."
    return note
