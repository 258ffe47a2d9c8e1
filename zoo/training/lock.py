"""One run's folder belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from zoo.errors import CheckpointError

NAME = ".lock"


class RunLock:
    """Holds a folder for as long as the block runs; the operating system lets go of it if the process dies.

    Raises:
        CheckpointError: if another process holds it.
        OSError: if the folder cannot be written to.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / NAME
        self._file: int | None = None

    def __enter__(self) -> RunLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed it between the two calls, and somebody else made a new one.
            held = self.path.exists() and os.path.samestat(os.fstat(self._file), self.path.stat())
        except BlockingIOError:
            held = False
        if not held:
            os.close(self._file)
            self._file = None
            raise CheckpointError(f"{self.path.parent}: another process is training into this folder")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None
