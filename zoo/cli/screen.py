"""Terminal output: progress and remarks on stderr, results on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

WIDTH_WITHOUT_TERMINAL = 160


def stdout_console() -> Console:
    """Returns the console for results."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def stderr_console() -> Console:
    """Returns the console for progress and remarks."""
    return Console(file=sys.stderr, width=None if sys.stderr.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def log(sentence: str) -> None:
    """Prints a remark on stderr, as one line of any length."""
    stderr_console().print(sentence, soft_wrap=True, markup=False)


@contextmanager
def progress_bar(label: str, *, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function of (done, total) that updates a progress bar."""
    with _bar(TextColumn(unit)) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


@contextmanager
def stage_progress(label: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function of (stage, done, total) that updates one progress bar per stage."""
    with _bar() as bar:
        tasks: dict[str, int] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"{label}: {stage}", total=total)
            bar.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield update


@contextmanager
def training_progress(
    steps: Mapping[str, int], *, shown: bool = True
) -> Iterator[Callable[[str, int, Mapping[str, float]], None]]:
    """Shows a progress bar with NELBO, KL and speed for every run of ``steps`` (label -> updates).

    Yields a function of (label, step, metrics); the metrics may be empty. Where stderr is no terminal the metrics are
    printed as lines instead.
    """
    interactive = sys.stderr.isatty()
    with _bar(TextColumn("{task.fields[metrics]}"), shown=shown) as bar:
        tasks = {label: bar.add_task(label, total=total, metrics="") for label, total in steps.items()}

        def update(label: str, step: int, metrics: Mapping[str, float]) -> None:
            if not metrics:
                bar.update(tasks[label], completed=step)
                return
            text = (
                f"NELBO {metrics['train/nelbo']:.1f} (floor + {metrics['train/nelbo_excess']:.1f})  "
                f"KL {metrics['train/kl']:.2f} nats  {metrics.get('perf/scenes_per_second', 0.0):.1f} scenes/s"
            )
            bar.update(tasks[label], completed=step, metrics=text)
            if shown and not interactive:
                bar.console.print(f"{label}: step {step} of {steps[label]}  {text}", soft_wrap=True, markup=False)

        yield update


@contextmanager
def _bar(*further: TextColumn, shown: bool = True) -> Iterator[Progress]:
    visible = shown and sys.stderr.isatty()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        *further,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=stderr_console(), disable=not visible, transient=False)
    if not visible:
        # Not started either: some versions of rich print an empty line for a disabled bar.
        yield bar
        return
    with bar:
        yield bar
