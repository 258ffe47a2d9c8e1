"""Training runs: a variant, scenes and a seed -> a run's folder.

``<run>/config.yaml`` (everything that decides the weights, as plain values), ``<run>/environment.json`` (provenance),
``<run>/metrics.jsonl``, ``<run>/tensorboard/``, ``<run>/checkpoints/`` and, for predictions of images at the last
validation, ``<run>/predictions.png``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import TensorBoardTracker
from accelerate.utils import InitProcessGroupKwargs
from ruamel.yaml import YAML

from zoo.data.opening import Source, open_scenes, open_splits
from zoo.data.source import SceneSource, Split
from zoo.data.tfrecord import OnBadRecord
from zoo.errors import CheckpointError, ConfigError
from zoo.files import write_json, write_text
from zoo.provenance import collect
from zoo.registry.variant import Variant, build, data_requirements
from zoo.training import run_checkpoints
from zoo.training.checkpoint import Checkpoint
from zoo.training.memory import check_batch_memory, check_model_memory, memory_errors
from zoo.training.options import ResumeOptions, TrainingOptions
from zoo.training.session import lock_folder
from zoo.training.trackers import TENSORBOARD, start_trackers
from zoo.training.trained_model import CONFIG, ENVIRONMENT, check_seed, load_initial_weights
from zoo.training.trainer import OnPredictions, Progress, Trainer, TrainingReport

Log = Callable[[str], None]


def device_of(*, cpu: bool) -> str:
    """Returns ``cuda`` if there is a GPU and ``cpu`` is not set, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() and not cpu else "cpu"


def make_accelerator(variant: Variant, *, run: Path, log_with: Sequence[str], cpu: bool) -> Accelerator:
    """Makes the accelerator of a training run; ``log_with`` names its trackers."""
    precision = variant.training.mixed_precision
    if precision == "fp16" and device_of(cpu=cpu) == "cpu":
        raise ConfigError("training.mixed_precision: found 'fp16', which needs a GPU; expected 'no' or 'bf16' on a CPU")
    if AcceleratorState._shared_state.get("_mixed_precision", precision) != precision:
        # accelerate keeps the precision of the first run for the whole process and refuses another one.
        AcceleratorState._reset_state()
    # Into <run>/tensorboard: accelerate would name the folder of TensorBoard after the project.
    board = {TENSORBOARD: TensorBoardTracker(TENSORBOARD, logging_dir=run)} if TENSORBOARD in log_with else {}
    return Accelerator(
        cpu=cpu,
        mixed_precision=precision,
        log_with=[board.get(name, name) for name in log_with] or None,  # it warns of an empty list
        project_dir=run,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(minutes=10))],
    )


def train(
    variant: Variant,
    *,
    data: Path,
    run: Path,
    seed: int = 0,
    options: TrainingOptions,
    resume: ResumeOptions | None = None,
    cpu: bool = False,
    on_bad_record: OnBadRecord = "raise",
    command: Sequence[str] = (),
    progress: Progress | None = None,
    on_predictions: OnPredictions | None = None,
    log: Log = lambda sentence: None,
) -> TrainingReport:
    """Trains a variant on a folder of scenes, a store or TFRecords, into a run's folder.

    ``seed`` decides initial weights, order, views and noise; ``resume`` whether the run is continued; ``command`` is
    recorded. ``progress`` is called with every step and, at the log interval, its metrics; ``on_predictions``,
    in the main process, with every validation's predictions of images; ``log`` with sentences for the user.

    Raises:
        ZooError: one sentence about what the user can change.
    """
    resume = resume or ResumeOptions()
    check_seed(seed, file="--seed")
    check_run_folder(run, data=data)
    sources = open_splits_for(variant, data, "train", on_bad_record=on_bad_record)
    config = run_config(variant, seed=seed, source=sources["train"])
    found = _starting_point(run, resume, log=log)
    accelerator = make_accelerator(variant, run=run, log_with=options.log_with, cpu=cpu)
    check_model_memory(variant, device=accelerator.device)
    check_batch_memory(variant, sources["train"], num_processes=accelerator.num_processes)
    with memory_errors(variant):
        model = build(variant, seed=seed)
        if resume.init_from is not None:
            load_initial_weights(resume.init_from, model)
        trainer = Trainer(
            model,
            recipe=variant.training,
            train=sources["train"],
            validation=sources.get("validation"),
            run=run,
            seed=seed,
            accelerator=accelerator,
            options=options,
            config=config,
        )
        if found is not None:
            trainer.resume(found, allow_config_change=resume.allow_config_change)
        with lock_folder(run) if accelerator.is_main_process else nullcontext():
            if accelerator.is_main_process:
                _prepare_folder(trainer, resumed=found is not None, command=command, log=log)
            start_trackers(accelerator, run=run)
            try:
                return trainer.fit(progress=progress, on_predictions=on_predictions)
            finally:
                accelerator.end_training()


def _prepare_folder(trainer: Trainer, *, resumed: bool, command: Sequence[str], log: Log) -> None:
    """Writes configuration and provenance of a run, and sets aside the checkpoints after the one it resumes from."""
    for path in trainer.restore_folder() if resumed else ():
        log(f"{path}: a checkpoint later than the one from which the run resumes, renamed to this")
    write_text(trainer.run / CONFIG, to_yaml(trainer.config))
    if not resumed or trainer.step < trainer.recipe.steps:  # else this code has trained nothing
        device = trainer.accelerator.device.type
        provenance = collect(seed=trainer.seed, command=command, config=trainer.config, device=device)
        write_json(trainer.run / ENVIRONMENT, provenance.model_dump(mode="json"))


def check_run_folder(run: Path, *, data: Path) -> None:
    """Raises ConfigError for a run's folder inside its own data, or with a name that TensorBoard cannot write."""
    try:
        os.fspath(run.absolute()).encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(
            f"{run}: the name of a run's folder must be valid UTF-8; choose another one with -o"
        ) from None
    if run.resolve().is_relative_to(data.resolve()):
        raise ConfigError(f"{run}: lies in the folder of the scenes, {data}; choose a folder outside of it with -o")


def run_config(variant: Variant, *, seed: int, source: SceneSource) -> dict[str, Any]:
    """Returns everything that decides the weights of a run, as plain values."""
    return {**variant.config(), "seed": seed, "data": {"name": source.name, "revision": source.revision}}


def open_splits_for(
    variant: Variant, data: Path, *required: Split, on_bad_record: OnBadRecord = "raise"
) -> Mapping[Split, Source]:
    """Opens the splits of a folder that a variant can read.

    Raises:
        DataError: if the folder lacks a required split.
        ConfigError: if the scenes have another image size or lack what the variant's task reads.
    """
    found = open_splits(data, on_bad_record=on_bad_record, requirements=data_requirements(variant))
    for split in required:
        if split not in found:
            found[split] = open_scenes(data, split)
    return found


def _starting_point(run: Path, resume: ResumeOptions, *, log: Log) -> Checkpoint | None:
    existing = bool(run_checkpoints.all_steps(run))
    if resume.mode == "never":
        if existing:
            raise CheckpointError(f"{run}: holds a run already; resume it with --resume auto, or choose another -o")
        return None
    if resume.mode != "auto":
        return run_checkpoints.find(Path(resume.mode), which="last")
    found, problems = run_checkpoints.newest(run)
    if found is None and existing:
        raise CheckpointError(f"{run}: none of its checkpoints is intact; {problems[0]}")
    for problem in problems:
        log(f"{problem}; an older checkpoint is used")
    return found


def to_yaml(values: Mapping[str, Any]) -> str:
    """Writes plain values as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(dict(values), stream)
    return stream.getvalue()
