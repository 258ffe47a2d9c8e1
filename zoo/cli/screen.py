"""Terminal output: progress and remarks on stderr, results on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

WIDTH_WITHOUT_TERMINAL = 160


def stdout_console() -> Console:
    """Returns the console for results."""
    return _console(sys.stdout)


def stderr_console() -> Console:
    """Returns the console for progress and remarks."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    return Console(file=stream, width=None if stream.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def log(sentence: str) -> None:
    """Prints a remark on stderr, as one line of any length."""
    stderr_console().print(sentence, soft_wrap=True, markup=False)


@contextmanager
def progress_bar(label: str, *, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function of (done, total) that updates a progress bar."""
    with bars(MofNCompleteColumn(), TextColumn(unit)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def stage_progress(label: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function of (stage, done, total) that updates one progress bar per stage."""
    with bars(MofNCompleteColumn()) as bar:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"{label}: {stage}", total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield update


@contextmanager
def training_progress(
    label: str, *, steps: int, shown: bool = True
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Shows a progress bar with NELBO, KL and speed of a run of so many updates.

    Yields a function of (step, metrics); the metrics may be empty. Where stderr is no terminal the metrics are
    printed as lines instead.
    """
    with bars(MofNCompleteColumn(), TextColumn("{task.fields[metrics]}"), shown=shown) as bar:
        task = bar.add_task(label, total=steps, metrics="")

        def update(step: int, metrics: Mapping[str, float]) -> None:
            if not metrics:
                bar.update(task, completed=step)
                return
            text = (
                f"NELBO {metrics['train/nelbo']:.1f} (floor + {metrics['train/nelbo_excess']:.1f})  "
                f"KL {metrics['train/kl']:.2f} nats  {metrics.get('perf/scenes_per_second', 0.0):.1f} scenes/s"
            )
            bar.update(task, completed=step, metrics=text)
            if shown and bar.disable:
                bar.console.print(f"{label}: step {step} of {steps}  {text}", soft_wrap=True, markup=False)

        yield update


@contextmanager
def bars(*further: ProgressColumn, shown: bool = True, speed_seconds: float = 30.0) -> Iterator[Progress]:
    """Shows progress bars with further columns on stderr, if that is a terminal.

    Args:
        further: columns after the bar.
        shown: False shows none on a terminal either.
        speed_seconds: the time left is estimated from the speed in this period.
    """
    progress = make_progress(*further, console=stderr_console(), speed_seconds=speed_seconds)
    progress.disable = not (shown and sys.stderr.isatty())
    # Some versions of rich print an empty line when a disabled bar is started.
    with nullcontext() if progress.disable else progress:
        yield progress


def make_progress(*further: ProgressColumn, console: Console, speed_seconds: float = 30.0) -> Progress:
    """Makes progress bars with further columns after the bar; see :func:`bars`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        *further,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=speed_seconds,
    )


def data_size(num_bytes: int) -> str:
    """Returns the size of data in words."""
    if num_bytes >= 1e10:
        return f"{num_bytes / 1e9:,.0f} GB"
    return f"{num_bytes / 1e6:.0f} MB" if num_bytes >= 1e7 else f"{num_bytes / 1e6:.2g} MB"
