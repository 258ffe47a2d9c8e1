"""Files are written whole or not at all: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import DiskFullError

TEMPORARY_PREFIX = ".writing-"


def temporary_prefix(target: Path) -> str:
    """Returns how the temporary names begin under which ``target`` is written; they lie beside it."""
    return f"{TEMPORARY_PREFIX}{target.name[:80]}-"


def check_free_space(target: str | os.PathLike[str], *, num_bytes: int) -> None:
    """Refuses to begin what the disk has no room for.

    Args:
        target: the file or folder to write; neither it nor its parents need to exist.
        num_bytes: how much will be written.

    Raises:
        DiskFullError: if the disk that holds ``target`` has less room than that.
    """
    folder = Path(target).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DiskFullError(
            f"{target}: needs {num_bytes / 1e9:.3g} GB, but the disk has {free / 1e9:.3g} GB left; nothing was written"
        )


def _as_user_error(target: Path, error: OSError) -> DiskFullError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return DiskFullError(f"{target}: cannot be written: {reason}; nothing was changed there")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside ``target``; when the block ends without an error it becomes ``target``.

    The data reaches the disk before the rename, so that a crash leaves the old file or the new one, never a torn one.

    Raises:
        DiskFullError: if the disk is full, the folder is read-only, or any other operating-system error occurs.
    """
    target = Path(target)
    temporary: Path | None = None
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(
                dir=target.parent, prefix=temporary_prefix(target), suffix=target.suffix[:16]
            )
            os.close(descriptor)
            temporary = Path(name)
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            # mkstemp makes files that only their owner may read; a result is as readable as any other file.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
            _sync_directory(target.parent)
        except OSError as error:
            raise _as_user_error(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_directory(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder beside ``target``; when the block ends without an error it becomes ``target``.

    Raises:
        DiskFullError: if ``target`` exists already, or if any operating-system error occurs.
    """
    target = Path(target)
    temporary: Path | None = None
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise DiskFullError(f"{target}: exists already; it is never overwritten")
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=temporary_prefix(target)))
            # mkdtemp makes folders that only their owner may enter; a result is as readable as any other folder.
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with file.open("rb+") as written:
                        os.fsync(written.fileno())
                else:
                    _sync_directory(file)
            _sync_directory(temporary)
            temporary.rename(target)
            _sync_directory(target.parent)
        except OSError as error:
            raise _as_user_error(target, error) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` as UTF-8, whole or not at all."""
    with writing_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Writes ``value`` as indented JSON with sorted keys; numbers that JSON does not know (NaN) are refused."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
