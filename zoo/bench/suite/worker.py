"""The process of one job: ``python -m zoo.bench.suite.worker FOLDER``, started by hand, by a runner, by torchrun or on a cluster.

The folder contains ``job.json`` and receives ``progress.json``. The process exits with 0 when rows were written, also
rows of failures, and with 130 when it was interrupted; it ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from zoo.bench.suite.jobs import Job, failure_row, has_failed, missing_contexts, rows_of, run_job, train_job
from zoo.config.settings import first_problem
from zoo.errors import ConfigError, ZooError
from zoo.files import reading, write_text
from zoo.results.store import save_row
from zoo.training.session import lock_folder

JOB, PROGRESS = "job.json", "progress.json"
ATTACHED, RETRY = "--attached", "--retry"
INTERRUPTED = 130
# Wait for another process of the same job, which a killed runner may have left behind.
LOCK_TIMEOUT_SECONDS = 120.0
PROGRESS_INTERVAL_SECONDS = 0.5

_JOB = TypeAdapter(Job)


class JobState(NamedTuple):
    """The progress of a running job."""

    stage: str
    done: int
    total: int


def write_job(job: Job, folder: Path) -> None:
    """Writes a job for its process."""
    write_text(folder / JOB, _JOB.dump_json(job, indent=2).decode() + "\n")


def read_job(folder: Path) -> Job:
    """Reads a job; raises ConfigError if the file is missing or damaged."""
    path = folder / JOB
    try:
        with reading(path, error=ConfigError):
            return _JOB.validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_problem(error)}") from None


def read_state(folder: Path) -> JobState | None:
    """Returns the progress of a job, None before it has written any."""
    try:
        stage, done, total = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return JobState(str(stage), int(done), int(total))


class ProgressWriter:
    """Writes the progress of a job at most twice a second, and whenever a stage begins or ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PROGRESS
        self._next, self._stage = 0.0, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Writes the progress of a stage."""
        now = time.monotonic()
        if stage == self._stage and now < self._next and done < total:
            return
        self._stage, self._next = stage, now + PROGRESS_INTERVAL_SECONDS
        # Renamed, so that no reader sees half a file; not synced, because it is of no use after a crash.
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps([stage, done, total]), encoding="utf-8")
        temporary.replace(self.path)


def run_job_in(folder: str, *, retry: bool = False) -> int:
    """Runs the job of a folder, with ``retry`` although there is a row of its failure; returns the exit code."""
    path = Path(folder)
    if int(os.environ.get("RANK", "0")):
        return _train_only(path)
    with lock_folder(path, timeout=LOCK_TIMEOUT_SECONDS):
        job = read_job(path)
        if not retry and has_failed(job, rows_of(job)):
            return 0  # in the process that held the job before
        try:
            run_job(job, progress=ProgressWriter(path))
        except KeyboardInterrupt:
            return INTERRUPTED
        except Exception as error:  # a defect of one variant is a row and does not affect the others
            traceback.print_exc()
            save_row(failure_row(job, error), job.rows)
    return 0


def _train_only(path: Path) -> int:
    """Trains with the first process of a job over several GPUs; the first one measures and reports failures."""
    job = read_job(path)
    # All processes raise the same; an error code of this one would make the launcher end the first.
    with contextlib.suppress(ZooError, MemoryError):
        if job.data is not None and missing_contexts(job, rows_of(job)):
            train_job(job)
    return 0


def _exit_with_runner() -> None:
    """Ends this process when the pipe to its runner is closed, as it is by a death of any kind."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def main() -> None:
    """Runs the job of the folder that the command line names."""
    if ATTACHED in sys.argv:
        threading.Thread(target=_exit_with_runner, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt
    sys.exit(run_job_in(sys.argv[1], retry=RETRY in sys.argv))


if __name__ == "__main__":
    main()
