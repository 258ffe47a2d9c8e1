"""Leaderboards as tables for people, and as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from zoo.comparison.columns import VARIANT, LeaderboardColumn, Selection, columns_of, image_columns_of, shared_size
from zoo.comparison.formatting import commit_of, hardware_of, sanitize
from zoo.comparison.leaderboards import Leaderboard, main_leaderboards
from zoo.comparison.markup import Table, to_latex, to_markdown
from zoo.comparison.records import csv_of, leaderboard_records
from zoo.comparison.statistics import MIN_SCENES, MIN_SEEDS
from zoo.files import write_text
from zoo.results.metrics import metric_info
from zoo.results.row import ResultRow

_ERROR_LETTERS = 160
_EXCESS = (
    "Excess NELBO is the NELBO minus the likelihood's constant at zero error (the floor): the squared-error term of a "
    "Gaussian likelihood plus the KL, in nats per target."
)
_CODE_LENGTH = (
    "bits/dim is the lossless code length of the 8-bit values, comparable over likelihoods. Code sigma, where there is one, "
    "was fitted for it and is not that of the training."
)
_PARETO = (
    "On the Pareto front of a cost is a model if no other is both better and cheaper, by the means. Time, latency and "
    "memory are compared on one machine only."
)


def tables_of(
    boards: Sequence[Leaderboard], *, columns: Selection = "compact", extra: Sequence[str] = ()
) -> list[Table]:
    """Returns the tables of leaderboards; a note that an earlier table has is not repeated.

    Args:
        boards: in their order.
        columns: ``compact``, ``wide``, or the names of columns that follow the ranking.
        extra: names of further columns.
    """
    tables = []
    seen: set[str] = set()
    for board in boards:
        table = table_of(board, columns=columns, extra=extra)
        tables.append(replace(table, notes=tuple(note for note in table.notes if note not in seen)))
        seen.update(table.notes)
    rows = [row for board in boards for entry in board.entries for row in entry.rows]
    if rows and columns != "wide":
        machines = "; ".join(sorted({hardware_of(row) for row in rows}))
        commits = ", ".join(sorted({commit_of(row) for row in rows} - {""}))
        note = sanitize(f"Measured on {machines}." + (f" Commit {commits}." if commits else ""))
        tables[-1] = replace(tables[-1], notes=(*tables[-1].notes, note))
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
        failures=table_of_failures(board.failures),
        notes=_notes_of(board, pareto=any(column.name == "pareto" and column.head in frame for column in chosen)),
        baselines=len(board.baselines),
    )


def image_table_of(board: Leaderboard) -> Table | None:
    """Returns the image metrics of samples and reconstructions, None where no more than their mean was measured."""
    measured = image_columns_of(board)
    if not measured:
        return None
    frame, numbers = _frame(board, [VARIANT, *measured])
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


def table_of_failures(rows: Sequence[ResultRow]) -> Table | None:
    """Returns one record per failed row, None if there are none."""
    records = [
        {
            "variant": sanitize(row.variant),
            "status": row.status,
            "error": sanitize(row.error or "")[:_ERROR_LETTERS],
            "seed": str(row.provenance.seed),
            "commit": commit_of(row),
        }
        for row in rows
    ]
    return Table("Failed, not ranked", pd.DataFrame(records), frozenset({"seed"})) if records else None


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


def _notes_of(board: Leaderboard, *, pareto: bool) -> tuple[str, ...]:
    """Returns what is needed to read a leaderboard: the key, the metric, the spreads, the test and the baselines."""
    if board.metric is None or not board.entries:
        return ()
    notes = [_details(board)]
    if board.of_code_length:
        notes.append(_CODE_LENGTH)
    elif any("nelbo_excess" in row.metrics for entry in board.entries for row in entry.rows):
        notes.append(_EXCESS)
    direction = "higher" if board.higher_is_better else "lower"
    notes.append(f"Ranked by {metric_info(board.metric).title}, {direction} is better.")
    notes.append("± is the standard deviation over seeds; with one seed the standard error over scenes.")
    if board.behind_best:
        notes.append(_test(board))
    if pareto:
        notes.append(_PARETO)
    if board.baselines:
        notes.append(_baselines(board))
    return tuple(sanitize(note) for note in notes)


def _details(board: Leaderboard) -> str:
    key = board.key
    assert key is not None
    pixels = f", pixels in {key.pixel_range}" if key.image_size else ""
    floor = "" if board.of_code_length or board.floor is None else f", floor {board.floor:.1f} nats/target"
    return (
        f"{key.split} split of revision {key.revision[:8]}, {key.num_scenes} scenes (episodes {key.episodes[:8]}), "
        f"{key.num_targets} {'target' if key.num_targets == 1 else 'targets'} per scene{pixels}{floor}."
    )


def _test(board: Leaderboard) -> str:
    test = f"paired t-tests over scenes and seeds (at least {MIN_SCENES} scenes)"
    if board.decided:
        return f"Bold: the best differs from every other by {test}, 95% with Holm's correction. Intervals: 95% each."
    if min(len(model.rows) for model in board.models[: board.num_ranked]) < MIN_SEEDS:
        return (
            "No row is bold: with one seed the test judges this trained model, not how training varies. "
            f"Intervals: {test}, 95% each."
        )
    return f"No row is bold: the best does not differ from every other by {test}, 95% with Holm's correction."


def _baselines(board: Leaderboard) -> str:
    """Returns which models are not better than the baselines, or which are, whichever is shorter."""
    sentences = ["In italics, not ranked: baselines without training."]
    test = "paired t-tests, 95% each"
    if not all(found.tested for found in board.against_baselines):
        test += ", or the means alone where no test is possible"
    passed, subject = [], "Every model"
    for baseline, models, others, _ in board.against_baselines:
        if len(models) + len(others) < len(board.models):
            subject = "Every scored model"
        failing = sorted({model.variant for model in others})
        better = sorted({model.variant for model in models}.difference(failing))
        if not failing:
            passed.append(baseline.variant)
        elif not better:
            sentences.append(f"NO model is better than {baseline.variant} ({test}).")
        elif len(better) < len(failing):
            sentences.append(f"Better than {baseline.variant}: {', '.join(better)}; the others are not ({test}).")
        else:
            sentences.append(f"NOT better than {baseline.variant}: {', '.join(failing)} ({test}).")
    if passed:
        sentences.append(f"{subject} is better than {' and '.join(dict.fromkeys(passed))} ({test}).")
    return " ".join(sentences)
