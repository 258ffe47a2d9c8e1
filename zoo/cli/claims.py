"""``gqn-zoo claims``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import screen
from zoo.cli.table_output import Places, print_to_terminal
from zoo.errors import ResultError
from zoo.files import write_text

REFUTED = 1


def run(
    places: Places,
    file: Annotated[
        Path | None, typer.Option("--claims", metavar="FILE", help="Default: claims.yaml in the first folder.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.csv", help="Write every comparison.")
    ] = None,
    readme: Annotated[
        Path | None, typer.Option(help="Update a file between its markers <!-- claims:begin/end -->.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A claim without rows is unknown instead of an error.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with code 1 if a claim does not hold.")] = False,
) -> None:
    """Judge a file of claims from result rows: which hold, which do not, and which are undecided.

    Every comparison is tested over scenes and seeds, with Holm's correction over the claims of a family. Exits with code 0;
    1 if a claim does not hold and --fail is given; 2 if the claims or the rows are wrong.
    """
    from zoo.comparison.claim_file import CLAIMS_FILE, load_claims
    from zoo.comparison.claim_tables import claim_records, table_of_claims
    from zoo.comparison.claims import judge_claims
    from zoo.comparison.markup import to_markdown, update_markdown_between_markers
    from zoo.comparison.records import csv_of
    from zoo.results.store import load_rows

    if output is not None and output.suffix.lower() != ".csv":
        raise ResultError(f"{output}: expected a name that ends with .csv")
    if file is None:
        file = Path(places[0]) / CLAIMS_FILE
        if not file.is_file():
            raise ResultError(f"{file}: no such file; name the file of claims with --claims")
    claims = load_claims(file)
    judged = judge_claims(claims, load_rows(places), allow_missing=allow_missing)
    table = table_of_claims(claims.title, judged)
    print_to_terminal([table])
    if output is not None:
        write_text(output, csv_of(claim_records(judged)))
        screen.log(f"wrote {output}")
    if readme is not None:
        update_markdown_between_markers(readme, "claims", to_markdown([table]))
        screen.log(f"wrote the table into {readme}")
    refuted = sum(claim.verdict == "does not hold" for claim in judged)
    if fail and refuted:
        screen.log(f"--fail: {refuted} claim{'s do' if refuted > 1 else ' does'} not hold")
        raise typer.Exit(REFUTED)
