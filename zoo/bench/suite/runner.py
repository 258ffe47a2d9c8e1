"""Carries the jobs of a suite out, several at a time, each in a process of its own; the same call goes on after any death.

The rows are the only truth: a row is written whole or not at all, a job is known again by its content, and a process
looks for the rows of its job under the job's lock before it begins. What else lies beside them may be lost.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from zoo.bench.suite.jobs import Job, digest_of_job, failed, failure_of, finished, rows_of
from zoo.bench.suite.worker import PROGRESS, State, read_state, write_job
from zoo.results.row import ResultRow
from zoo.results.store import rows_in, save_row

JOBS = "jobs"
POLL_SECONDS = 0.2


class Running(Protocol):
    """A job that somebody carries out."""

    def ended(self) -> bool:
        """Tells whether it is over."""

    def interrupted(self) -> bool:
        """Tells whether it was interrupted and can go on."""

    def failure(self) -> Exception | None:
        """Returns what it died of when it could not leave a row itself."""

    def interrupt(self) -> None:
        """Asks for an end with a checkpoint."""


class Engine(Protocol):
    """Whoever carries jobs out: this machine or a cluster."""

    def room(self) -> int:
        """Returns how many jobs may be started now."""

    def starting(self) -> AbstractContextManager[None]:
        """Gives a block in which jobs are started together."""

    def start(self, folder: Path, *, again: bool) -> Any:
        """Starts the job of a folder."""

    def gone(self, job: Any) -> None:
        """Is told that a job is over."""


class ProgressListener(Protocol):
    """Whoever is told how things go."""

    def began(self, job: Job) -> None:
        """A job was started."""

    def moved(self, job: Job, state: State) -> None:
        """A job got further."""

    def ended(self, job: Job, failure: str | None) -> None:
        """A job is over; its failure, if any, is a row."""


@dataclass
class JobStatus:
    """What is done and what is to do.

    Attributes:
        done: jobs with all of their rows.
        failed: jobs with a row of their failure, which are left alone unless they are to be tried again.
        waiting: what is carried out.
    """

    done: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)
    waiting: list[Job] = field(default_factory=list)


def partition_jobs(jobs: Sequence[Job], *, retry: bool, limit: int | None = None) -> JobStatus:
    """Sorts jobs by the rows that they have.

    Args:
        jobs: all of one folder of rows.
        retry: tries failed ones again.
        limit: so many jobs at most are carried out; the rest waits for another call.

    Raises:
        ResultError: if a row is damaged.
    """
    standing = JobStatus()
    rows: list[ResultRow] = rows_in(jobs[0].rows) if jobs else []
    by_name: dict[tuple[str, int], list[ResultRow]] = {}
    for row in rows:
        by_name.setdefault((row.variant.partition("@")[0], row.provenance.seed), []).append(row)
    for job in jobs:
        mine = by_name.get((job.variant.name, job.seed), [])
        if finished(job, mine):
            standing.done.append(job)
        elif not retry and failed(job, mine):
            standing.failed.append(job)
        else:
            standing.waiting.append(job)
    standing.waiting = standing.waiting[:limit]
    return standing


def run_jobs(
    jobs: Sequence[Job], *, engine: Engine, output: Path, audience: ProgressListener, again: bool = False
) -> list[Job]:
    """Carries jobs out in their order, as many at a time as the engine has room for.

    Args:
        jobs: what to do.
        engine: who does it.
        output: folder of everything.
        audience: is told how things go.
        again: tries although there is a row of a failure.

    Returns:
        The jobs that failed; the failures are rows.

    Raises:
        KeyboardInterrupt: on Ctrl-C or a termination, after every running job has left its checkpoint.
    """
    waiting = list(jobs)
    running: list[tuple[Job, Path, Running]] = []
    failures: list[Job] = []
    interrupted = False
    try:
        while waiting or running:
            if waiting and engine.room() > 0:
                with engine.starting():
                    while waiting and engine.room() > 0:
                        job = waiting.pop(0)
                        folder = _prepare(job, output)
                        running.append((job, folder, engine.start(folder, again=again)))
                        audience.began(job)
            time.sleep(POLL_SECONDS)
            for entry in list(running):
                job, folder, process = entry
                state = read_state(folder)
                if state is not None:
                    audience.moved(job, state)
                if not process.ended():
                    continue
                running.remove(entry)
                engine.gone(process)
                interrupted |= process.interrupted()
                error = _leave_row(job, process)
                if error is not None:
                    failures.append(job)
                audience.ended(job, error)
            if interrupted:
                raise KeyboardInterrupt
    except (KeyboardInterrupt, SystemExit):
        _end_all([process for _, _, process in running])
        raise KeyboardInterrupt from None
    return failures


def _prepare(job: Job, output: Path) -> Path:
    folder = output / JOBS / digest_of_job(job)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROGRESS).unlink(missing_ok=True)
    write_job(job, folder)
    return folder


def _leave_row(job: Job, process: Running) -> str | None:
    """Returns what a job failed with, None if it did not; sees to it that the failure is a row."""
    if process.interrupted():
        return None
    died_of = process.failure()
    rows = rows_of(job)
    if died_of is None:
        if finished(job, rows):
            return None
        mine = [row for row in rows if row.status != "ok" and failed(job, [row])]
        if mine:
            return mine[-1].error
        died_of = RuntimeError("the process of this variant ended without a row")
    row = failure_of(job, died_of)
    save_row(row, job.rows)
    return row.error


def _end_all(processes: Sequence[Running]) -> None:
    for process in processes:
        process.interrupt()
    while not all(process.ended() for process in processes):
        time.sleep(POLL_SECONDS)
