"""One HTML page for result rows, which needs no network: a supplement of a paper, or the result of a night of training.

A template escapes every text. The page's own policy (CSP) admits nothing but its style, its script and embedded images. The
same rows give the same bytes, so that a page in git is compared like a table.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from zoo.comparison.claim_file import CLAIMS_FILE, load_claims
from zoo.comparison.claim_tables import table_of_claims
from zoo.comparison.claims import judge_claims
from zoo.comparison.formatting import sanitize
from zoo.comparison.leaderboards import Leaderboard, leaderboards_of, main_leaderboards
from zoo.comparison.records import csv_of, leaderboard_records
from zoo.comparison.seed_groups import without_superseded
from zoo.comparison.tables import image_table_of, tables_of
from zoo.errors import ResultError
from zoo.figures.attachments import NONE, Attachments
from zoo.files import write_text
from zoo.report.cards import cards_of
from zoo.report.images import (
    EmbeddedImage,
    PageChart,
    curve_charts,
    data_uri,
    embed_file,
    leaderboard_chart,
    pareto_chart,
)
from zoo.report.page_tables import PageTable, caveats_of, failures_of, page_table, provenance_of
from zoo.report.runs import Run
from zoo.results.row import ResultRow

TITLE = "GQN zoo: comparison"


class StaticText(NamedTuple):
    """A style or script of the page, with the hash by which the page's policy admits it."""

    text: Markup
    hash: str


class BoardSection(NamedTuple):
    """A leaderboard on the page."""

    number: int
    is_main: bool  # else folded
    table: PageTable
    images: PageTable | None  # image metrics
    failures: PageTable | None
    figure: PageChart | None  # quality against training time, with predictions, of a main leaderboard
    chart: EmbeddedImage | None  # quality against every cost, of a main leaderboard


def find_claims(paths: Sequence[Path]) -> Path | None:
    """Returns the file of claims in the first folder that has one, None if none has."""
    return next((Path(path) / CLAIMS_FILE for path in paths if (Path(path) / CLAIMS_FILE).is_file()), None)


def write_page(rows: Sequence[ResultRow], target: Path, **contents: Any) -> Path:
    """Writes the page of :func:`page_of` and returns its path.

    Raises:
        ResultError: if the name does not end with .html, or as :func:`page_of`.
        DiskFullError: if the file cannot be written.
    """
    target = Path(target)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ResultError(f"{target}: expected a name that ends with .html")
    write_text(target, page_of(rows, **contents))
    return target


def page_of(
    rows: Sequence[ResultRow],
    *,
    runs: Sequence[Run] = (),
    sheets: Sequence[Path] = (),
    attachments: Attachments = NONE,
    metric: str | None = None,
    title: str = TITLE,
    claims: Path | None = None,
) -> str:
    """Returns the page as HTML; it does not depend on the order of the rows or the date.

    Args:
        rows: to be compared; rows that are not comparable are in different tables.
        runs: for learning curves.
        sheets: images of predictions.
        attachments: files beside the rows, for the figures of leaderboards.
        metric: of the learning curves, as in :func:`curve_charts`.
        title: of the page.
        claims: a file of claims; a claim whose rows are missing is unknown.

    Raises:
        ConfigError: if the claims are damaged.
        ResultError: if there are no rows, if a log or an image is damaged, or if the rows of a claim are not comparable.
    """
    if not rows:
        raise ResultError("a page needs at least one result row")
    rows = sorted(rows, key=lambda row: (row.provenance.utc, row.id))
    environments, provenance = provenance_of(rows)
    current = without_superseded(rows)
    boards = leaderboards_of(current)
    # The main leaderboards come first; those of a single result are not.
    main = [board for board in main_leaderboards(boards) if len(board.entries) > 1] or boards
    boards = [*main, *(board for board in boards if not any(board is other for other in main))]
    models, judged = [row for row in rows if not row.is_baseline], None
    if claims is not None:
        written = load_claims(claims)
        judged = page_table(table_of_claims(written.title, judge_claims(written, rows, allow_missing=True)))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zoo.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_sanitized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=title,
        style=_static_text(environment, "style.css"),
        script=_static_text(environment, "sorting.js"),
        days=sorted({row.provenance.utc[:10] for row in rows}),
        num_variants=len({row.variant for row in models}),
        num_rows=len(rows),
        caveats=caveats_of(current),
        claims=judged,
        boards=_board_sections(boards, attachments, num_main=len(main)),
        csv=data_uri("text/csv", csv_of(leaderboard_records(boards)).encode("utf-8", "replace")),
        curves=curve_charts(runs, rows, metric=metric),
        sheets=[embed_file(sheet) for sheet in sheets],
        cards=cards_of(models, runs),
        failures=failures_of(current),
        environments=environments,
        provenance=provenance,
    )


def _board_sections(boards: Sequence[Leaderboard], attachments: Attachments, *, num_main: int) -> list[BoardSection]:
    sections = []
    for number, (board, table) in enumerate(zip(boards, tables_of(boards), strict=True), start=1):
        images, is_main = image_table_of(board), number <= num_main
        sections.append(
            BoardSection(
                number=number,
                is_main=is_main,
                table=page_table(table),
                images=page_table(images) if images else None,
                failures=page_table(table.failures) if table.failures else None,
                figure=leaderboard_chart(board, attachments, name=f"Leaderboard of table {number}")
                if is_main
                else None,
                chart=pareto_chart(board, name=f"Quality against cost of table {number}") if is_main else None,
            )
        )
    return sections


def _sanitized(value: Any) -> Any:
    """Removes control characters, lone surrogates and changes of the writing direction from every text of the page."""
    return sanitize(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _static_text(environment: jinja2.Environment, name: str) -> StaticText:
    assert environment.loader is not None
    text = environment.loader.get_source(environment, name)[0]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return StaticText(text=Markup(text), hash=digest)  # noqa: S704 -- a file of this package
