"""The log of a training run, ``metrics.jsonl``: one JSON object per line, with ``step`` and ``seconds``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from zoo.errors import ResultError

LOG = "metrics.jsonl"


class Point(NamedTuple):
    """One value of a metric during training."""

    step: int
    seconds: float
    value: float


def read_curve(path: Path, *, metric: str) -> list[Point]:
    """Reads the values of a metric from a log.

    A resumed run goes back to its checkpoint; the values that were logged after that step, before the interruption, are
    left out. A last line without a line break is ignored: a running job is still writing it.

    Raises:
        ResultError: naming the file and the line, if the log is missing or any other line is damaged.
    """
    points: list[Point] = []
    last = -1
    for number, record in _records(path):
        step, seconds, value = record.get("step"), record.get("seconds"), record.get(metric)
        if not _is_number(step) or step != int(step) or step < 0:
            raise ResultError(f"{path}, line {number}: step: expected a whole number, found {step!r}")
        if not _is_number(seconds):
            raise ResultError(f"{path}, line {number}: seconds: expected a number, found {seconds!r}")
        if step < last:
            points = [point for point in points if point.step < step]
        last = int(step)
        if value is None:
            continue
        if not _is_number(value):
            raise ResultError(f"{path}, line {number}: {metric}: expected a number, found {value!r}")
        points.append(Point(int(step), float(seconds), float(value)))
    return points


def metric_names(path: Path) -> set[str]:
    """Returns the names of all metrics in a log; raises the errors of :func:`read_curve`."""
    names = {name for _, record in _records(path) for name, value in record.items() if _is_number(value)}
    return names - {"step", "seconds", "scenes"}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    lines.pop()  # what follows the last line break: nothing, or a line still being written
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ResultError(f"{path}, line {number}: not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise ResultError(f"{path}, line {number}: expected an object, found {type(record).__name__}")
        records.append((number, record))
    return records
