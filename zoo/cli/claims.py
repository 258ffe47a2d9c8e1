"""``gqn-zoo conclude``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zoo.comparison.table_rows import Table

REFUTED = 1


def run(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="ROWS...",
            help="Result rows, folders with them (rows/ is looked for), or either in a git revision, as HEAD~1:results.",
        ),
    ],
    claims: Annotated[
        Path | None,
        typer.Option("--claims", metavar="FILE", help="The claims. Default: claims.yaml in the first folder."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.csv", help="Also write every single comparison.")
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option(
            "--readme",
            help="Put the Markdown table between this file's markers <!-- claims:begin --> and <!-- claims:end -->.",
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="A claim whose rows are not there yet is unknown, and not a mistake."),
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Leave with code 1 if a claim does not hold.")] = False,
) -> None:
    """Judge a file of claims from result rows: which hold, which do not, and which the rows leave undecided.

    Every claim is tested over scenes and seeds, with one correction for all comparisons of the file. Leaves with 0; with
    1 if --fail says so (undecided and unknown claims do not count); with 2 if something is wrong with the claims or rows.
    """
    from zoo.cli import screen
    from zoo.comparison.claim_file import CLAIMS_FILE, load_claims
    from zoo.comparison.claim_tables import csv_of_claims, table_of_claims
    from zoo.comparison.claim_tests import judge
    from zoo.comparison.markup import to_markdown, update_markdown_between_markers
    from zoo.errors import ResultError
    from zoo.files import write_text
    from zoo.results.store import load_rows

    if output is not None and output.suffix.lower() != ".csv":
        raise ResultError(f"{output}: expected a name that ends with .csv")
    if claims is None:
        claims = Path(places[0]) / CLAIMS_FILE
        if not claims.is_file():
            raise ResultError(f"{claims}: there is no such file; say with --claims which claims are meant")
    stated = load_claims(claims)
    judgement = judge(stated, load_rows(places), allow_missing=allow_missing)
    table = table_of_claims(judgement)
    screen.stdout_console().print(_shown(table))
    if output is not None:
        write_text(output, csv_of_claims(judgement))
        screen.log(f"wrote {output}")
    if readme is not None:
        update_markdown_between_markers(readme, "claims", to_markdown([table]))
        screen.log(f"wrote the table into {readme}")
    if fail and (refuted := judgement.count("does not hold")):
        screen.log(f"--fail: {refuted} claim{'s do' if refuted > 1 else ' does'} not hold")
        raise typer.Exit(REFUTED)


def _shown(table: Table) -> RenderableType:
    """Returns the table for a terminal: sentences are broken into lines, numbers are not."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD)
    for name in table.frame.columns:
        shown.add_column(
            Text(name),
            justify="right" if name in table.numbers else "left",
            no_wrap=name in table.numbers,
            overflow="fold",
        )
    for line in table.frame.itertuples(index=False):
        shown.add_row(*map(Text, line))
    return Group(Text(table.title, style="bold"), shown, *(Text(note, style="dim") for note in table.notes))
