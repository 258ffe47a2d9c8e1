"""What a comparison table shows: one cell a line and column, in words and digits for people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from zoo.comparison.columns import LEADING, Column, columns_of, metric_cell, ranking_header
from zoo.comparison.footnotes import notes_of
from zoo.comparison.formatting import commit_of, sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.metric_selection import image_head, image_metrics, main_metrics, metrics_of
from zoo.results.metrics import metric_info

_ERROR_LETTERS = 160


@dataclass(frozen=True)
class Table:
    """One table for people, still without markup.

    Attributes:
        title: what was measured, in one line.
        frame: the lines, best first, then the references; every cell is a string, numbers included.
        numbers: the columns to be aligned to the right.
        bold: the column whose first cell stands out, None if no difference is established.
        failures: the failed runs, possibly empty.
        notes: what has to be known to read the table.
        baselines: how many lines at the end are baselines, set apart from the ranking.
    """

    title: str
    frame: pd.DataFrame
    numbers: frozenset[str]
    bold: str | None
    failures: pd.DataFrame
    notes: tuple[str, ...]
    baselines: int = 0


def table_of(
    group: Leaderboard,
    *,
    omit: Collection[str] = (),
    heading: str = "",
    columns: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
) -> Table:
    """Lays out one group of comparable rows; columns that would be empty, and those in ``omit``, are left out.

    Args:
        group: what is laid out.
        omit: heads of columns.
        heading: stands before the title.
        columns: names of metrics and of other columns that follow the ranking, in this order; None: all.
        metrics: where all columns are shown, the metrics among them; None: those needed to judge a model.
    """
    if columns is None:
        chosen = columns_of(group, metrics=main_metrics(group) if metrics is None else metrics)
    else:
        found = {column.name: column for column in columns_of(group, metrics=sorted(metrics_of(group)))}
        chosen = [found[name] for name in dict.fromkeys((*LEADING, *columns)) if name in found]
    frame, numbers = _frame(group, [column for column in chosen if column.header not in omit])
    failures = pd.DataFrame(
        [
            {
                "variant": sanitize(row.variant),
                "status": row.status,
                "error": sanitize(row.error or "")[:_ERROR_LETTERS],
                "seed": str(row.provenance.seed),
                "commit": commit_of(row),
            }
            for row in group.failures
        ]
    )
    return Table(
        title=f"{heading}: {title_of(group)}" if heading else title_of(group),
        frame=frame,
        numbers=numbers,
        bold=ranking_header(group) if group.decided else None,
        failures=failures,
        notes=notes_of(group),
        baselines=len(group.baselines),
    )


def image_table_of(group: Leaderboard) -> Table | None:
    """Lays out how close a group's predictions come: of one sample, the mean, the best, and the reconstruction.

    Returns None where no more than the mean of the samples was measured, which :func:`table_of` shows.
    """
    measured = image_metrics(group)
    if not measured:
        return None
    columns = [Column("variant", "variant", lambda line: line.variant, False)]
    columns += [Column(name, image_head(measure, of=of), metric_cell(name), True) for name, measure, of in measured]
    columns.append(Column("sample_variance", metric_info("sample_variance").head, metric_cell("sample_variance"), True))
    frame, numbers = _frame(group, columns)
    return Table(
        title=f"Images: {title_of(group)}",
        frame=frame,
        numbers=numbers,
        bold=None,
        failures=pd.DataFrame(),
        notes=(
            "Predictions of the prior against the truth, in the order of the table above: one sample, the mean of all "
            "samples, and the sample that comes closest. A reconstruction has seen the truth.",
        ),
        baselines=len(group.baselines),
    )


def title_of(group: Leaderboard) -> str:
    """Returns in one line what a group's rows have in common."""
    if group.key is None:
        return "Without an evaluation"
    if group.codes:
        return sanitize(f"Codes of 8-bit values, over likelihoods: {group.key.label()}; floor 0 bits/dim")
    floor = "" if group.floor is None else f"; floor {group.floor:.1f} nats/target"
    return sanitize(group.key.label() + floor)


def _frame(group: Leaderboard, columns: Sequence[Column]) -> tuple[pd.DataFrame, frozenset[str]]:
    """Returns the cells of all lines and references, and which columns hold numbers; empty columns are left out."""
    cells: dict[str, list[str]] = {}
    numbers = set()
    for column in columns:
        texts = [sanitize(column.cell(line)) for line in (*group.models, *group.baselines)]
        if any(texts):
            cells[column.header] = texts
            if column.is_number:
                numbers.add(column.header)
    return pd.DataFrame(cells), frozenset(numbers)
