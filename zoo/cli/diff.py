"""``gqn-zoo diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import screen
from zoo.cli.options import Json
from zoo.cli.table_output import Base, FormatOption, New, print_tables
from zoo.files import write_text

REGRESSION = 1


def run(
    base: Base,
    new: New,
    fail: Annotated[
        list[str],
        typer.Option(
            metavar="METRIC:AMOUNT",
            help="Exit with code 1 if a metric or speed is worse by more, for example nelbo_excess:0.5 or "
            "train_scenes_per_second:-5%, and that is not undecided; repeatable.",
        ),
    ] = [],
    only_changed: Annotated[bool, typer.Option("--only-changed", help="Leave out what is undecided.")] = False,
    split: Annotated[bool, typer.Option("--split", help="A table each for better, worse, changed, undecided.")] = False,
    factor: Annotated[
        float, typer.Option("-f", "--factor", min=1.0, help="Changes by less than this factor are undecided.")
    ] = 1.0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for diff.csv, diff.md and diff.tex.")
    ] = None,
    form: FormatOption = "terminal",
    as_json: Json = False,
) -> None:
    """Compare new results with a base: what is better, worse or undecided.

    Exits with code 0; 1 if a --fail is exceeded; 2 if the rows or the request are wrong; 3 if the results may not be
    compared, naming what differs.
    """
    from zoo.comparison.diff import diff_rows
    from zoo.comparison.diff_tables import diff_records, tables_of_diff
    from zoo.comparison.markup import to_latex, to_markdown
    from zoo.comparison.records import csv_of
    from zoo.comparison.thresholds import Threshold, violations
    from zoo.results.store import load_rows

    thresholds = [Threshold.parse(text) for text in fail]
    found = diff_rows(load_rows([base]), load_rows([new]))
    tables = tables_of_diff(found, only_changed=only_changed, split=split, factor=factor)
    sentences = violations(thresholds, found)
    print_tables(tables, form="json" if as_json else form, records=lambda: diff_records(found))
    if output is not None:
        texts = {"csv": csv_of(diff_records(found)), "md": to_markdown(tables), "tex": to_latex(tables)}
        for suffix, text in texts.items():
            write_text(output / f"diff.{suffix}", text)
        screen.log("wrote " + ", ".join(str(output / f"diff.{suffix}") for suffix in texts))
    for sentence in sentences:
        screen.log(f"--fail: {sentence}")
    if sentences:
        raise typer.Exit(REGRESSION)
