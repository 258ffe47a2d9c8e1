"""The checkpoints of a run: the newest, the best, those that are set aside or removed.

They lie in ``<run>/checkpoints``; ``best.json`` beside them records the step with the lowest validation metric.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from zoo.errors import CheckpointError
from zoo.files import TEMPORARY_PREFIX, write_json
from zoo.training.checkpoint import FOLDER, MAX_STEP, STEP_NAME, Checkpoint, read, read_mapping, step_folder

BEST = "best.json"
SET_ASIDE = "set-aside-"
Which = Literal["best", "last"]


def all_steps(run: Path) -> list[Path]:
    """Returns the folders of a run's checkpoints, oldest first, unchecked."""
    folder = run / FOLDER
    return sorted(path for path in folder.glob("step-*") if STEP_NAME.fullmatch(path.name)) if folder.is_dir() else []


def newest(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """Returns a run's newest intact checkpoint, and one sentence for each newer one that is damaged."""
    problems: list[str] = []
    for path in reversed(all_steps(run)):
        try:
            return read(path), problems
        except CheckpointError as error:
            problems.append(str(error))
    return None, problems


def find(path: Path, *, which: Which = "best") -> Checkpoint:
    """Opens a checkpoint, or the best or last one of a run; raises CheckpointError if none is intact."""
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such folder")
    if STEP_NAME.fullmatch(path.name):
        return read(path)
    best = best_step(path)
    if which == "best" and best is not None:
        return read(step_folder(path, best))
    found, problems = newest(path)
    if found is None:
        detail = f"; {problems[0]}" if problems else _runs_inside(path)
        raise CheckpointError(f"{path}: holds no intact checkpoint in {FOLDER}/{detail}")
    return found


def _runs_inside(path: Path) -> str:
    """Names the runs in a folder of runs, as a hint for an error message."""
    places = (*path.glob(f"*/{FOLDER}"), *path.glob(f"*/*/{FOLDER}"))
    runs = sorted(str(place.parent.relative_to(path)) for place in places)
    shown = ", ".join(runs[:5]) + (", ..." if len(runs) > 5 else "")
    return f"; it is a folder of {len(runs)} run(s), give one of them: {shown}" if runs else ""


def best_step(run: Path) -> int | None:
    """Returns the step with the lowest validation metric so far, if it is recorded and its checkpoint exists."""
    try:
        found = read_mapping(run / FOLDER / BEST).get("step")
    except CheckpointError:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MAX_STEP:
        return None
    return found if step_folder(run, found).is_dir() else None


def mark_best(run: Path, *, step: int, metric: str, value: float) -> None:
    """Records the best step; lower is better."""
    write_json(run / FOLDER / BEST, {"step": step, "metric": metric, "value": value, "higher_is_better": False})


def set_aside(run: Path, *, after: int) -> list[Path]:
    """Renames the checkpoints of later steps, so that a run resumed from ``after`` can write its own; returns the new paths.

    They are damaged, or belong to a continuation that is no longer followed.
    """
    moved = []
    for path in all_steps(run):
        if int(path.name.removeprefix("step-")) > after:
            number = 1
            while (target := path.with_name(f"{SET_ASIDE}{number}-{path.name}")).exists():
                number += 1
            moved.append(path.rename(target))
    return moved


def prune(run: Path, *, keep_last: int, keep_every: int) -> None:
    """Removes all but the newest ``keep_last``, the best, and those of every ``keep_every``-th step (0: none of those)."""
    best = best_step(run)
    for path in all_steps(run)[:-keep_last]:
        step = int(path.name.removeprefix("step-"))
        if step != best and not (keep_every and step % keep_every == 0):
            shutil.rmtree(path)
    # Only one process writes a run's checkpoints, so that temporary files were left by a crash.
    for leftover in (run / FOLDER).glob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
