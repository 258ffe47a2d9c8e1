"""What a folder of results claims, as a table of its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.comparison.claim_file import CLAIMS_FILE, load_claims
from zoo.comparison.claim_tables import table_of_claims
from zoo.comparison.claims import judge_claims
from zoo.comparison.markup import Table
from zoo.report.page_tables import PageTable, page_tables
from zoo.results.row import ResultRow


def find_claims(places: Sequence[Path]) -> Path | None:
    """Returns the file of claims in the first folder that has one, None if none has."""
    return next((Path(place) / CLAIMS_FILE for place in places if (Path(place) / CLAIMS_FILE).is_file()), None)


def claims_table(file: Path, rows: Sequence[ResultRow]) -> Table:
    """Returns the claims of a file with their verdicts; a claim whose rows are missing is unknown.

    Raises:
        ConfigError: if the file is not one of claims.
        ResultError: naming the claim, if the rows that it is about may not be compared.
    """
    claims = load_claims(file)
    return table_of_claims(claims.title, judge_claims(claims, rows, allow_missing=True))


def on_page(table: Table) -> PageTable:
    """Returns the table as cells of a page, called ``claims``."""
    return page_tables([table])[0]._replace(identity="claims")
