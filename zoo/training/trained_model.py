"""A trained model: the weights of a checkpoint with their variant and provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError
from torch.optim.swa_utils import AveragedModel

from zoo.config.schedules import evaluation_schedule_values
from zoo.config.settings import LARGEST_SEED, load_yaml
from zoo.data.scene import Scene
from zoo.episode import ScheduleValues
from zoo.errors import ConfigError
from zoo.evaluation.views import ViewPrediction, predict_views
from zoo.model.scene_model import SceneModel
from zoo.provenance import GitState, Provenance
from zoo.registry.registry import Registry, variant_from_config
from zoo.registry.variant import Variant, build
from zoo.results.weights import CARD, WEIGHTS, find_weights, read_card
from zoo.training import run_checkpoints
from zoo.training.checkpoint import EMA, MODEL, Checkpoint, load_tensors

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
RUN_KEYS = ("seed", "data")


class TrainingCost(NamedTuple):
    """Steps and seconds of training."""

    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model with the weights of a checkpoint."""

    model: SceneModel  # in evaluation mode
    variant: Variant
    run: Path  # the run's folder
    config: Mapping[str, Any]  # everything that decided the weights
    step: int  # of the checkpoint
    seconds: float  # of training until that step
    spent: TrainingCost  # on the whole run, of which this may not be the last checkpoint
    git: GitState | None = None  # the commit that trained it, the last one if there were several; None if unknown
    sha256: str | None = None  # of weights that have a card

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config["seed"])

    @property
    def schedule(self) -> ScheduleValues:
        """The schedule values of evaluation, on the model's device."""
        return evaluation_schedule_values(self.variant.training, device=self.model.device)

    @property
    def data_name(self) -> str:
        """The name of the data set that the model was trained on."""
        return str(self.config["data"]["name"])

    def default_context(self, scene: Scene) -> list[int]:
        """Returns the first views of a scene, as many as the largest context of training, but not all views."""
        return list(range(max(0, min(self.variant.training.contexts.maximum, scene.num_views - 1))))

    def predict(
        self,
        scene: Scene,
        cameras: np.ndarray,
        *,
        context: Sequence[int] | None = None,
        samples: int = 4,
        seed: int = 0,
    ) -> ViewPrediction:
        """Predicts images of a scene at cameras [Q, 5] (x, y, z, yaw, pitch; radians) from some of its views.

        Args:
            scene: for example ``zoo.Scene.load("rooms_ring_camera:17", image_size=32)``.
            cameras: where to look from; ``scene.cameras`` are those of its own images.
            context: the views that the model is given; default: :meth:`default_context`.
            samples: S, of the latents.
            seed: of their noise.

        Raises:
            ConfigError, DataError: see :func:`zoo.evaluation.views.predict_views`.
        """
        chosen = self.default_context(scene) if context is None else context
        return predict_views(
            self.model, scene, cameras, schedule=self.schedule, context=chosen, num_samples=samples, seed=seed
        )


def load_trained(
    path: Path,
    *,
    device: torch.device | str = "cpu",
    which: run_checkpoints.Which = "best",
    registry: Registry | None = None,
) -> TrainedModel:
    """Loads the best (by validation) or last checkpoint of a run, or the checkpoint or weights that ``path`` is or names.

    The weights are the EMA's if there is one. The variant is looked up in ``registry``, by default in the default
    registry.

    Raises:
        CheckpointError, ConfigError: if something is missing, damaged or of another variant.
    """
    path = Path(os.path.normpath(path))
    if (weights := find_weights(path)) is not None:
        return _load_shipped(weights, device=device, registry=registry)
    found = run_checkpoints.find(path, which=which)
    run = found.path.parent.parent
    config = load_yaml(run / CONFIG) if (run / CONFIG).is_file() else found.state.config
    variant = _variant_of(config, file=run / CONFIG, registry=registry)
    # The cost until the checkpoint could be chosen: the whole run, unless the path is a checkpoint.
    last = found if found.path == path else run_checkpoints.find(path, which="last")
    provenance = provenance_of_run(run)
    return TrainedModel(
        model=_load_model(found, variant).to_device(device).eval(),
        variant=variant,
        run=run,
        config=config,
        step=found.state.step,
        seconds=found.state.seconds,
        spent=TrainingCost(last.state.step, last.state.seconds),
        git=provenance.git if provenance else None,
    )


def _load_shipped(folder: Path, *, device: torch.device | str, registry: Registry | None) -> TrainedModel:
    """Loads weights that have a card, as float32, into the model of the card's configuration."""
    card = read_card(folder)
    variant = _variant_of(card.config, file=folder / CARD, registry=registry)
    model = build(variant)
    load_tensors(folder / WEIGHTS, model)
    budget = card.evaluation[0].budget
    return TrainedModel(
        model=model.to_device(device).eval(),
        variant=variant,
        run=folder,
        config=card.config,
        step=card.step,
        seconds=card.seconds,
        spent=TrainingCost(budget.steps, budget.seconds) if budget else TrainingCost(card.step, card.seconds),
        git=card.training.git,
        sha256=card.sha256,
    )


def load_initial_weights(path: Path, model: SceneModel) -> None:
    """Loads the weights, not their average, of a run or checkpoint, or weights that have a card or ship under a name.

    Raises:
        CheckpointError: if something is missing, damaged or of another variant.
    """
    if (folder := find_weights(path)) is None:
        load_tensors(run_checkpoints.find(path).path / MODEL, model)
    else:
        read_card(folder)  # which checks the weights
        load_tensors(folder / WEIGHTS, model)


def _variant_of(config: Mapping[str, Any], *, file: Path, registry: Registry | None) -> Variant:
    """Returns the variant of a run's configuration."""
    for key in RUN_KEYS:
        if key not in config:
            raise ConfigError(f"{file}: {key}: this key is missing")
    check_seed(config["seed"], file=str(file))
    settings = {key: value for key, value in config.items() if key not in RUN_KEYS}
    return variant_from_config(settings, file=str(file), registry=registry)


def check_seed(seed: Any, *, file: str) -> None:
    """Raises ConfigError with the file for a seed that is not a whole number from 0 to 2**63 - 1."""
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"{file}: seed: found {seed!r}, expected a whole number from 0 to 2**63 - 1")


def _load_model(found: Checkpoint, variant: Variant) -> SceneModel:
    model = build(variant)
    if not (found.path / EMA).is_file():
        load_tensors(found.path / MODEL, model)
        return model
    average = AveragedModel(model)
    load_tensors(found.path / EMA, average)
    assert isinstance(average.module, SceneModel)
    return average.module


def provenance_of_run(run: Path) -> Provenance | None:
    """Returns command, commit and machine that trained a run, or its last part; None if the file is lost or damaged."""
    try:
        return Provenance.model_validate_json((run / ENVIRONMENT).read_bytes())
    except (OSError, ValidationError):
        return None
