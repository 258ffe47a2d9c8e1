"""The process of one job: ``python -m zoo.bench.suite.worker FOLDER``, by hand, by our runner, by torchrun or on a cluster.

The folder holds ``job.json`` and gets ``progress.json``. The process leaves with 0 when rows were written (those of
failures too), with 130 when it was interrupted, and by itself when the one that started it is no more.
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
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from zoo.bench.suite.jobs import Job, carry_out, failed, failure_of, missing_contexts, rows_of, train_job
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.files import write_text
from zoo.results.store import save_row
from zoo.training.session import RunLock

JOB, PROGRESS = "job.json", "progress.json"
ATTACHED, AGAIN = "--attached", "--again"
INTERRUPTED = 130
# How long to wait for the end of another process of the same job, which a killed runner may have left behind.
PATIENCE_SECONDS = 120.0
TOLD_EVERY_SECONDS = 0.5

_JOB = TypeAdapter(Job)


class State(NamedTuple):
    """How far a job is."""

    stage: str
    done: int
    total: int


def write_job(job: Job, folder: Path) -> None:
    """Writes a job for its process."""
    write_text(folder / JOB, _JOB.dump_json(job, indent=2).decode() + "\n")


def read_job(folder: Path) -> Job:
    """Reads a job.

    Raises:
        ConfigError: if the file is missing or damaged.
    """
    path = folder / JOB
    try:
        return _JOB.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def read_state(folder: Path) -> State | None:
    """Returns how far a job is, None before it has said anything."""
    try:
        stage, done, total = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return State(str(stage), int(done), int(total))


class ProgressWriter:
    """Leaves word of how far a job is, not more often than anybody would look."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PROGRESS
        self._next, self._stage = 0.0, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Is told a stage, how much of it is done, and of how much."""
        now = time.monotonic()
        if stage == self._stage and now < self._next and done < total:
            return
        self._stage, self._next = stage, now + TOLD_EVERY_SECONDS
        # Renamed, so that it is never read half; not forced to the disk, for it is worth nothing after a crash.
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps([stage, done, total]), encoding="utf-8")
        temporary.replace(self.path)


@contextlib.contextmanager
def only_process_of(folder: Path) -> Iterator[None]:
    """Waits until no other process works on a job, and keeps others away."""
    until = time.monotonic() + PATIENCE_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(RunLock(folder))
                break
            except CheckpointError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield


def carry_out_in(folder: str, *, again: bool = False) -> int:
    """Carries the job of a folder out and returns the exit code. What has its rows already is not done again.

    Args:
        folder: of the job.
        again: tries although there is a row of the job's failure.
    """
    place = Path(folder)
    if int(os.environ.get("RANK", "0")):
        return _take_part(place)
    with only_process_of(place):
        job = read_job(place)
        if not again and failed(job, rows_of(job)):
            return 0  # by the process that this one waited for
        try:
            carry_out(job, watch=ProgressWriter(place))
        except KeyboardInterrupt:
            return INTERRUPTED
        except Exception as error:  # a defect of one variant is a row, and must not spoil the others
            traceback.print_exc()
            save_row(failure_of(job, error), job.rows)
    return 0


def _take_part(place: Path) -> int:
    """Trains along with the first process of a job over several GPUs; that one measures and tells of failures."""
    job = read_job(place)
    try:
        if job.data is not None and missing_contexts(job, rows_of(job)):
            train_job(job)
    except (ZooError, MemoryError):
        pass  # all processes raise the same; were this one to leave with an error, the launcher would end the first
    return 0


def _leave_with_the_runner() -> None:
    """Ends this process when the pipe to the one that started it is closed, as it is by a death of any kind."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Runs the job of the folder that the command line names."""
    if ATTACHED in sys.argv:
        threading.Thread(target=_leave_with_the_runner, daemon=True).start()
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(carry_out_in(sys.argv[1], again=AGAIN in sys.argv))


if __name__ == "__main__":
    main()
