"""Comparison tables as files: CSV with every figure, Markdown and LaTeX with what people read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pandas as pd

from zoo.comparison.columns import frontier_cells
from zoo.comparison.formatting import commit_of, escape_formula, hardware_of
from zoo.comparison.leaderboards import Leaderboard, SeedGroup
from zoo.comparison.markup import to_latex, to_markdown, to_terminal, update_markdown_between_markers
from zoo.comparison.metric_selection import metrics_of
from zoo.comparison.pareto import latency_ms, training_flops
from zoo.comparison.sections import sections_of
from zoo.comparison.table_rows import Table, table_of
from zoo.files import write_text
from zoo.results.row import ComparabilityKey, ResultRow

__all__ = [
    "Table",
    "csv_frame",
    "csv_of",
    "tables_of",
    "to_latex",
    "to_markdown",
    "to_terminal",
    "update_markdown_between_markers",
    "write_sections",
    "write_tables",
]


def tables_of(rows: Iterable[ResultRow], *, omit: Collection[str] = (), group_by: Sequence[str] = ()) -> list[Table]:
    """Returns one table for every set of comparable rows, without the columns named in ``omit``.

    Raises:
        ResultError: if rows cannot be grouped by one of ``group_by``.
    """
    return [table_of(group, omit=omit, heading=heading) for heading, group in sections_of(rows, group_by=group_by)]


def write_tables(rows: Iterable[ResultRow], folder: Path, *, group_by: Sequence[str] = ()) -> list[Path]:
    """Writes ``comparison.csv``, ``comparison.md`` and ``comparison.tex``; the same rows always give the same bytes.

    Raises:
        ResultError: if rows cannot be grouped by one of ``group_by``.
        DiskFullError: if a file cannot be written.
    """
    return write_sections(sections_of(rows, group_by=group_by), folder)


def write_sections(
    sections: Sequence[tuple[str, Leaderboard]], folder: Path, *, columns: Sequence[str] | None = None
) -> list[Path]:
    """Does the same for groups, each with its heading, that were ranked before, with all or the named columns.

    Raises:
        DiskFullError: if a file cannot be written.
    """
    tables = [table_of(group, heading=heading, columns=columns) for heading, group in sections]
    texts = {
        "comparison.csv": csv_of(group for _, group in sections),
        "comparison.md": to_markdown(tables),
        "comparison.tex": to_latex(tables),
    }
    for name, text in texts.items():
        write_text(Path(folder) / name, text)
    return [Path(folder) / name for name in texts]


def csv_of(groups: Iterable[Leaderboard]) -> str:
    """Returns the records of :func:`csv_frame` as text."""
    return csv_frame(groups).to_csv(index=False, lineterminator="\n")


def csv_frame(groups: Iterable[Leaderboard]) -> pd.DataFrame:
    """Returns one record a line, a reference and a failure, with all measured figures unrounded.

    ``ranked_by`` is the metric of ``rank``, ``behind_best`` and ``bold``; a ``reference`` has no rank.
    ``<metric>_spread`` is the standard error over scenes where ``num_seeds`` is 1, else the standard deviation over
    seeds; ``behind_best`` is by how much the best line is better, with its 95 % interval and p-value, to seven digits.
    """
    records: list[dict[str, object]] = []
    for number, group in enumerate(groups, start=1):
        frontier = frontier_cells(group)
        records += [
            {"table": number} | _line_record(group, line, place) | {"frontier": frontier[place]}
            for place, line in enumerate(group.models)
        ]
        records += [{"table": number} | _line_record(group, line, None) for line in group.baselines]
        records += [{"table": number} | _about(group, SeedGroup((row,))) for row in group.failures]
    # Objects, so that whole numbers stay whole in a column where a failure has none.
    safe = [{name: escape_formula(v) if isinstance(v, str) else v for name, v in record.items()} for record in records]
    return pd.DataFrame(safe, dtype=object)


def _about(group: Leaderboard, line: SeedGroup) -> dict[str, object]:
    row = line.first
    key = {name: getattr(group.key, name, None) for name in ComparabilityKey.model_fields}
    return key | {
        "floor": group.floor,
        "status": row.status,
        "error": row.error,
        "variant": row.variant,
        "encoder": row.encoder,
        "core": row.core,
        "seeds": " ".join(str(member.provenance.seed) for member in line.rows),
        "num_seeds": len(line.rows),
        "hardware": " / ".join(dict.fromkeys(hardware_of(member) for member in line.rows)),
        "commit": " ".join(dict.fromkeys(commit_of(member) for member in line.rows)),
        "config_hash": row.provenance.config_hash,
        "rows": " ".join(member.id for member in line.rows),
    }


def _line_record(group: Leaderboard, line: SeedGroup, position: int | None) -> dict[str, object]:
    """Returns the record of the line at a position, or, without one, of a reference."""
    shown = metrics_of(group)
    record = _about(group, line)
    ranked = position is not None and group.metric is not None and line.estimate(group.metric) is not None
    record |= {
        "reference": position is None,
        "ranked_by": group.metric,
        "rank": position + 1 if ranked and position is not None else None,
        "bold": group.decided and position == 0,
    }
    if position and position <= len(group.differences) and (difference := group.differences[position - 1]) is not None:
        low, high = difference.low, difference.high
        sign = 1 if group.higher_is_better else -1
        record |= {
            "behind_best": _short(sign * difference.mean),
            "behind_best_low": _short(min(sign * low, sign * high)),
            "behind_best_high": _short(max(sign * low, sign * high)),
            "p": _short(difference.p),
        }
    for name in sorted({name for row in line.rows for name in row.metrics} & shown):
        if (estimate := line.estimate(name)) is not None:
            record |= {name: estimate.value, f"{name}_spread": estimate.spread}
    for name, timing in sorted(line.first.performance.items()):
        record |= {name: timing.median, f"{name}_p10": timing.p10, f"{name}_p90": timing.p90}
    for part in (line.first.model, line.first.budget):
        record |= part.model_dump() if part is not None else {}
    return record | {"training_flops": training_flops(line.first), "prediction_ms": latency_ms(line.first)}


def _short(value: float) -> float:
    """Returns seven digits: the last ones of a sum of many numbers differ from machine to machine."""
    return float(f"{value:.7g}")
