"""Failures that were made good: a job that failed, was tried again and came out is no failure of its variant any more."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.results.row import ResultRow


def without_superseded(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Returns the rows without the failures after which the same job came out.

    Jobs of a suite name themselves in their rows. A failure without such a name counts as made good by a younger row of
    the same variant and seed with the same key.

    Args:
        rows: in any order, which is kept; all that there are, since what came out may belong into another table.
    """
    rows = list(rows)
    came_out: dict[tuple[str, int], list[ResultRow]] = {}
    for row in rows:
        if row.status == "ok":
            came_out.setdefault((row.variant, row.provenance.seed), []).append(row)
    return [
        row
        for row in rows
        if row.status == "ok"
        or not any(_makes_good(row, other) for other in came_out.get((row.variant, row.provenance.seed), []))
    ]


def _makes_good(failure: ResultRow, row: ResultRow) -> bool:
    if row.provenance.utc <= failure.provenance.utc:  # one format, in which the order of texts is that of times
        return False
    if failure.provenance.job is not None:
        return row.provenance.job == failure.provenance.job
    return failure.key is not None and row.key == failure.key
