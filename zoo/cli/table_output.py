"""Tables on standard output, for people or for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zoo.cli import screen

if TYPE_CHECKING:
    from zoo.comparison.markup import Table
    from zoo.comparison.records import Record

Format = Literal["terminal", "markdown", "latex", "csv", "json"]
FormatOption = Annotated[Format, typer.Option("--format", help="Format of what is printed.")]
_PLACE = (
    "result rows, files of pytest-benchmark, folders with them (rows/ is looked for), or any of these in a git revision, "
    "such as HEAD~1:results."
)
Places = Annotated[list[str], typer.Argument(metavar="ROWS", help=f"Results: {_PLACE}")]
Base = Annotated[str, typer.Argument(metavar="BASE", help=f"The base: {_PLACE}")]
New = Annotated[str, typer.Argument(metavar="NEW", help="The new results, as BASE.")]


def print_to_terminal(tables: Sequence[Table]) -> None:
    """Prints tables for people on standard output."""
    from zoo.comparison.markup import to_terminal

    console = screen.stdout_console()
    console.print(to_terminal(tables, width=console.width))


def print_tables(tables: Sequence[Table], *, form: Format, records: Callable[[], list[Record]]) -> None:
    """Prints tables, or their records as CSV or JSON, on standard output."""
    from zoo.comparison.markup import to_latex, to_markdown
    from zoo.comparison.records import csv_of

    if form == "terminal":
        print_to_terminal(tables)
        return
    if form == "json":
        typer.echo(json.dumps(records(), indent=2, allow_nan=False))
    elif form == "csv":
        typer.echo(csv_of(records()), nl=False)
    else:
        typer.echo((to_markdown if form == "markdown" else to_latex)(tables), nl=False)
