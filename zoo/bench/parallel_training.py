"""Training several small variants at the same time, each in a process with its share of the cores.

Threads of one process wait for each other at every operation, so that another program on one of the cores slows all of
them down; processes of one thread each do not wait. On idle cores the two ways take about as long.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from multiprocessing.queues import Queue

from zoo.bench.suite.jobs import Job, train_job
from zoo.errors import OutOfMemoryError
from zoo.training.trainer import TrainingReport

POLL_SECONDS = 0.2
Report = tuple[int, int, dict[str, float]]  # which job, step, figures

_reports: Queue[Report] | None = None


def train_in_parallel(
    jobs: Sequence[Job], *, cores: int, progress: Callable[[Job, int, Mapping[str, float]], None]
) -> None:
    """Trains jobs, the ones named first starting first; an interrupted or finished run goes on from its checkpoint.

    Args:
        jobs: what to train; nothing is measured.
        cores: shared out among the processes; on a GPU the jobs are trained one after the other.
        progress: is told job, step and, at times, the figures of that step.

    Raises:
        ZooError: of the first job that fails; the others are finished first.
        KeyboardInterrupt: if a run was interrupted; its checkpoint is there.
    """
    workers = 1 if jobs[0].device == "cuda" else max(1, min(len(jobs), cores))
    context = get_context("spawn")
    reports: Queue[Report] = context.Queue()
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(reports, max(1, cores // workers))
    ) as pool:
        running: set[Future[TrainingReport]] = {pool.submit(_train, number, job) for number, job in enumerate(jobs)}
        everything = set(running)
        while running:
            _drain(reports, jobs, progress)
            running = wait_for(running, timeout=POLL_SECONDS).not_done
        _drain(reports, jobs, progress)
    try:
        reports_made = [future.result() for future in everything]
    except BrokenProcessPool:
        raise OutOfMemoryError("a training process was ended from outside, most likely for want of memory") from None
    if any(report.status == "interrupted" for report in reports_made):
        raise KeyboardInterrupt


def _drain(
    reports: Queue[Report], jobs: Sequence[Job], progress: Callable[[Job, int, Mapping[str, float]], None]
) -> None:
    while True:
        try:
            number, step, figures = reports.get_nowait()
        except queue.Empty:
            return
        progress(jobs[number], step, figures)


def _start(reports: Queue[Report], threads: int) -> None:
    """Prepares a process of the pool."""
    import torch

    global _reports
    _reports = reports
    torch.set_num_threads(threads)


def _train(number: int, job: Job) -> TrainingReport:
    return train_job(job, progress=partial(_tell, number))


def _tell(number: int, step: int, figures: Mapping[str, float]) -> None:
    assert _reports is not None
    _reports.put((number, step, dict(figures)))
