"""Checkpoints: atomic, with checksums, without pickles.

A checkpoint is a folder ``checkpoints/step-000001000`` with ``model.safetensors``, ``optimizer.safetensors``, perhaps
``ema.safetensors``, ``state.json`` and ``MANIFEST.json`` with the SHA-256 of each. It is written under a temporary name
and renamed; older ones are removed only afterwards. No random states are stored: every random number of a run is a
function of seed and step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.config.settings import Settings, parse
from zoo.errors import CheckpointError, ConfigError
from zoo.files import sha256_of, writing_directory

FOLDER = "checkpoints"
STEP_NAME = re.compile(r"step-(\d{9})")
MANIFEST, STATE = "MANIFEST.json", "state.json"
MODEL, OPTIMIZER, EMA = "model.safetensors", "optimizer.safetensors", "ema.safetensors"
SCHEMA_VERSION = 1
MAX_STEP = 10**9 - 1


class OptimizerShape(Settings):
    """Parameter groups of an optimiser."""

    groups: int
    parameters: list[int] = Field(description="number of parameters of every group")


class State(Settings):
    """``state.json``: where training is, beside weights and moments."""

    schema_version: int = SCHEMA_VERSION
    step: int = Field(ge=0, le=MAX_STEP, description="updates made")
    seed: int = Field(ge=0, description="of the run")
    seconds: float = Field(ge=0, description="spent on training")
    config: dict[str, Any] = Field(description="everything that decides the weights, see zoo.training.run.run_config")
    optimizer: OptimizerShape
    best_step: int | None = Field(
        default=None, ge=0, le=MAX_STEP, description="with the lowest validation metric so far"
    )
    best_value: float | None = Field(default=None, description="of the validation metric at that step")
    scaler: dict[str, Any] | None = Field(default=None, description="state of the loss scaler under fp16")


class Checkpoint(NamedTuple):
    """A checkpoint on disk whose files have the checksums of its manifest."""

    path: Path
    state: State


def step_folder(run: Path, step: int) -> Path:
    """Returns the folder of the checkpoint of a step."""
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
    """Writes the checkpoint of a step, with the other fields of :class:`State`; an existing one is left unchanged.

    Raises:
        DiskFullError: if it cannot be written; the older checkpoints are unchanged.
    """
    target = step_folder(run, step)
    if target.exists():
        return target
    found = optimizer.state_dict()
    moments = {
        f"{index}.{name}": value
        for index, values in found["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    sizes = [len(group["params"]) for group in found["param_groups"]]
    shape = OptimizerShape(groups=len(sizes), parameters=sizes)
    with writing_directory(target) as folder:
        write_tensors(model.state_dict(), folder / MODEL)
        write_tensors(moments, folder / OPTIMIZER)
        if ema is not None:
            write_tensors(ema.state_dict(), folder / EMA)
        _write_values(State(step=step, optimizer=shape, **state).model_dump(), folder / STATE)
        _write_values({file.name: sha256_of(file) for file in sorted(folder.iterdir())}, folder / MANIFEST)
    return target


def _write_values(values: Mapping[str, Any], file: Path) -> None:
    file.write_text(json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Writes tensors as a safetensors file; raises OSError if it cannot be written."""
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)
    except SafetensorError as error:
        # safetensors reports a full disk as an error of its own.
        raise OSError(str(error)) from error


def load_optimizer(checkpoint: Checkpoint, optimizer: torch.optim.Optimizer) -> None:
    """Restores the moments, not the settings; raises CheckpointError if they belong to other parameters."""
    current = optimizer.state_dict()
    if checkpoint.state.optimizer.parameters != [len(group["params"]) for group in current["param_groups"]]:
        raise CheckpointError(f"{checkpoint.path}: {OPTIMIZER} belongs to a model with other parameters")
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _read_tensors(checkpoint.path / OPTIMIZER).items():
        index, _, name = key.partition(".")
        if not index.isdecimal():
            raise CheckpointError(f"{checkpoint.path / OPTIMIZER}: found a tensor {key!r}, expected <parameter>.<name>")
        state.setdefault(int(index), {})[name] = tensor
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, moments in state.items():
        shapes = [tuple(moment.shape) for moment in moments.values() if moment.ndim]  # a count of steps has none
        fits = number < len(parameters) and set(shapes) <= {tuple(parameters[number].shape)}
        if not fits or moments.keys() != next(iter(state.values())).keys():
            raise CheckpointError(
                f"{checkpoint.path / OPTIMIZER}: parameter {number}: found {sorted(moments)} of shapes {shapes}, expected those "
                "of the other parameters, of its own shape"
            )
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            moments = optimizer.state.get(parameter, {})
            for name, value in moments.items():
                # Fused Adam reads weights and moments in the same order, so that their strides must be equal.
                if value.shape == parameter.shape and value.stride() != parameter.stride():
                    moments[name] = torch.empty_like(parameter).copy_(value)


def load_tensors(file: Path, model: nn.Module) -> None:
    """Loads the weights in a file, in the model's own types; raises CheckpointError if they are those of another model."""
    found = _read_tensors(file)
    expected = model.state_dict()
    for name in sorted(set(expected) ^ set(found)):
        side = "lacks" if name in expected else "has, but the model lacks,"
        raise CheckpointError(f"{file}: {side} {name!r}; it belongs to another variant")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{file}: {name}: found shape {list(tensor.shape)}, expected {list(expected[name].shape)}; "
                "it belongs to a model of another size"
            )
    model.load_state_dict(found)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turns an error while a file is read into a CheckpointError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _read_tensors(path: Path) -> dict[str, Tensor]:
    with _reading(path):
        return load_file(path)


def read(path: Path) -> Checkpoint:
    """Opens a checkpoint after checking every file; raises CheckpointError with the file that is missing or damaged."""
    if not path.is_dir():
        raise CheckpointError(f"{path}: there is no such checkpoint folder")
    files = read_mapping(path / MANIFEST)
    for required in (MODEL, OPTIMIZER, STATE):
        if required not in files:
            raise CheckpointError(f"{path / MANIFEST}: does not list {required}; the checkpoint is damaged")
    for name, digest in files.items():
        file = path / Path(name).name
        if not file.is_file():
            raise CheckpointError(f"{file}: is missing")
        with _reading(file):
            if sha256_of(file) != digest:
                raise CheckpointError(f"{file}: is damaged: its SHA-256 is not that of {MANIFEST}")
            if file.suffix == ".safetensors":
                # It may have been damaged before its checksum was taken.
                with safe_open(file, framework="pt"):
                    pass
    file, values = path / STATE, read_mapping(path / STATE)
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        raise CheckpointError(f"{file}: schema_version: found {version!r}, expected {SCHEMA_VERSION}")
    try:
        return Checkpoint(path=path, state=parse(State, values, file=str(file)))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def read_mapping(file: Path) -> dict[str, Any]:
    """Reads a JSON file whose top level is a mapping; raises CheckpointError if it is missing or no such file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{file}: is missing, so this is not a checkpoint") from None
    except (OSError, ValueError, RecursionError):
        raise CheckpointError(f"{file}: is damaged") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{file}: is damaged: found {type(found).__name__}, expected a mapping")
    return found
