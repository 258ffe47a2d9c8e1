"""A run's folder: what is trained, on what, from where on; and a trained model out of it again.

``<run>/config.yaml`` (everything that decides the weights, as plain values), ``<run>/environment.json`` (provenance),
``<run>/metrics.jsonl``, ``<run>/tensorboard/``, ``<run>/checkpoints/``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from pydantic import ValidationError
from ruamel.yaml import YAML

from zoo.config.settings import load_yaml
from zoo.data.opening import open_scenes, open_splits
from zoo.data.source import SceneSource
from zoo.data.tfrecord import OnBadRecord
from zoo.errors import CheckpointError, ConfigError, OutOfMemoryError
from zoo.files import write_json, write_text
from zoo.model.scene_model import SceneModel
from zoo.provenance import GitState, Provenance, collect
from zoo.registry.registry import variant_from_config
from zoo.registry.variant import Variant, build, data_requirements
from zoo.training import checkpoint
from zoo.training.lock import RunLock
from zoo.training.trainer import Progress, Trainer, TrainingOptions, TrainingReport

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
RUN_KEYS = ("seed", "data")


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a run begins.

    Attributes:
        resume: ``never`` (an existing run is an error), ``auto`` (its newest intact checkpoint, if any), or a path.
        init_from: a run or checkpoint whose weights, and nothing else, the new run starts with.
        allow_config_change: goes on although the configuration is not the one of the checkpoint.
    """

    resume: str = "never"
    init_from: Path | None = None
    allow_config_change: bool = False


def device_of(*, cpu: bool) -> str:
    """Returns the device to work on: the GPU if there is one and it is not refused."""
    return "cuda" if torch.cuda.is_available() and not cpu else "cpu"


def make_accelerator(variant: Variant, *, run: Path, cpu: bool) -> Accelerator:
    """Makes the accelerator of a training run; TensorBoard files go to ``<run>/tensorboard``."""
    precision = variant.training.mixed_precision
    if precision == "fp16" and device_of(cpu=cpu) == "cpu":
        raise ConfigError("training.mixed_precision: found 'fp16', which needs a GPU; expected 'no' or 'bf16' on a CPU")
    if AcceleratorState._shared_state.get("_mixed_precision", precision) != precision:
        # accelerate keeps the precision of the first run for the whole process and refuses another one.
        AcceleratorState._reset_state()
    return Accelerator(
        cpu=cpu,
        mixed_precision=precision,
        log_with="tensorboard",
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
    start: Start | None = None,
    cpu: bool = False,
    on_bad_record: OnBadRecord = "raise",
    command: Sequence[str] = (),
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> TrainingReport:
    """Trains a variant into a run's folder.

    Args:
        variant: what to train.
        data: folder of a scene store or of TFRecords.
        run: where everything goes.
        seed: decides initial weights, order, views and noise.
        options: how the run is carried out.
        start: whether it goes on from something.
        cpu: leave GPUs alone.
        on_bad_record: what to do with damaged records of TFRecords.
        command: the command line, for the provenance.
        progress: is told every step and, at times, the figures.
        tell: called with one sentence at a time that the user should know.

    Raises:
        ZooError: one sentence about what the user can mend.
    """
    start = start or Start()
    sources = open_training_data(data, variant, on_bad_record=on_bad_record)
    config = run_config(variant, seed=seed, source=sources["train"])
    found = _starting_point(run, start, tell=tell)
    accelerator = make_accelerator(variant, run=run, cpu=cpu)
    model = build(variant, seed=seed)
    if start.init_from is not None:
        checkpoint.load_weights(checkpoint.find(start.init_from), model)
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
        trainer.resume(found, allow_config_change=start.allow_config_change)
    with RunLock(run) if accelerator.is_main_process else nullcontext():
        if accelerator.is_main_process:
            for path in trainer.restore_folder() if found is not None else ():
                if tell:
                    tell(
                        f"{path}: a later checkpoint than the one from which the run goes on, set aside under this name"
                    )
            write_text(run / CONFIG, to_yaml(config))
            if found is None or trainer.step < variant.training.steps:  # else this code has trained nothing
                provenance = collect(seed=seed, command=command, config=config, device=accelerator.device.type)
                write_json(run / ENVIRONMENT, provenance.model_dump(mode="json"))
        accelerator.init_trackers("tensorboard")
        try:
            return trainer.fit(progress=progress)
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"{variant.name}: a batch of {variant.training.batch_size} scenes does not fit into memory: use a smaller "
                "-b, a larger --set training.gradient_accumulation, --recompute, or --mixed-precision bf16 "
                f"({str(error).splitlines()[0]})"
            ) from None
        finally:
            accelerator.end_training()


def run_config(variant: Variant, *, seed: int, source: SceneSource) -> dict[str, Any]:
    """Returns everything that decides the weights of a run, as plain values."""
    return {**variant.config(), "seed": seed, "data": {"name": source.name, "revision": source.revision}}


def open_training_data(
    data: Path, variant: Variant, *, on_bad_record: OnBadRecord = "raise"
) -> Mapping[str, SceneSource]:
    """Opens the training split and, if there is one, the validation split.

    Raises:
        DataError: if there is no training split.
        ConfigError: if the images do not have the variant's size or the data lack what its task reads.
    """
    requirements = data_requirements(variant)
    sources: dict[str, SceneSource] = {
        str(split): source
        for split, source in open_splits(data, on_bad_record=on_bad_record, requirements=requirements).items()
    }
    if "train" not in sources:
        sources["train"] = open_scenes(data, "train")
    return sources


def _starting_point(run: Path, start: Start, *, tell: Callable[[str], None] | None) -> checkpoint.Checkpoint | None:
    existing = bool(checkpoint.all_steps(run))
    if start.resume == "never":
        if existing:
            raise CheckpointError(
                f"{run}: holds a run already; pass --resume auto to go on with it, or another folder with -o"
            )
        return None
    if start.resume != "auto":
        return checkpoint.find(Path(start.resume), which="last")
    found, problems = checkpoint.newest(run)
    if found is None and existing:
        raise CheckpointError(f"{run}: none of its checkpoints is intact; {problems[0]}")
    if tell:
        for problem in problems:
            tell(f"{problem}; an older checkpoint is taken")
    return found


def to_yaml(values: Mapping[str, Any]) -> str:
    """Writes plain values as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(dict(values), stream)
    return stream.getvalue()


class TrainingCost(NamedTuple):
    """What training has cost."""

    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model with the weights of a checkpoint, and what is known about how it came to be."""

    model: SceneModel
    variant: Variant
    run: Path
    config: Mapping[str, Any]
    step: int
    seconds: float
    git: GitState | None = None  # of the code that trained, the last one if there were several
    spent: TrainingCost | None = (
        None  # on the whole run, of which this may not be the last checkpoint; None: no more than this
    )

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config["seed"])


def load_trained(
    path: Path, *, device: torch.device | str = "cpu", averaged: bool = True, which: checkpoint.Which = "best"
) -> TrainedModel:
    """Loads a run's best or newest checkpoint, or the checkpoint that ``path`` names.

    Args:
        path: a run's folder or a checkpoint's folder.
        device: where the model goes.
        averaged: takes the EMA weights if there are any.
        which: ``best`` by validation, or ``last``.

    Raises:
        CheckpointError, ConfigError: if something is missing, damaged or of another variant.
    """
    path = Path(os.path.normpath(path))
    found = checkpoint.find(path, which=which)
    run = found.path.parent.parent
    config = load_yaml(run / CONFIG) if (run / CONFIG).is_file() else found.state["config"]
    file = str(run / CONFIG)
    for key in RUN_KEYS:
        if key not in config:
            raise ConfigError(f"{file}: {key}: this key is missing")
    variant = variant_from_config({key: value for key, value in config.items() if key not in RUN_KEYS}, file=file)
    model = build(variant)
    ema = found.path / "ema.safetensors"
    if averaged and ema.is_file():
        from torch.optim.swa_utils import AveragedModel

        shadow = AveragedModel(model)
        checkpoint.load_weights(found, shadow, file=ema.name)
        loaded = shadow.module
        assert isinstance(loaded, SceneModel)
        model = loaded
    else:
        checkpoint.load_weights(found, model)
    return TrainedModel(
        model=model.to_device(device).eval(),
        variant=variant,
        run=run,
        config=config,
        step=int(found.state["step"]),
        seconds=float(found.state["seconds"]),
        git=_git_of(run),
        spent=_spent(path, found),
    )


def _spent(path: Path, found: checkpoint.Checkpoint) -> TrainingCost:
    """Returns what was spent until the checkpoint could be chosen: the whole run, unless the checkpoint was named."""
    last = found if found.path == path else checkpoint.find(path, which="last")
    return TrainingCost(steps=int(last.state["step"]), seconds=float(last.state["seconds"]))


def _git_of(run: Path) -> GitState | None:
    """Returns the commit that trained a run, or its last part; None if the run does not tell, or lost the file that does."""
    try:
        return Provenance.model_validate_json((run / ENVIRONMENT).read_bytes()).git
    except (OSError, ValidationError):
        return None
