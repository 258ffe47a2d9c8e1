"""Runs the jobs of a suite, several at a time, each in a process of its own; the same call resumes after any crash.

Only the rows count: a row is written whole or not at all, a job is recognised by its content, and a process looks for the
rows of its job under the job's lock before it begins.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from zoo.bench.suite.engines import Engine, RunningJob
from zoo.bench.suite.jobs import Job, digest_of_job, failure_row, has_failed, is_done, rows_of
from zoo.bench.suite.worker import PROGRESS, JobState, read_state, write_job
from zoo.results.store import rows_in, save_row

JOBS = "jobs"
POLL_SECONDS = 0.2


class ProgressListener(Protocol):
    """Receives the progress of jobs."""

    def started(self, job: Job) -> None:
        """Called when a job was started."""

    def progressed(self, job: Job, state: JobState) -> None:
        """Called while a job runs."""

    def ended(self, job: Job, failure: str | None) -> None:
        """Called when a job has ended; a failure is a row by then."""


@dataclass
class JobStatus:
    """Jobs by their status."""

    done: list[Job] = field(default_factory=list)  # with all of their rows
    failed: list[Job] = field(default_factory=list)  # with a row of their failure; not run again without ``retry``
    waiting: list[Job] = field(default_factory=list)  # to be run


def partition_jobs(jobs: Sequence[Job], *, retry: bool, limit: int | None = None) -> JobStatus:
    """Sorts jobs of one folder by their rows; at most ``limit`` are waiting, failed ones too with ``retry``.

    Raises:
        ResultError: if a row is damaged.
    """
    status = JobStatus()
    rows = rows_in(jobs[0].rows) if jobs else []
    for job in jobs:
        if is_done(job, rows):
            status.done.append(job)
        elif not retry and has_failed(job, rows):
            status.failed.append(job)
        else:
            status.waiting.append(job)
    status.waiting = status.waiting[:limit]
    return status


def run_jobs(
    jobs: Sequence[Job], *, engine: Engine, output: Path, listener: ProgressListener, retry: bool = False
) -> list[Job]:
    """Runs jobs in their order, as many at a time as the engine has slots, and returns those that failed.

    With ``retry`` a job runs although there is a row of its failure.

    Raises:
        KeyboardInterrupt: on Ctrl-C or a termination, after every running job has written its checkpoint.
    """
    waiting = list(jobs)
    running: list[tuple[Job, RunningJob]] = []
    failures: list[Job] = []
    interrupted = False
    try:
        while waiting or running:
            batch = waiting[: engine.free_slots()]
            del waiting[: len(batch)]
            folders = [_prepare(job, output) for job in batch]
            started: Sequence[RunningJob] = engine.start(folders, retry=retry) if batch else ()
            for entry in zip(batch, started, strict=True):
                running.append(entry)
                listener.started(entry[0])
            time.sleep(POLL_SECONDS)
            for entry in list(running):
                job, process = entry
                state = read_state(process.folder)
                if state is not None:
                    listener.progressed(job, state)
                if not process.ended():
                    continue
                running.remove(entry)
                failure = process.failure()
                interrupted |= isinstance(failure, KeyboardInterrupt)
                error = _ensure_row(job, failure)
                if error is not None:
                    failures.append(job)
                listener.ended(job, error)
            if interrupted:
                raise KeyboardInterrupt
    except (KeyboardInterrupt, SystemExit):
        for _, process in running:
            process.interrupt()
        while not all(process.ended() for _, process in running):
            time.sleep(POLL_SECONDS)
        raise KeyboardInterrupt from None
    return failures


def _prepare(job: Job, output: Path) -> Path:
    folder = output / JOBS / digest_of_job(job)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROGRESS).unlink(missing_ok=True)
    write_job(job, folder)
    return folder


def _ensure_row(job: Job, failure: BaseException | None) -> str | None:
    """Returns a job's failure, None if it did not fail; writes a row of the failure if there is none yet."""
    if isinstance(failure, KeyboardInterrupt):
        return None
    rows = rows_of(job)
    if is_done(job, rows):
        return None  # also if the process died at its end, after its last row
    if failure is None:
        own = [row for row in rows if has_failed(job, [row])]
        if own:
            return own[-1].error
        failure = RuntimeError("the process of this variant ended without a row")
    row = failure_row(job, failure)
    save_row(row, job.rows)
    return row.error
