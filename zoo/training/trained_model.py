"""A trained model: the weights of a checkpoint with their variant and provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch.optim.swa_utils import AveragedModel

from zoo.config.schedules import evaluation_schedule_values
from zoo.config.settings import LARGEST_SEED, load_yaml
from zoo.episode import ScheduleValues
from zoo.errors import ConfigError
from zoo.model.scene_model import SceneModel
from zoo.provenance import GitState, Provenance
from zoo.registry.registry import Registry, variant_from_config
from zoo.registry.variant import Variant, build
from zoo.training import run_checkpoints
from zoo.training.checkpoint import EMA, Checkpoint, load_weights

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
RUN_KEYS = ("seed", "data")


class TrainingCost(NamedTuple):
    """Steps and seconds of training."""

    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model with the weights of a checkpoint.

    Attributes:
        model: in evaluation mode.
        variant: of the model.
        run: the run's folder.
        config: everything that decided the weights.
        step: of the checkpoint.
        seconds: of training until that step.
        git: the commit that trained it, the last one if there were several; None if unknown.
        spent: on the whole run, of which this may not be the last checkpoint; None: the same as this checkpoint.
    """

    model: SceneModel
    variant: Variant
    run: Path
    config: Mapping[str, Any]
    step: int
    seconds: float
    git: GitState | None = None
    spent: TrainingCost | None = None

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config["seed"])

    @property
    def schedule(self) -> ScheduleValues:
        """The schedule values of evaluation, on the model's device."""
        device = next(self.model.parameters()).device
        return evaluation_schedule_values(self.variant.training, device=device)


def load_trained(
    path: Path,
    *,
    device: torch.device | str = "cpu",
    which: run_checkpoints.Which = "best",
    registry: Registry | None = None,
) -> TrainedModel:
    """Loads a run's best or newest checkpoint, or the checkpoint at ``path``, with its EMA weights if there are any.

    Args:
        path: a run's folder or a checkpoint's folder.
        device: where the model goes.
        which: ``best`` by validation, or ``last``.
        registry: where the variant is registered; None: the default registry.

    Raises:
        CheckpointError, ConfigError: if something is missing, damaged or of another variant.
    """
    path = Path(os.path.normpath(path))
    found = run_checkpoints.find(path, which=which)
    run = found.path.parent.parent
    config = load_yaml(run / CONFIG) if (run / CONFIG).is_file() else found.state.config
    file = str(run / CONFIG)
    for key in RUN_KEYS:
        if key not in config:
            raise ConfigError(f"{file}: {key}: this key is missing")
    check_seed(config["seed"], file=file)
    variant = variant_from_config(
        {key: value for key, value in config.items() if key not in RUN_KEYS}, file=file, registry=registry
    )
    return TrainedModel(
        model=_load_model(found, variant).to_device(device).eval(),
        variant=variant,
        run=run,
        config=config,
        step=found.state.step,
        seconds=found.state.seconds,
        git=_git_of(run),
        spent=_training_cost(path, found),
    )


def check_seed(seed: Any, *, file: str) -> None:
    """Refuses a seed that is not a whole number from 0 to 2**63 - 1.

    Raises:
        ConfigError: naming the file and what was found.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"{file}: seed: found {seed!r}, expected a whole number from 0 to 2**63 - 1")


def _load_model(found: Checkpoint, variant: Variant) -> SceneModel:
    model = build(variant)
    if not (found.path / EMA).is_file():
        load_weights(found, model)
        return model
    average = AveragedModel(model)
    load_weights(found, average, file=EMA)
    assert isinstance(average.module, SceneModel)
    return average.module


def _training_cost(path: Path, found: Checkpoint) -> TrainingCost:
    """Returns the cost until the checkpoint could be chosen: the whole run, unless the path is a checkpoint."""
    last = found if found.path == path else run_checkpoints.find(path, which="last")
    return TrainingCost(steps=last.state.step, seconds=last.state.seconds)


def _git_of(run: Path) -> GitState | None:
    """Returns the commit that trained a run, or its last part; None if it was not recorded or its file is lost."""
    try:
        return Provenance.model_validate_json((run / ENVIRONMENT).read_bytes()).git
    except (OSError, ValidationError):
        return None
