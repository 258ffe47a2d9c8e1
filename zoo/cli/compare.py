"""``gqn-zoo compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zoo.results import ResultRow


def run(
    paths: Annotated[
        list[Path], typer.Argument(metavar="ROWS...", help="Result rows, or folders with them (rows/ is looked for).")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for comparison.csv, .md and .tex.")
    ] = None,
    between: Annotated[
        bool, typer.Option("--between", help="Two rows: print how the second differs from the first, with intervals.")
    ] = False,
    curves: Annotated[
        list[str],
        typer.Option(
            "--curve", metavar="LABEL=RUN", help="Also plot the learning curve of a run; may be given several times."
        ),
    ] = [],  # noqa: B006  (typer copies it)
    metric: Annotated[str, typer.Option("--metric", help="What the curves show.")] = "eval/nelbo_excess",
    readme: Annotated[
        Path | None,
        typer.Option(
            "--readme",
            help="Put the Markdown table between this file's markers <!-- results:begin --> and <!-- results:end -->.",
        ),
    ] = None,
) -> None:
    """Rank results that may be compared, each kind of measurement in a table of its own; write CSV, Markdown and LaTeX."""
    from zoo.cli import screen
    from zoo.errors import ResultError
    from zoo.report.markup import to_markdown, to_terminal, update_markdown_between_markers
    from zoo.report.plots import learning_curves
    from zoo.report.tables import tables_of, write_tables
    from zoo.results import load_rows

    rows = load_rows(paths)
    runs = {}
    for curve in curves:
        label, equals, folder = curve.partition("=")
        if not equals or not label or not folder:
            raise ResultError(f"--curve {curve}: expected LABEL=RUN")
        runs[label] = Path(folder)
    if runs and output is None:
        raise ResultError("--curve: needs -o, the folder for the picture")
    if between:
        _print_differences(rows)
        return
    tables = tables_of(rows)
    console = screen.results()
    console.print(to_terminal(tables, width=console.width))
    if output is not None:
        pictures = [learning_curves(runs, output / "curves.png", metric=metric)] if runs else []
        written = [*write_tables(rows, output), *pictures]
        screen.tell("wrote " + ", ".join(map(str, written)))
    if readme is not None:
        update_markdown_between_markers(readme, "results", to_markdown(tables))


def _print_differences(rows: list[ResultRow]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from zoo.cli import screen
    from zoo.errors import ResultError
    from zoo.report.compare import compare_pair

    if len(rows) != 2:
        raise ResultError(f"--between: found {len(rows)} rows, expected two: the base and the new one")
    base, new = rows
    table = Table("", base.variant, new.variant, "difference", "95 % interval", "%", "verdict", box=box.SIMPLE_HEAD)
    for delta in compare_pair(base, new):
        interval = f"[{delta.difference.low:.4g}, {delta.difference.high:.4g}]" if delta.difference else ""
        percent = "" if delta.percent is None else f"{delta.percent:+.1f}"
        cells = [
            f"{delta.name} ({delta.unit})",
            f"{delta.base:.5g}",
            f"{delta.new:.5g}",
            f"{delta.delta:+.4g}",
            interval,
            percent,
            delta.verdict,
        ]
        table.add_row(*(Text(cell) for cell in cells))
    screen.results().print(table)
