"""What ``gqn-zoo compare`` prints and writes: the ranking, or how new rows differ from a base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from zoo.comparison.table_rows import Table
    from zoo.results.row import ResultRow

Format = Literal["terminal", "markdown", "latex", "csv"]


def ranking(
    rows: list[ResultRow],
    *,
    group_by: list[str],
    columns: list[str] | None,
    sort: str | None,
    form: Format,
    output: Path | None,
    frontier: bool,
    runs: dict[str, Path],
    metric: str,
) -> list[Table]:
    """Prints ranked tables and returns them; with a folder, writes them, frontiers and learning curves there."""
    from zoo.cli import screen
    from zoo.comparison.columns import OTHERS
    from zoo.comparison.metric_selection import require_columns
    from zoo.comparison.sections import sections_of
    from zoo.comparison.table_rows import table_of
    from zoo.comparison.tables import csv_of, write_sections
    from zoo.figures.curves import learning_curves
    from zoo.figures.pareto_front import can_be_drawn, frontier_image

    if columns is not None:
        require_columns(rows, columns, others=OTHERS)
    sections = sections_of(rows, group_by=group_by, sort=sort)
    tables = [table_of(group, heading=heading, columns=columns) for heading, group in sections]
    _print(tables, form=form, csv=lambda: csv_of(group for _, group in sections))
    if output is not None:
        images = [learning_curves(runs, output / "curves.png", metric=metric)] if runs else []
        written = [*write_sections(sections, output, columns=columns), *images]
        for place, ((_, group), table) in enumerate(zip(sections, tables, strict=True), start=1):
            if frontier and can_be_drawn(group):
                written.append(frontier_image(group, output / f"frontier-{place}.png", title=table.title))
        screen.log("wrote " + ", ".join(map(str, written)))
    return tables


def differences(
    base: list[ResultRow],
    new: list[ResultRow],
    *,
    fail: list[str],
    only_changed: bool,
    split: bool,
    factor: float,
    output: Path | None,
    form: Format,
) -> tuple[list[Table], list[str]]:
    """Prints and writes what changed; returns the tables, and a sentence for every threshold that is broken."""
    from zoo.cli import screen
    from zoo.comparison.change_tables import csv_of_changes, tables_of_changes
    from zoo.comparison.markup import to_latex, to_markdown
    from zoo.comparison.matching import changes_between
    from zoo.comparison.thresholds import Threshold, broken
    from zoo.files import write_text

    thresholds = [Threshold.parse(text) for text in fail]
    changes = changes_between(base, new)
    tables = tables_of_changes(changes, only_changed=only_changed, split=split, factor=factor)
    sentences = broken(thresholds, changes)
    _print(tables, form=form, csv=lambda: csv_of_changes(changes))
    if output is not None:
        texts = {
            "differences.csv": csv_of_changes(changes),
            "differences.md": to_markdown(tables),
            "differences.tex": to_latex(tables),
        }
        for name, text in texts.items():
            write_text(output / name, text)
        screen.log("wrote " + ", ".join(str(output / name) for name in texts))
    return tables, sentences


def _print(tables: Sequence[Table], *, form: Format, csv: Callable[[], str]) -> None:
    """Prints tables on standard output, for people or as they would be written to a file."""
    from zoo.cli import screen
    from zoo.comparison.markup import to_latex, to_markdown, to_terminal

    if form == "terminal":
        console = screen.stdout_console()
        console.print(to_terminal(tables, width=console.width))
    else:
        text = {"markdown": lambda: to_markdown(tables), "latex": lambda: to_latex(tables), "csv": csv}[form]()
        typer.echo(text, nl=False)
