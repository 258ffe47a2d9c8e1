"""A training run while it goes on: the lock on its folder, its signals and its log."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Self, TextIO

import torch
from accelerate import Accelerator

from zoo.errors import CheckpointError
from zoo.files import write_text

LOCK = ".lock"
METRICS = "metrics.jsonl"


@contextlib.contextmanager
def lock_folder(run: Path, *, timeout: float = 0.0) -> Iterator[None]:
    """Locks a folder for one process while the block runs; the operating system releases it if the process dies.

    Raises:
        CheckpointError: if another process holds it for more than ``timeout`` seconds.
        OSError: if the folder cannot be written to.
    """
    path, deadline = run / LOCK, time.monotonic() + timeout
    run.mkdir(parents=True, exist_ok=True)
    while (file := _locked(path)) is None:
        if time.monotonic() >= deadline:
            raise CheckpointError(f"{run}: another process is training into this folder")
        time.sleep(0.1)
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> TextIO | None:
    """Returns a locked file, None if another process holds it."""
    file = path.open("a")
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder may have removed the file between the two calls, and another process made a new one.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    file.close()
    return None


class Interruption(contextlib.ExitStack):
    """Catches the first SIGINT or SIGTERM while the block runs, so that a run can end after its current step.

    A second signal ends the process at once: the handlers from before are restored by the first one, and at the end of
    the block.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signal: int | None = None

    def __enter__(self) -> Self:
        # Python allows signal handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.callback(signal.signal, number, signal.signal(number, self._record))
        return self

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.close()

    def agreed(self, accelerator: Accelerator, *, synchronize: bool) -> bool:
        """Returns whether any process received a signal; several processes exchange this only if ``synchronize``."""
        if accelerator.num_processes == 1:
            return self.signal is not None
        if not synchronize:
            return False
        flag = torch.tensor([float(self.signal is not None)], device=accelerator.device)
        return bool(accelerator.reduce(flag, reduction="sum").item() > 0)


class Tracker:
    """Log of a run: ``metrics.jsonl``, one JSON object per step, and accelerate's trackers; only the main process writes."""

    def __init__(self, run: Path, *, accelerator: Accelerator, resume_step: int) -> None:
        """Opens the log and drops what an interrupted run wrote after the step from which it is resumed."""
        self.path = run / METRICS
        self.accelerator = accelerator
        if accelerator.is_main_process:
            kept = [row for step, row in _rows(self.path) if step <= resume_step] if resume_step else []
            write_text(self.path, "".join(row + "\n" for row in kept))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one row. Values that are not finite are left out, since JSON cannot represent them."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if self.accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **finite}) + "\n")
        self.accelerator.log({name: value for name, value in finite.items() if "/" in name}, step=step)


def _rows(path: Path) -> list[tuple[int, str]]:
    """Returns the steps and the complete rows of a log; a killed process leaves an incomplete one."""
    if not path.is_file():
        return []
    found = []
    for row in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append((int(json.loads(row)["step"]), row))
        except (ValueError, TypeError, KeyError):
            continue
    return found
