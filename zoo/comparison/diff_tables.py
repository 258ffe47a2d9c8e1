"""The changes between a base and new results as tables and as records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd

from zoo.comparison.diff import Change, ComparedPair, Diff
from zoo.comparison.formatting import sanitize, with_interval
from zoo.comparison.markup import Table
from zoo.comparison.records import Record, seven_digits
from zoo.comparison.statistics import MIN_SCENES, MIN_SEEDS
from zoo.comparison.tables import table_of_failures
from zoo.errors import ResultError

_NUMBERS = frozenset({"base", "new", "difference", "95% interval", "%", "seeds"})
_COLUMNS = ("variant", "quantity", "base", "new", "difference", "95% interval", "%", "verdict", "seeds")


def tables_of_diff(diff: Diff, *, only_changed: bool = False, split: bool = False, factor: float = 1.0) -> list[Table]:
    """Returns one table per comparability key.

    Args:
        diff: the changes.
        only_changed: leaves out what is undecided.
        split: makes a table for each verdict.
        factor: changes by less are undecided, where zero is a natural origin.

    Raises:
        ResultError: if nothing that both sides have can be compared.
    """
    tables = []
    for title, members in groupby(diff.pairs, key=_title):
        records = [(pair, _at_least(change, factor)) for pair in members for change in pair.changes]
        for verdict in ("better", "worse", "changed", "undecided") if split else (None,):
            chosen = [
                _record(pair, change)
                for pair, change in records
                if verdict in (None, change.verdict) and not (only_changed and change.verdict == "undecided")
            ]
            if chosen or not split:
                head = title if verdict is None else f"{verdict}: {title}"
                notes = () if chosen else ("Nothing has changed.",)
                tables.append(Table(head, pd.DataFrame(chosen, columns=list(_COLUMNS)), _NUMBERS, notes=notes))
    if not tables:
        raise ResultError("the two sides have no metric, and no speed of the same machine, in common")
    tables[-1] = replace(
        tables[-1],
        failures=table_of_failures(diff.failures),
        notes=(*tables[-1].notes, _note(diff), *diff.remarks),
    )
    return tables


def diff_records(diff: Diff) -> list[Record]:
    """Returns one record per change, unrounded but for the interval and p, which have seven digits."""
    return [
        {
            "base_variant": pair.base.variant,
            "new_variant": pair.new.variant,
            "key": _title(pair),
            "quantity": change.name,
            "unit": change.unit,
            "base": change.base,
            "new": change.new,
            "difference": change.delta,
            "low": change.difference and seven_digits(change.difference.low),
            "high": change.difference and seven_digits(change.difference.high),
            "p": change.difference and seven_digits(change.difference.p),
            "percent": change.percent,
            "verdict": change.verdict,
            "base_rows": " ".join(row.id for row in pair.base.rows),
            "new_rows": " ".join(row.id for row in pair.new.rows),
        }
        for pair in diff.pairs
        for change in pair.changes
    ]


def _record(pair: ComparedPair, change: Change) -> dict[str, str]:
    test = change.difference
    difference, interval = with_interval(test, signed=True) if test else (f"{change.delta:+.4g}", "")
    names = dict.fromkeys((pair.base.variant, pair.new.variant))
    return {
        "variant": sanitize(" -> ".join(names)),
        "quantity": sanitize(f"{change.name} ({change.unit})"),
        "base": f"{change.base:.5g}",
        "new": f"{change.new:.5g}",
        "difference": difference,
        "95% interval": interval,
        "%": "" if change.percent is None else f"{change.percent:+.1f}",
        "verdict": change.verdict,
        "seeds": f"{len(pair.base.rows)}, {len(pair.new.rows)}",
    }


def _at_least(change: Change, factor: float) -> Change:
    if change.percent is None or change.new <= 0:
        return change
    ratio = change.new / change.base
    return change if max(ratio, 1 / ratio) >= factor else replace(change, verdict="undecided")


def _title(pair: ComparedPair) -> str:
    return "Without an evaluation" if pair.key is None else sanitize(pair.key.label())


def _note(diff: Diff) -> str:
    counts: Sequence[int] = [len(side.rows) for pair in diff.pairs for side in (pair.base, pair.new)]
    correction = f", Holm's correction over {len(diff.pairs)} pairs for each quantity" if len(diff.pairs) > 1 else ""
    note = (
        "Better, worse or changed: the 95% interval of the new value minus the base excludes zero (paired t-tests over "
        f"scenes and seeds, at least {MIN_SCENES} scenes{correction}); for a speed: the ranges from p10 to p90 do not overlap."
    )
    if min(counts) < MIN_SEEDS:
        note += " Where a side has one seed, the test judges these trained models, not how training varies."
    return note
