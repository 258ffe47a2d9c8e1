"""The page itself: everything gathered, laid out by a template that escapes whatever it is given.

Scenes of use:

* A paper's supplement: ``write_page(load_rows([Path("results")]), Path("supplement.html"))`` gives a file to upload, which
  referees open without a network; every number has its row, commit and command on the same page.
* After a night of training: ``gqn-zoo report results -o page.html`` finds the runs and the sheets below ``results``, so
  that tables, curves, costs and images stand together; failures are told at the top and listed, not left out.
* In continuous integration: the same rows give the same bytes, so that a page kept in git is compared like a table.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from zoo.comparison.formatting import sanitize
from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.markup import Table
from zoo.comparison.records import csv_of, leaderboard_records
from zoo.comparison.seed_groups import without_superseded
from zoo.comparison.tables import image_table_of, table_of
from zoo.errors import ResultError
from zoo.files import write_text
from zoo.report.cards import cards_of
from zoo.report.charts import style_of
from zoo.report.claims_section import on_page
from zoo.report.costs import cost_figures
from zoo.report.embedded_images import embed
from zoo.report.learning_curves import curve_figures
from zoo.report.page_tables import page_tables
from zoo.report.provenance import caveats, failures_of, origins_of
from zoo.report.runs import Run
from zoo.results.row import ResultRow

TITLE = "GQN zoo: comparison"


class Inset(NamedTuple):
    """Static text of ours with the digest by which the page's own policy admits it."""

    text: Markup
    digest: str


def write_page(
    rows: Sequence[ResultRow],
    target: Path,
    *,
    runs: Sequence[Run] = (),
    sheets: Sequence[Path] = (),
    metric: str | None = None,
    title: str = TITLE,
    claims: Table | None = None,
) -> Path:
    """Writes the page of :func:`page_of` and returns its path.

    Raises:
        ResultError: if the name does not end with .html, or as :func:`page_of`.
        DiskFullError: if the file cannot be written.
    """
    target = Path(target)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ResultError(f"{target}: expected a name that ends with .html")
    write_text(target, page_of(rows, runs=runs, sheets=sheets, metric=metric, title=title, claims=claims))
    return target


def page_of(
    rows: Sequence[ResultRow],
    *,
    runs: Sequence[Run] = (),
    sheets: Sequence[Path] = (),
    metric: str | None = None,
    title: str = TITLE,
    claims: Table | None = None,
) -> str:
    """Returns the page as HTML; rows in another order, or a later day, give the same bytes.

    Args:
        rows: what is compared; unlike rows get tables of their own, as everywhere.
        runs: whose learning curves are drawn.
        sheets: images of predictions.
        metric: of the curves, a name in ``metrics.jsonl``; None takes the excess on validation scenes.
        title: head of the page.
        claims: what is concluded, with verdicts (``zoo.report.claims_section.claims_table``).

    Raises:
        ResultError: if there are no rows, or if a log or a image is damaged.
    """
    if not rows:
        raise ResultError("a page needs at least one result row")
    rows = sorted(rows, key=lambda row: (row.provenance.utc, row.id))
    environments, origins = origins_of(rows)
    standing = without_superseded(rows)
    groups = leaderboards_of(standing)
    models = [row for row in rows if not row.is_baseline]
    images = [image_table_of(group) for group in groups]
    names = {row.variant for row in models} | {run.label for run in runs}
    styles = {name: style for style, name in enumerate(sorted(names))}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zoo.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_on_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=title,
        style=_inset(environment, "style.css"),
        script=_inset(environment, "sorting.js"),
        days=sorted({row.provenance.utc[:10] for row in rows}),
        variants=len({row.variant for row in models}),
        rows=rows,
        tables=page_tables([table_of(group, columns="wide") for group in groups]),
        of_images=[None if table is None else page_tables([table])[0] for table in images],
        csv=_data_address(csv_of(leaderboard_records(groups))),
        caveats=caveats(standing),
        claims=on_page(claims) if claims is not None else None,
        curves=curve_figures(runs, rows, styles=styles, metric=metric),
        costs=cost_figures(groups, styles=styles),
        images=[embed(sheet) for sheet in sheets],
        cards=cards_of(models, runs),
        failures=failures_of(standing),
        environments=environments,
        origins=origins,
        style_of=style_of,
    )


def _on_one_line(value: Any) -> Any:
    """Takes control characters, lone surrogates and turns of the writing direction out of every text that is shown."""
    return sanitize(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _inset(environment: jinja2.Environment, name: str) -> Inset:
    assert environment.loader is not None
    text = environment.loader.get_source(environment, name)[0]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Inset(text=Markup(text), digest=digest)  # noqa: S704 -- a file of this package


def _data_address(csv: str) -> str:
    return "data:text/csv;base64," + base64.b64encode(csv.encode("utf-8", "replace")).decode("ascii")
