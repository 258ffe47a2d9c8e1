"""Result rows on disk: one immutable JSON file a measurement, written once and checked whenever it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo.errors import ResultError
from zoo.files import TEMPORARY_PREFIX, write_text
from zoo.result_row import (
    KIND,
    PREDICT_THROUGHPUT,
    SCHEMA_VERSION,
    TRAIN_THROUGHPUT,
    Budget,
    ComparabilityKey,
    Metric,
    ModelFacts,
    ResultRow,
    Status,
    Timing,
    digest_of,
)

__all__ = [
    "KIND",
    "PREDICT_THROUGHPUT",
    "SCHEMA_VERSION",
    "TRAIN_THROUGHPUT",
    "Budget",
    "ComparabilityKey",
    "Metric",
    "ModelFacts",
    "ResultRow",
    "Status",
    "Timing",
    "digest_of",
    "load_row",
    "load_rows",
    "save_row",
]

MAX_FILE_BYTES = 64 * 2**20

_ROW_FILE = re.compile(r"^\d{8}T\d{6}Z-.+-[0-9a-f]{16}\.json$")


def save_row(row: ResultRow, folder: Path) -> Path:
    """Writes a row as ``<utc>-<variant>-<id>.json`` and returns the path.

    Raises:
        ResultError: if the file exists, or if the row was altered after it was made.
        DiskFullError: if the file cannot be written.
    """
    if row.id != digest_of(row):
        raise ResultError(f"row {row.id} of {row.variant!r} was altered after it was made; rows are immutable")
    utc = row.provenance.utc.replace("-", "").replace(":", "")
    variant = re.sub(r"[^A-Za-z0-9._-]+", "_", row.variant)[:80]
    path = Path(folder) / f"{utc}-{variant}-{row.id}.json"
    # Whoever wins a race for this name writes the same bytes: the id in it is a digest of them.
    if path.exists():
        raise ResultError(f"{path}: exists already; rows are never overwritten")
    text = json.dumps(row.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False)
    # One line for every list of numbers; strings cannot hold a raw line break, so that no string is touched.
    text = re.sub(r"\[\n[-+0-9.eE,\s]+\n\s*\]", lambda match: "[" + " ".join(match.group()[1:-1].split()) + "]", text)
    write_text(path, text + "\n")
    return path


def load_row(path: Path) -> ResultRow:
    """Reads one row.

    Raises:
        ResultError: naming the file and the field, if the file is missing, too large, torn, not a row of this version,
            or was altered.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ResultError(f"{path}: larger than {MAX_FILE_BYTES} bytes, hence not a result row")
        contents = json.loads(path.read_bytes(), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    except ResultError:
        raise
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(contents, dict) or contents.get("kind") != KIND:
        raise ResultError(f"{path}: kind: expected {KIND!r}, so this is not a result row")
    if contents.get("schema_version") != SCHEMA_VERSION:
        found = contents.get("schema_version")
        raise ResultError(f"{path}: schema_version: expected {SCHEMA_VERSION}, found {found!r}")
    if not contents.get("id"):
        raise ResultError(f"{path}: id: missing")
    try:
        return ResultRow.model_validate(contents)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "row"
        message = first["msg"].removeprefix("Value error, ")
        raise ResultError(f"{path}: {where}: {message}") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return names


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def load_rows(paths: Iterable[Path]) -> list[ResultRow]:
    """Reads rows from files and folders, each row once, in the order of time and id.

    In a folder every row below ``rows/`` is read, or below the folder itself where there is no ``rows/``; other JSON
    files in it are passed over.

    Raises:
        ResultError: if no row is found, or if a file that is meant to be a row is damaged.
    """
    paths = [Path(path) for path in paths]
    rows: dict[str, ResultRow] = {}
    for path in paths:
        for file in _row_files(path) if path.is_dir() else [path]:
            row = load_row(file)
            rows[row.id] = row
    if not rows:
        raise ResultError(f"no result rows in {', '.join(map(str, paths)) or 'an empty list of paths'}")
    return sorted(rows.values(), key=lambda row: (row.provenance.utc, row.id))


def _row_files(folder: Path) -> list[Path]:
    root = folder / "rows" if (folder / "rows").is_dir() else folder
    files = (path for path in root.rglob("*.json") if path.is_file() and not path.name.startswith(TEMPORARY_PREFIX))
    return sorted(path for path in files if _ROW_FILE.match(path.name) or _mentions_kind(path))


def _mentions_kind(path: Path) -> bool:
    with path.open("rb") as file:
        return KIND.encode() in file.read(MAX_FILE_BYTES)
