"""Leaderboards as tables for people, and as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from zoo.comparison.columns import (
    LeaderboardColumn,
    Selection,
    columns_of,
    image_columns_of,
    shared_size,
)
from zoo.comparison.formatting import commit_of, sanitize
from zoo.comparison.leaderboards import Leaderboard, main_leaderboards
from zoo.comparison.markup import Table, to_latex, to_markdown
from zoo.comparison.notes import measured_on, notes_of
from zoo.comparison.records import csv_of, leaderboard_records
from zoo.files import write_text
from zoo.results.row import ResultRow

_ERROR_LETTERS = 160


def tables_of(
    boards: Sequence[Leaderboard], *, columns: Selection = "compact", extra: Sequence[str] = ()
) -> list[Table]:
    """Returns the tables of leaderboards; a note that an earlier table has is not repeated.

    Args:
        boards: to be shown, in this order.
        columns: ``compact``, ``wide``, or the names of columns that follow the ranking.
        extra: names of further columns.
    """
    tables = []
    seen: set[str] = set()
    for board in boards:
        table = table_of(board, columns=columns, extra=extra)
        tables.append(replace(table, notes=tuple(note for note in table.notes if note not in seen)))
        seen.update(table.notes)
    if tables and columns != "wide":
        rows = [row for board in boards for entry in board.entries for row in entry.rows]
        tables[-1] = replace(tables[-1], notes=(*tables[-1].notes, *measured_on(rows)))
    return tables


def table_of(board: Leaderboard, *, columns: Selection = "compact", extra: Sequence[str] = ()) -> Table:
    """Returns the table of one leaderboard; columns without any cell are left out."""
    chosen = columns_of(board, columns, extra=extra)
    frame, numbers = _frame(board, chosen)
    ranked_by = next((column.head for column in chosen if column.name == "metric"), None)
    return Table(
        title=title_of(board) + ("" if columns == "wide" else sanitize(shared_size(board).replace("@", ", size "))),
        frame=frame,
        numbers=numbers,
        bold=ranked_by if board.decided else None,
        failures=failures_frame(board.failures),
        notes=notes_of(board, pareto=any(column.name == "pareto" and column.head in frame for column in chosen)),
        baselines=len(board.baselines),
    )


def image_table_of(board: Leaderboard) -> Table | None:
    """Returns the image metrics of one sample, the mean, the best sample and the reconstruction.

    Returns None where no more than the mean of the samples was measured, which :func:`table_of` shows.
    """
    measured = image_columns_of(board)
    if not measured:
        return None
    variant = LeaderboardColumn("variant", "variant", lambda entry: entry.variant, is_number=False)
    frame, numbers = _frame(board, [variant, *measured])
    return Table(
        title=f"Images: {title_of(board)}",
        frame=frame,
        numbers=numbers,
        notes=(
            "Predictions of the prior against the truth, in the order of the table above: one sample, the mean of all "
            "samples, and the closest sample. A reconstruction has seen the truth.",
        ),
        baselines=len(board.baselines),
    )


def title_of(board: Leaderboard) -> str:
    """Returns what the results of a leaderboard have in common, in one short line."""
    key = board.key
    if key is None:
        title = "Without an evaluation"
    else:
        size = f" {key.image_size}x{key.image_size}" if key.image_size else ""
        views = f"{key.num_context} context {'view' if key.num_context == 1 else 'views'}"
        sigma = "" if key.sigma is None else f", sigma {key.sigma:g}"
        scored = "lossless code length" if board.of_code_length else f"{key.likelihood}{sigma}"
        bound = "" if key.bound == "ELBO" else f", {key.bound}"
        title = f"{key.dataset}{size}: {key.task} from {views}, {scored}{bound}"
    return sanitize(f"{board.section}: {title}" if board.section else title)


def failures_frame(rows: Sequence[ResultRow]) -> pd.DataFrame:
    """Returns one record per failed row."""
    return pd.DataFrame(
        [
            {
                "variant": sanitize(row.variant),
                "status": row.status,
                "error": sanitize(row.error or "")[:_ERROR_LETTERS],
                "seed": str(row.provenance.seed),
                "commit": commit_of(row),
            }
            for row in rows
        ]
    )


def write_tables(boards: Sequence[Leaderboard], folder: Path, *, tables: Sequence[Table] | None = None) -> list[Path]:
    """Writes ``comparison.csv`` with every number, and ``comparison.md`` and ``comparison.tex``.

    The same rows always give the same bytes.

    Args:
        boards: for the CSV.
        folder: is made if it does not exist.
        tables: for Markdown and LaTeX; None: those of the main leaderboards.

    Raises:
        DiskFullError: if a file cannot be written.
    """
    tables = tables_of(main_leaderboards(boards)) if tables is None else tables
    texts = {
        "comparison.csv": csv_of(leaderboard_records(boards)),
        "comparison.md": to_markdown(tables),
        "comparison.tex": to_latex(tables),
    }
    for name, text in texts.items():
        write_text(Path(folder) / name, text)
    return [Path(folder) / name for name in texts]


def _frame(board: Leaderboard, columns: Sequence[LeaderboardColumn]) -> tuple[pd.DataFrame, frozenset[str]]:
    """Returns the cells of all entries, and which columns hold numbers; empty columns are left out."""
    cells: dict[str, list[str]] = {}
    numbers = set()
    for column in columns:
        texts = [sanitize(column.cell(entry)) for entry in board.entries]
        if any(texts):
            cells[column.head] = texts
            if column.is_number:
                numbers.add(column.head)
    return pd.DataFrame(cells), frozenset(numbers)
