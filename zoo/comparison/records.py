"""Records with every number, and their CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from zoo.comparison.columns import metrics_of_board
from zoo.comparison.formatting import commit_of, hardware_of, sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.pareto import LATENCY, pareto_cells, training_flops
from zoo.comparison.seed_groups import SeedGroup
from zoo.results.row import ComparabilityKey, ResultRow

Record = dict[str, object]
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@")


def csv_of(records: Sequence[Record]) -> str:
    """Returns records as CSV whose texts no spreadsheet takes for formulas."""

    def safe(value: object) -> object:
        text = sanitize(value) if isinstance(value, str) else value
        return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text

    cells = [{name: safe(value) for name, value in record.items()} for record in records]
    # Objects, so that whole numbers stay whole in a column where some record has none.
    return str(pd.DataFrame(cells, dtype=object).to_csv(index=False, lineterminator="\n"))


def seven_digits(value: float) -> float:
    """Returns a value to seven digits: the last ones of a sum of many numbers differ from machine to machine."""
    return float(f"{value:.7g}") + 0.0


def leaderboard_records(boards: Iterable[Leaderboard]) -> list[Record]:
    """Returns one record per model, baseline and failure, with every measured number unrounded.

    ``ranked_by`` is the metric of ``rank``, ``behind_best`` and ``bold``; a ``baseline`` has no rank.
    Sizes, costs and speeds are means over seeds, with the widest quantiles. ``<metric>_spread`` is the standard error over
    scenes where ``num_seeds`` is 1, else the standard deviation over seeds; ``behind_best`` is by how much the best is
    better, with its 95 % interval and p-value, to seven digits.
    """
    records: list[Record] = []
    for number, board in enumerate(boards, start=1):
        fronts = pareto_cells(board)
        for place, entry in enumerate(board.entries):
            front = {"pareto": fronts[place]} if place < len(board.models) else {}
            records.append({"table": number} | _entry_record(board, entry, place) | front)
        records += [{"table": number} | _identity(board, SeedGroup((row,))) for row in board.failures]
    return records


def _identity(board: Leaderboard, entry: SeedGroup) -> Record:
    row = entry.first
    key = {name: getattr(board.key, name, None) for name in ComparabilityKey.model_fields}
    return key | {
        "floor": board.floor,
        "status": row.status,
        "error": row.error,
        "variant": row.variant,
        "encoder": row.encoder,
        "core": row.core,
        "seeds": " ".join(str(member.provenance.seed) for member in entry.rows),
        "num_seeds": len(entry.rows),
        "hardware": " / ".join(dict.fromkeys(hardware_of(member) for member in entry.rows)),
        "commit": " ".join(dict.fromkeys(commit_of(member) for member in entry.rows)),
        "config_hash": row.provenance.config_hash,
        "rows": " ".join(member.id for member in entry.rows),
    }


def _entry_record(board: Leaderboard, entry: SeedGroup, place: int) -> Record:
    ranked = place < board.num_ranked
    record = _identity(board, entry) | {
        "baseline": entry.first.is_baseline,
        "ranked_by": board.metric,
        "rank": place + 1 if ranked else None,
        "bold": board.decided and place == 0,
    }
    if ranked and place > 0 and (difference := board.behind_best[place - 1]) is not None:
        record |= {
            "behind_best": seven_digits(difference.mean),
            "behind_best_low": seven_digits(difference.low),
            "behind_best_high": seven_digits(difference.high),
            "p": seven_digits(difference.p),
        }
    for name in sorted({name for row in entry.rows for name in row.metrics} & metrics_of_board(board)):
        if (estimate := entry.estimate(name)) is not None:
            record |= {name: estimate.value, f"{name}_spread": estimate.spread}
    for name in sorted({name for row in entry.rows for name in row.performance}):
        if (timing := entry.timing(name)) is not None:
            record |= {name: timing.median, f"{name}_p10": timing.p10, f"{name}_p90": timing.p90}
    facts = [_facts_of(row) for row in entry.rows]
    return (
        record
        | {name: _mean([each[name] for each in facts]) for name in facts[0]}
        | {"prediction_ms": LATENCY.of(entry)}
    )


def _facts_of(row: ResultRow) -> dict[str, float | None]:
    """Returns the size, the cost and the training of a model."""
    parts = [part.model_dump() for part in (row.model, row.budget) if part is not None]
    return {name: value for part in parts for name, value in part.items()} | {"training_flops": training_flops(row)}


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean, which is the value itself if all are equal; None unless all are known."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return known[0] if len(set(known)) == 1 else sum(known) / len(known)
