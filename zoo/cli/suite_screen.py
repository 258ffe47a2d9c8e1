"""Progress of a suite: bars for all jobs and for every running job, with the time left; lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.progress import Progress, TaskID

from zoo.bench.measurement import label_of
from zoo.bench.suite.jobs import Job
from zoo.bench.suite.worker import JobState

LINE_INTERVAL_SECONDS = 60.0
TRAINING_SHARE = 0.85  # of a job; the rest is measuring


class SuiteProgress:
    """Listens to a suite's jobs; draws bars on a terminal, and prints a line per event elsewhere."""

    def __init__(self, bars: Progress, *, seconds: Mapping[int, float]) -> None:
        """Begins with nothing done; ``seconds`` are the estimated times of the jobs by their ``id()``."""
        self._bars, self._seconds = bars, dict(seconds)
        self._shares: dict[int, float] = {}
        self._tasks: dict[int, TaskID] = {}
        self.num_ended = 0
        self._started = self._last_line = time.monotonic()
        self._whole = bars.add_task(f"0 of {len(seconds)} jobs", total=max(sum(seconds.values()), 1e-9))

    def started(self, job: Job) -> None:
        """Adds the bar of a job."""
        self._tasks[id(job)] = self._bars.add_task(f"{describe_job(job)}: starting", total=None)
        if self._bars.disable:
            self._print(f"{describe_job(job)}: started")

    def progressed(self, job: Job, state: JobState) -> None:
        """Moves the bar of a job."""
        share = state.done / max(1, state.total)
        training = state.stage == "training"
        self._shares[id(job)] = TRAINING_SHARE * share if training else TRAINING_SHARE + (1 - TRAINING_SHARE) * share
        self._bars.update(
            self._tasks[id(job)],
            description=f"{describe_job(job)}: {state.stage}",
            completed=state.done,
            total=state.total,
        )
        self._bars.update(self._whole, completed=self._done())
        if self._bars.disable and time.monotonic() - self._last_line > LINE_INTERVAL_SECONDS:
            self._print(f"{describe_job(job)}: {state.stage} {state.done} of {state.total}")

    def ended(self, job: Job, failure: str | None) -> None:
        """Removes the bar of a job and prints its outcome."""
        self._shares[id(job)] = 1.0
        self.num_ended += 1
        self._bars.remove_task(self._tasks.pop(id(job)))
        description = f"{self.num_ended} of {len(self._seconds)} jobs"
        self._bars.update(self._whole, description=description, completed=self._done())
        self._print(f"{describe_job(job)}: {'done' if failure is None else f'failed: {failure}'}")

    def _done(self) -> float:
        return sum(self._shares.get(key, 0.0) * seconds for key, seconds in self._seconds.items())

    def _print(self, sentence: str) -> None:
        self._last_line = time.monotonic()
        if self._bars.disable:
            done, elapsed = self._done(), self._last_line - self._started
            sentence = f"[{self.num_ended} of {len(self._seconds)}] {sentence}"
            if done > 0:
                left = (sum(self._seconds.values()) - done) * elapsed / done
                sentence += f"; {format_seconds(elapsed)} so far, about {format_seconds(left)} left"
        self._bars.console.print(sentence, soft_wrap=True, markup=False)


def describe_job(job: Job) -> str:
    """Returns variant, data and seed of a job."""
    data = "" if job.data is None else f" on {job.data.name.rpartition('-')[0] or job.data.name}"
    return f"{label_of(job.variant)}{data}, seed {job.seed}"


def format_seconds(seconds: float) -> str:
    """Returns a duration in seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
