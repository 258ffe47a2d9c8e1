"""``gqn-zoo compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli import screen
from zoo.cli.options import Json
from zoo.cli.table_output import FormatOption, Places, print_tables
from zoo.errors import ResultError

if TYPE_CHECKING:
    from zoo.comparison.leaderboards import Leaderboard
    from zoo.comparison.markup import Table


def run(
    places: Places,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for comparison.csv, .md and .tex.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Rank separately by data, task, contexts, core, encoder, ..."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Columns after the ranking: metrics, parameters, commit, ..."),
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Show all columns.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Show all numbers of context views, and lossless code lengths.")
    ] = False,
    sort: Annotated[
        str | None, typer.Option(metavar="METRIC", help="Rank by this metric. Default: excess of the bound.")
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Show who is on the Pareto front of which cost; with -o, draw the fronts.")
    ] = False,
    figures: Annotated[
        bool,
        typer.Option("--figures", help="With -o: draw each leaderboard with predictions and learning curves."),
    ] = False,
    curves: Annotated[
        list[str], typer.Option("--curve", metavar="LABEL=RUN", help="With -o: plot a learning curve; repeatable.")
    ] = [],
    metric: Annotated[str, typer.Option(help="Metric of the learning curves.")] = "eval/nelbo_excess",
    form: FormatOption = "terminal",
    as_json: Json = False,
    readme: Annotated[
        Path | None, typer.Option(help="Update a file between its markers <!-- results:begin/end -->.")
    ] = None,
) -> None:
    """Rank results: one leaderboard per data set.

    Only results of the same task, data, likelihood and bound are ranked together. To compare new results with a base, use
    [bold]gqn-zoo diff[/bold].
    """
    from zoo.comparison.columns import Selection, require_columns
    from zoo.comparison.leaderboards import leaderboards_of, main_leaderboards
    from zoo.comparison.markup import to_markdown, update_markdown_between_markers
    from zoo.comparison.records import leaderboard_records
    from zoo.comparison.tables import tables_of, write_tables
    from zoo.results.store import load_rows

    runs = _runs(curves)
    for option, given in (("--curve", runs), ("--figures", figures)):
        if given and output is None:
            raise ResultError(f"{option}: needs -o, the folder for the images")
    if wide and columns is not None:
        raise ResultError("--wide: shows all columns; leave out --columns")
    rows = load_rows(places)
    selection: Selection = "wide" if wide else "compact"
    if columns is not None:
        selection = _names(columns)
        require_columns(rows, selection)
    boards = leaderboards_of(rows, sort=sort, group_by=_names(group_by))
    shown = boards if every else main_leaderboards(boards)
    tables = tables_of(shown, columns=selection, extra=["pareto"] if pareto else [])
    if output is not None:
        from zoo.figures.curves import learning_curves

        images = [learning_curves(runs, output / "curves.png", metric=metric)] if runs else []
        images += _draw_fronts(shown, tables, output=output) if pareto else []
        images += _draw_leaderboards(shown, tables, places=places, output=output) if figures else []
        written = [*write_tables(boards, output, tables=tables), *images]
        screen.log("wrote " + ", ".join(map(str, written)))
    if readme is not None:
        update_markdown_between_markers(readme, "results", to_markdown(tables))
    print_tables(tables, form="json" if as_json else form, records=lambda: leaderboard_records(boards))
    if hidden := len(boards) - len(shown):
        screen.log(
            f"{hidden} more table{'s' if hidden > 1 else ''} (fewer context views, lossless code lengths): --all"
        )


def _draw_fronts(boards: Sequence[Leaderboard], tables: Sequence[Table], *, output: Path) -> list[Path]:
    """Draws quality against every cost, numbered as the tables."""
    from zoo.figures.pareto_front import can_be_drawn, pareto_image

    return [
        pareto_image(board, output / f"pareto-{place}.png", title=table.title)
        for place, (board, table) in enumerate(zip(boards, tables, strict=True), start=1)
        if can_be_drawn(board)
    ]


def _draw_leaderboards(
    boards: Sequence[Leaderboard], tables: Sequence[Table], *, places: Sequence[str], output: Path
) -> list[Path]:
    """Draws leaderboards with two training times or more, numbered as their tables, and prints what was left out."""
    from zoo.figures.attachments import find_attachments
    from zoo.figures.leaderboard import draw_leaderboard, has_times
    from zoo.figures.style import save_figure

    attachments, written = find_attachments(places), []
    for place, (board, table) in enumerate(zip(boards, tables, strict=True), start=1):
        if has_times(board):
            drawn = draw_leaderboard(board, attachments=attachments, title=table.title)
            written.append(save_figure(drawn.figure, output / f"leaderboard-{place}.png"))
            for note in drawn.notes:
                screen.log(f"{written[-1].name}: {note}")
    return written


def _names(text: str | None) -> list[str]:
    return [] if text is None else [name.strip() for name in text.split(",")]


def _runs(curves: list[str]) -> dict[str, Path]:
    runs: dict[str, Path] = {}
    for curve in curves:
        label, equals, folder = curve.partition("=")
        if not equals or not label or not folder:
            raise ResultError(f"--curve {curve}: expected LABEL=RUN")
        if label in runs:
            raise ResultError(f"--curve {curve}: there is a curve {label!r} already, of {runs[label]}")
        runs[label] = Path(folder)
    return runs
