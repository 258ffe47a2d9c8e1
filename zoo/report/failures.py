"""Failures that were made good: a job that failed, was tried again and came out is no failure of its variant any more."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from zoo.results import ResultRow

# They say how a command goes on with what is there, not what it does.
_GOES_ON = frozenset({"--retry", "--resume", "--no-resume"})


def without_superseded(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Returns the rows without the failures after which the same variant and seed came out in the same measurement.

    That it was the same is known where the failure has a key, which the younger row must share, or where both rows come
    of the same command on one set of scenes, which has one job for a variant and seed. A suite has several; of a failure
    without a key in a suite it cannot be told which of them it was, so it stays.

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
    if failure.key is not None:
        return row.key == failure.key
    job = _only_job_of(failure.provenance.command)
    return job is not None and job == _only_job_of(row.provenance.command)


def _only_job_of(command: str) -> tuple[str, ...] | None:
    """Returns the words that decide what a command does, None unless it has one job for a variant and seed."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    names = {word.partition("=")[0] for word in words}
    if "--data" not in names or "--suite" in names:
        return None
    return tuple(word for word in words if word not in _GOES_ON)
