"""Checkpoints: whole or not there, checked when read, without pickles.

A checkpoint is a folder ``checkpoints/step-000001000`` with ``model.safetensors``, ``optimizer.safetensors``, perhaps
``ema.safetensors``, ``state.json`` and ``MANIFEST.json`` with the SHA-256 of each. It is written under a temporary name
and renamed; older ones are removed only afterwards. Random states need no file: every random number of a run is a
function of seed and step.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.files import TEMPORARY_PREFIX, sha256_of, write_json, writing_directory

FOLDER = "checkpoints"
STEP_NAME = re.compile(r"step-(\d{9})")
MANIFEST = "MANIFEST.json"
BEST = "best.json"
SET_ASIDE = "set-aside-"
SCHEMA_VERSION = 1
Which = Literal["best", "last"]


class Checkpoint(NamedTuple):
    """A checkpoint on disk whose files were found to be as they were written."""

    path: Path
    state: dict[str, Any]


def step_folder(run: Path, step: int) -> Path:
    """Returns where the checkpoint of a step is."""
    return run / FOLDER / f"step-{step:09d}"


def save(
    run: Path,
    *,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: nn.Module | None,
    state: Mapping[str, Any],
) -> Path:
    """Writes the checkpoint of a step; an existing one of the same step stays as it is.

    Raises:
        DiskFullError: if it cannot be written; the older checkpoints are untouched.
    """
    target = step_folder(run, step)
    if target.exists():
        return target
    with writing_directory(target) as folder:
        _write_tensors(_tensors(model.state_dict()), folder / "model.safetensors")
        optimizer_tensors, optimizer_numbers = _flatten_optimizer(optimizer)
        _write_tensors(optimizer_tensors, folder / "optimizer.safetensors")
        if ema is not None:
            _write_tensors(_tensors(ema.state_dict()), folder / "ema.safetensors")
        _write_values(
            {"schema_version": SCHEMA_VERSION, "step": step, "optimizer": optimizer_numbers, **state},
            folder / "state.json",
        )
        _write_values({file.name: sha256_of(file) for file in sorted(folder.iterdir())}, folder / MANIFEST)
    return target


def _write_tensors(tensors: dict[str, Tensor], file: Path) -> None:
    try:
        save_file(tensors, file)
    except SafetensorError as error:
        # safetensors hides a full disk behind an error of its own.
        raise OSError(str(error)) from error


def _write_values(values: Mapping[str, Any], file: Path) -> None:
    file.write_text(json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, values in state["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    numbers = {
        "groups": len(state["param_groups"]),
        "parameters": [len(group["params"]) for group in state["param_groups"]],
    }
    return tensors, numbers


def load_optimizer(checkpoint: Checkpoint, optimizer: torch.optim.Optimizer) -> None:
    """Gives the optimiser its moments back; its settings are those of the configuration.

    Raises:
        CheckpointError: if the moments belong to other parameters.
    """
    current = optimizer.state_dict()
    expected = [len(group["params"]) for group in current["param_groups"]]
    if checkpoint.state["optimizer"]["parameters"] != expected:
        raise CheckpointError(f"{checkpoint.path}: optimizer.safetensors belongs to a model with other parameters")
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _read(checkpoint.path / "optimizer.safetensors").items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            kept = optimizer.state.get(parameter, {})
            for name, value in kept.items():
                # Fused Adam walks through weights and moments side by side, so that they must lie alike in memory.
                if value.shape == parameter.shape and value.stride() != parameter.stride():
                    kept[name] = torch.empty_like(parameter).copy_(value)


def load_weights(checkpoint: Checkpoint, model: nn.Module, *, file: str = "model.safetensors") -> None:
    """Fills a model, or its averaged copy, with a checkpoint's weights.

    Raises:
        CheckpointError: if they are of another variant or size; the first difference is told.
    """
    found = _read(checkpoint.path / file)
    expected = model.state_dict()
    for name in sorted(set(expected) ^ set(found)):
        side = "lacks" if name in expected else "has, but the model lacks,"
        raise CheckpointError(f"{checkpoint.path / file}: {side} {name!r}; it belongs to another variant")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{checkpoint.path / file}: {name}: found shape {list(tensor.shape)}, expected {list(expected[name].shape)}; "
                "it belongs to a model of another size"
            )
    model.load_state_dict(found)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None


def read(path: Path) -> Checkpoint:
    """Opens a checkpoint after comparing every file with its manifest.

    Raises:
        CheckpointError: naming the file that is missing or damaged.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: there is no such checkpoint folder")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest.items())
    except FileNotFoundError:
        raise CheckpointError(f"{path / MANIFEST}: is missing, so this is not a checkpoint") from None
    except (OSError, ValueError, AttributeError, RecursionError):
        raise CheckpointError(f"{path / MANIFEST}: is damaged") from None
    for required in ("model.safetensors", "optimizer.safetensors", "state.json"):
        if required not in files:
            raise CheckpointError(f"{path / MANIFEST}: does not list {required}; the checkpoint is damaged")
    for name, digest in files.items():
        file = path / Path(name).name
        if not file.is_file():
            raise CheckpointError(f"{file}: is missing")
        try:
            found = sha256_of(file)
        except OSError as error:
            raise CheckpointError(f"{file}: cannot be read: {error.strerror or error}") from None
        if found != digest:
            raise CheckpointError(f"{file}: is damaged: its SHA-256 is not that of {MANIFEST}")
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    if state.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path / 'state.json'}: schema_version: found {state.get('schema_version')!r}, expected {SCHEMA_VERSION}"
        )
    return Checkpoint(path=path, state=state)


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
    """Opens what a user names: a checkpoint's folder, or a run's folder and there the best or the newest checkpoint.

    The best is the one with the lowest figure on the validation scenes; a run without validation has only a newest.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such folder")
    if STEP_NAME.fullmatch(path.name):
        return read(path)
    best = best_step(path)
    if which == "best" and best is not None:
        return read(step_folder(path, best))
    found, problems = newest(path)
    if found is None:
        detail = f"; {problems[0]}" if problems else ""
        raise CheckpointError(f"{path}: holds no intact checkpoint in {FOLDER}/{detail}")
    return found


def best_step(run: Path) -> int | None:
    """Returns the step whose validation figure was the lowest so far, if its checkpoint is still there."""
    try:
        step = int(json.loads((run / FOLDER / BEST).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return step if step_folder(run, step).is_dir() else None


def mark_best(run: Path, *, step: int, metric: str, value: float) -> None:
    """Records the best step; lower is better."""
    write_json(run / FOLDER / BEST, {"step": step, "metric": metric, "value": value, "higher_is_better": False})


def forget_best(run: Path) -> None:
    """Takes the record of the best step away."""
    (run / FOLDER / BEST).unlink(missing_ok=True)


def set_aside(run: Path, *, after: int) -> list[Path]:
    """Renames the checkpoints of later steps, so that a run that goes on from ``after`` can write its own.

    They are damaged, or of a course that is no longer followed; left in place they would stand for what is trained from
    here on, and push it out when older ones are removed.

    Returns:
        Where they are now.
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
    folders = all_steps(run)
    best = best_step(run)
    for path in folders[:-keep_last]:
        step = int(path.name.removeprefix("step-"))
        if step != best and not (keep_every and step % keep_every == 0):
            shutil.rmtree(path)
    for leftover in (run / FOLDER).glob(f"{TEMPORARY_PREFIX}*"):
        # Only one process writes a run's checkpoints, so that what is temporary now is what a crash left behind.
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
