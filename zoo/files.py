"""Files are written whole or not at all: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from zoo.errors import DiskFullError, ZooError

TEMPORARY_PREFIX = ".writing-"


def temporary_prefix(target: Path) -> str:
    """Returns how the temporary names begin under which ``target`` is written; they lie beside it."""
    return f"{TEMPORARY_PREFIX}{target.name[:80]}-"


def check_free_space(target: str | os.PathLike[str], *, num_bytes: int) -> None:
    """Refuses to begin what the disk has no room for; neither ``target`` nor its parents need to exist.

    Raises:
        DiskFullError: if the disk that holds ``target`` has less room than ``num_bytes``.
    """
    folder = Path(target).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DiskFullError(
            f"{target}: needs {num_bytes / 1e9:.3g} GB, but the disk has {free / 1e9:.3g} GB left; nothing was written"
        )


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _temporary(target: Path, make: Callable[[], Path]) -> Iterator[Path]:
    """Gives what ``make`` makes beside ``target``, and removes it at the end unless it was renamed."""
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = make()
        yield temporary
        _sync(target.parent)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DiskFullError(f"{target}: cannot be written: {reason}; nothing was changed there") from error
    finally:
        if temporary is not None and temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside ``target``; when the block ends without an error it becomes ``target``.

    The data reaches the disk before the rename, so that a crash leaves the old file or the new one, never a torn one.

    Raises:
        DiskFullError: if the disk is full, the folder is read-only, or any other operating-system error occurs.
    """
    target = Path(target)

    def make() -> Path:
        prefix, suffix = temporary_prefix(target), target.suffix[:16]
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=suffix)
        os.close(descriptor)
        return Path(name)

    with _temporary(target, make) as temporary:
        yield temporary
        _sync(temporary)
        # mkstemp makes files that only their owner may read; a result is as readable as any other file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)


@contextlib.contextmanager
def writing_directory(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder beside ``target``; when the block ends without an error it becomes ``target``.

    Raises:
        DiskFullError: if ``target`` exists already, or if any operating-system error occurs.
    """
    target = Path(target)

    def make() -> Path:
        if target.exists():
            raise DiskFullError(f"{target}: exists already; it is never overwritten")
        return Path(tempfile.mkdtemp(dir=target.parent, prefix=temporary_prefix(target)))

    with _temporary(target, make) as temporary:
        # mkdtemp makes folders that only their owner may enter; a result is as readable as any other folder.
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        for path in (*sorted(temporary.rglob("*")), temporary):
            _sync(path)
        temporary.rename(target)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` as UTF-8, whole or not at all."""
    with writing_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Writes ``value`` as indented JSON with sorted keys; numbers that JSON does not know (NaN) are refused."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


@contextlib.contextmanager
def reading(origin: object, *, error: type[ZooError]) -> Iterator[None]:
    """Raises ``error`` for an operating-system error of the block, such as a missing file; ``origin`` begins the message."""
    try:
        yield
    except OSError as cause:
        raise error(f"{origin}: cannot be read: {cause.strerror}") from cause


def load_json(text: str | bytes) -> Any:
    """Returns the value of JSON without repeated keys, NaN and infinity; raises ValueError or RecursionError otherwise."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"the key {twice!r} is given twice")
        return found

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"found {constant}, expected a finite number")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
