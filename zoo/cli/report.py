"""``gqn-zoo report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import screen
from zoo.cli.options import RegistryFiles


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="ROWS...",
            help="Result rows, or folders with them; runs and prediction sheets below the folders are included.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page, NAME.html.")] = Path("page.html"),
    runs: Annotated[
        list[Path],
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Draw the learning curves of the runs below it as well; repeatable.",
        ),
    ] = [],
    sheets: Annotated[
        list[Path],
        typer.Option("--sheet", metavar="IMAGE", help="Include this image as well; repeatable."),
    ] = [],
    metric: Annotated[
        str | None,
        typer.Option(help="Metric of the learning curves. Default: excess NELBO on validation scenes."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    claims: Annotated[
        bool, typer.Option("--claims/--no-claims", help="Judge the claims.yaml of the first folder that has one.")
    ] = True,
    registry_files: RegistryFiles = [],
) -> None:
    """Write one HTML page that needs no network: tables, Pareto fronts, learning curves, predictions, variants, provenance.

    The tables are those of gqn-zoo compare. The same rows give the same bytes.
    """
    from zoo.figures.attachments import find_attachments
    from zoo.report.images import find_sheets
    from zoo.report.page import TITLE, find_claims, write_page
    from zoo.report.runs import find_runs
    from zoo.results.store import load_rows

    rows, found = load_rows(paths), find_runs([*paths, *runs])
    images = [*find_sheets(paths), *sheets]
    write_page(
        rows,
        output,
        runs=found,
        sheets=images,
        attachments=find_attachments(paths),
        metric=metric,
        title=title or TITLE,
        claims=find_claims(paths) if claims else None,
    )
    size = output.stat().st_size / 1024
    screen.log(f"wrote {output} ({size:.0f} KiB): {len(rows)} rows, {len(found)} runs, {len(images)} sheets")
