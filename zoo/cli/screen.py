"""What the person at the terminal sees: progress on stderr, results on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

WIDTH_WITHOUT_TERMINAL = 160


def results() -> Console:
    """Returns the console for results."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def notes() -> Console:
    """Returns the console for progress and remarks."""
    return Console(file=sys.stderr, width=None if sys.stderr.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def tell(sentence: str) -> None:
    """Prints a remark on stderr, as one line however long."""
    notes().print(sentence, soft_wrap=True, markup=False)


@contextmanager
def counting(label: str, *, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that is told (done, total) and moves a bar."""
    with _bar(TextColumn(unit)) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


@contextmanager
def staging(label: str) -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function that is told (stage, done, total) and moves a bar a stage."""
    with _bar() as bar:
        tasks: dict[str, int] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"{label}: {stage}", total=total)
            bar.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield update


@contextmanager
def training(
    steps: Mapping[str, int], *, shown: bool = True
) -> Iterator[Callable[[str, int, Mapping[str, float]], None]]:
    """Shows a bar for every run of ``steps`` (label -> updates), with NELBO, KL and speed.

    Gives a function that is told a label, a step and, at times, the figures of that step. Where stderr is no terminal
    the figures come as lines instead.
    """
    interactive = sys.stderr.isatty()
    with _bar(TextColumn("{task.fields[figures]}"), shown=shown) as bar:
        tasks = {label: bar.add_task(label, total=total, figures="") for label, total in steps.items()}

        def update(label: str, step: int, figures: Mapping[str, float]) -> None:
            if not figures:
                bar.update(tasks[label], completed=step)
                return
            text = (
                f"NELBO {figures['train/nelbo']:.1f} (floor + {figures['train/nelbo_excess']:.1f})  "
                f"KL {figures['train/kl']:.2f} nats  {figures.get('perf/scenes_per_second', 0.0):.1f} scenes/s"
            )
            bar.update(tasks[label], completed=step, figures=text)
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
    bar = Progress(*columns, console=notes(), disable=not visible, transient=False)
    if not visible:
        # Not even started: some versions of rich print an empty line for a bar that nobody sees.
        yield bar
        return
    with bar:
        yield bar
