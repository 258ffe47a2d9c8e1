"""``gqn-zoo report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import RegistryFiles


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="ROWS...",
            help="Result rows, or folders with them (rows/ is looked for); runs and sheets below the folders are taken in.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page, NAME.html.")] = Path("page.html"),
    runs: Annotated[
        list[Path],
        typer.Option(
            "--runs", metavar="FOLDER", help="Also draw the curves of the runs below it; may be given several times."
        ),
    ] = [],  # noqa: B006  (typer copies it)
    sheets: Annotated[
        list[Path],
        typer.Option("--sheet", metavar="IMAGE", help="Also show this image; may be given several times."),
    ] = [],  # noqa: B006  (typer copies it)
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="What the curves show. Default: the NELBO excess on validation scenes."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Head of the page.")] = None,
    claims: Annotated[
        bool, typer.Option("--claims/--no-claims", help="Judge the claims.yaml of the first folder that has one.")
    ] = True,
    registry_files: RegistryFiles = [],  # noqa: B006  (typer copies it)
) -> None:
    """Write one HTML page that needs no network: tables, quality against cost, curves, predictions, variants, provenance.

    The tables are those of gqn-zoo compare. The same rows give the same bytes.
    """
    from zoo.cli import screen
    from zoo.report.claims_section import claims_table, find_claims
    from zoo.report.embedded_images import find_sheets
    from zoo.report.page import TITLE, write_page
    from zoo.report.runs import find_runs
    from zoo.results.store import load_rows

    rows = load_rows(paths)
    found = find_runs([*paths, *runs])
    images = [*find_sheets(paths), *sheets]
    stated = find_claims(paths) if claims else None
    write_page(
        rows,
        output,
        runs=found,
        sheets=images,
        metric=metric,
        title=title or TITLE,
        claims=claims_table(stated, rows) if stated is not None else None,
    )
    screen.log(
        f"wrote {output} ({output.stat().st_size / 1024:.0f} KiB): {len(rows)} rows, {len(found)} runs, "
        f"{len(images)} sheets"
    )
