"""Result rows on disk: one immutable JSON file per measurement, written once and checked whenever it is read.

Files that pytest-benchmark saved of ``pytest benchmarks`` are read as rows too; see :mod:`zoo.results.pytest_benchmark`.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from zoo.config.settings import first_problem
from zoo.errors import ResultError
from zoo.files import TEMPORARY_PREFIX, load_json, reading, write_text
from zoo.results.pytest_benchmark import BENCHMARK_KIND, is_benchmark_file, rows_of_benchmarks
from zoo.results.row import KIND, SCHEMA_VERSION, ResultRow, digest_of

MAX_FILE_BYTES = 64 * 2**20

_ROW_FILE = re.compile(r"^\d{8}T\d{6}Z-.+-[0-9a-f]{16}\.json$")


def save_row(row: ResultRow, folder: Path) -> Path:
    """Writes a row as ``<utc>-<variant>-<id>.json`` and returns the path; a row that is there already is left as it is.

    Raises:
        ResultError: if the file exists but is damaged, or if the row was altered after it was made.
        DiskFullError: if the file cannot be written.
    """
    if row.id != digest_of(row):
        raise ResultError(f"row {row.id} of {row.variant!r} was altered after it was made; rows are immutable")
    path = row_path(row, folder)
    # The same measurement within the same second is the same row: its id is a digest of the contents.
    if path.exists():
        if load_row(path).id == row.id:
            return path
        raise ResultError(f"{path}: exists already; rows are never overwritten")
    text = json.dumps(row.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False)
    # Each list of numbers on one line; strings cannot contain a raw line break, so that no string is changed.
    text = re.sub(r"\[\n[-+0-9.eE,\s]+\n\s*\]", lambda match: "[" + " ".join(match.group()[1:-1].split()) + "]", text)
    write_text(path, text + "\n")
    return path


def row_path(row: ResultRow, folder: Path) -> Path:
    """Returns the file of a row in a folder."""
    utc = row.provenance.utc.replace("-", "").replace(":", "")
    return Path(folder) / f"{utc}-{_in_file_name(row.variant)}-{row.id}.json"


def _in_file_name(variant: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", variant)[:80]


def rows_in(folder: Path, *, variant: str | None = None) -> list[ResultRow]:
    """Returns the rows of a folder, or those of one variant, none if there are none yet.

    Raises:
        ResultError: if a row is damaged.
    """
    pattern = "*.json" if variant is None else f"*Z-{_in_file_name(variant)}-*.json"
    return [row for row in _in_order(_rows_below(folder, pattern)) if variant in (None, row.variant)]


def load_row(path: Path) -> ResultRow:
    """Reads one row.

    Raises:
        ResultError: naming the file and the field, if the file is missing, too large, torn, not a row of this version,
            or was altered.
    """
    return _row_of(parse_json(_read(Path(path)), path=str(path)), path=str(path))


def load_rows(paths: Iterable[Path | str]) -> list[ResultRow]:
    """Reads rows from files, folders and git revisions, each row once, in the order of time and id.

    In a folder every row below ``rows/`` is read, or below the folder itself where there is no ``rows/``; other JSON
    files are skipped.

    Args:
        paths: files and folders; what is neither but has the form ``REVISION:PATH`` (``HEAD~1:results``), is read from
            the git repository of the working directory.

    Raises:
        ResultError: if no row is found, if a row is damaged, or if there is no such file, revision or path in it.
    """
    names = [str(path) for path in paths]
    rows = _in_order(row for name in names for row in _rows_at(name))
    if not rows:
        raise ResultError(f"no result rows in {', '.join(names) or 'an empty list of paths'}")
    return rows


def _in_order(rows: Iterable[ResultRow]) -> list[ResultRow]:
    return sorted({row.id: row for row in rows}.values(), key=lambda row: (row.provenance.utc, row.id))


def _rows_at(name: str) -> list[ResultRow]:
    place = Path(name)
    if not place.exists() and re.fullmatch(r"[^:]+:.*", name):
        return _rows_in_git(name)
    if not place.is_dir():
        return _rows_of(_read(place), path=name)
    return _rows_below(place / "rows" if (place / "rows").is_dir() else place)


def _rows_below(folder: Path, pattern: str = "*.json") -> list[ResultRow]:
    """Returns the rows below a folder. Other JSON files are skipped, and those that another process is writing."""
    return [
        row
        for path in sorted(folder.rglob(pattern))
        if not path.name.startswith(TEMPORARY_PREFIX) and path.is_file()
        if _ROW_FILE.match(path.name) or path.stat().st_size <= MAX_FILE_BYTES
        for row in _rows_of_any(_read(path), path=str(path))
    ]


def _read(path: Path) -> bytes:
    with reading(path, error=ResultError):
        if path.exists() and not path.is_file():
            raise ResultError(f"{path}: expected a result row or a folder, found neither")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ResultError(f"{path}: larger than {MAX_FILE_BYTES} bytes, hence not a result row")
        return path.read_bytes()


def _rows_of_any(data: bytes, *, path: str) -> list[ResultRow]:
    """Returns the rows of a JSON file of a folder, none if it is another kind of file."""
    is_row = _ROW_FILE.match(path.rpartition("/")[2]) or any(kind.encode() in data for kind in (KIND, BENCHMARK_KIND))
    return _rows_of(data, path=path) if is_row else []


def _rows_of(data: bytes, *, path: str) -> list[ResultRow]:
    """Returns the row of a result file, or the rows of a file of pytest-benchmark."""
    contents = parse_json(data, path=path)
    if isinstance(contents, dict) and is_benchmark_file(contents):
        return rows_of_benchmarks(contents, path=path)
    return [_row_of(contents, path=path)]


def parse_json(data: bytes, *, path: str) -> object:
    """Parses JSON without repeated keys, NaN and infinity.

    Raises:
        ResultError: with ``path``, if it is not valid.
    """
    try:
        return load_json(data)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: not valid JSON: {error}") from error


def _row_of(contents: object, *, path: str) -> ResultRow:
    if not isinstance(contents, Mapping) or contents.get("kind") != KIND:
        raise ResultError(f"{path}: kind: expected {KIND!r}, so this is not a result row")
    if contents.get("schema_version") != SCHEMA_VERSION:
        found = contents.get("schema_version")
        raise ResultError(f"{path}: schema_version: expected {SCHEMA_VERSION}, found {found!r}")
    if not contents.get("id"):
        raise ResultError(f"{path}: id: missing")
    try:
        return ResultRow.model_validate(contents)
    except ValidationError as error:
        raise ResultError(f"{path}: {first_problem(error)}") from error


def _rows_in_git(spec: str) -> list[ResultRow]:
    """Reads the rows of a file or folder ``REVISION:PATH``, all blobs through one process of git."""
    missing = f"{spec}: found neither on disk nor in git"
    name = _git("rev-parse", "--verify", "--quiet", "--end-of-options", spec, missing=missing).decode().strip()
    if _git("cat-file", "-t", name).strip() == b"blob":
        return _rows_of(_git("cat-file", "blob", name), path=spec)
    files = {}
    for entry in _git("ls-tree", "--full-tree", "-r", "-z", name).split(b"\0")[:-1]:
        about, _, encoded = entry.partition(b"\t")
        if encoded.endswith(b".json"):
            files[encoded.decode(errors="replace")] = about.split()[2]
    if any(path.startswith("rows/") for path in files):
        files = {path: blob for path, blob in files.items() if path.startswith("rows/")}
    answer = io.BytesIO(_git("cat-file", "--batch", given=b"".join(blob + b"\n" for blob in files.values())))
    rows = []
    for path in files:
        size = int(answer.readline().split()[2])
        rows += _rows_of_any(answer.read(size + 1)[:-1], path=f"{spec}/{path}")  # a line break follows
    return rows


def _git(*arguments: str, given: bytes | None = None, missing: str = "git could not read the result rows") -> bytes:
    program = shutil.which("git")
    if program is None:
        raise ResultError(f"{missing}: there is no program 'git'")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise ResultError(missing)
    return done.stdout
