"""What a suite shows while it runs: a bar for the whole and one for every running job, with the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zoo.cli.screen import stderr_console

if TYPE_CHECKING:
    from zoo.bench.suite.jobs import Job
    from zoo.bench.suite.worker import State

# Speeds of jobs differ, so that the time left goes by minutes and not by the last seconds.
ETA_SECONDS = 600
LINE_EVERY_SECONDS = 60.0


class SuiteScreen:
    """Is told how a suite goes; shows bars on a terminal, and a line for every event anywhere else."""

    def __init__(self, bars: Progress, *, seconds: Mapping[int, float], shown: bool) -> None:
        """Begins with nothing done.

        Args:
            bars: where bars are drawn.
            seconds: the estimated time of every job, by the job's ``id()``; they weigh the jobs in the whole.
            shown: whether anybody sees the bars.
        """
        self._bars, self._seconds, self._shown = bars, dict(seconds), shown
        self._parts: dict[int, float] = {}
        self._tasks: dict[int, TaskID] = {}
        self._ended = 0
        self._started = self._told = time.monotonic()
        self._whole = bars.add_task(f"0 of {len(seconds)} jobs", total=max(sum(seconds.values()), 1e-9))

    def began(self, job: Job) -> None:
        """A job was started."""
        self._tasks[id(job)] = self._bars.add_task(f"{name_of(job)}: starting", total=None)

    def moved(self, job: Job, state: State) -> None:
        """A job got further."""
        share = state.done / max(1, state.total)
        # Measuring takes a few passes over the test scenes; how long, next to training, depends on the suite.
        self._parts[id(job)] = 0.85 * share if state.stage == "training" else 0.85 + 0.15 * share
        self._bars.update(
            self._tasks[id(job)],
            description=f"{name_of(job)}: {state.stage}",
            completed=state.done,
            total=state.total,
        )
        self._move_whole()
        if not self._shown and time.monotonic() - self._told > LINE_EVERY_SECONDS:
            self._line(f"{name_of(job)}: {state.stage} {state.done} of {state.total}")

    def ended(self, job: Job, failure: str | None) -> None:
        """A job is over."""
        self._parts[id(job)] = 1.0
        self._ended += 1
        self._bars.remove_task(self._tasks.pop(id(job)))
        self._bars.update(self._whole, description=f"{self._ended} of {len(self._seconds)} jobs")
        self._move_whole()
        outcome = "done" if failure is None else f"failed: {failure}"
        self._line(f"{name_of(job)}: {outcome}")

    def _move_whole(self) -> None:
        self._bars.update(self._whole, completed=self._done())

    def _done(self) -> float:
        return sum(self._parts.get(key, 0.0) * seconds for key, seconds in self._seconds.items())

    def _line(self, sentence: str) -> None:
        self._told = time.monotonic()
        if not self._shown:
            done, passed = self._done(), self._told - self._started
            left = (sum(self._seconds.values()) - done) * passed / done if done > 0 else 0.0
            sentence = f"[{self._ended} of {len(self._seconds)}] {sentence}; {length_of(passed)} so far, about {length_of(left)} left"
        self._bars.console.print(sentence, soft_wrap=True, markup=False)


def name_of(job: Job) -> str:
    """Returns a job in a few words."""
    from zoo.bench.measurement import label_of

    data = "" if job.data is None else f" on {job.data.name.rpartition('-')[0] or job.data.name}"
    return f"{label_of(job.variant)}{data}, seed {job.seed}"


def length_of(seconds: float) -> str:
    """Writes a length of time for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@contextmanager
def watching(seconds: Mapping[int, float]) -> Iterator[SuiteScreen]:
    """Gives whoever is told how a suite goes."""
    shown = sys.stderr.isatty()
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr_console(),
        disable=not shown,
        speed_estimate_period=ETA_SECONDS,
    )
    if not shown:
        yield SuiteScreen(bars, seconds=seconds, shown=False)
        return
    with bars:
        yield SuiteScreen(bars, seconds=seconds, shown=True)
