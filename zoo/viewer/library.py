"""Trained models by name, loaded once for all visitors; their weights never change."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.data.scene import Scene
from zoo.errors import ConfigError
from zoo.evaluation.candidates import localisation_method
from zoo.evaluation.views import check_size, require_views
from zoo.training.trained_model import TrainedModel, load_trained


class NamedModel(NamedTuple):
    """A trained model under the name that the visitor gave."""

    name: str
    trained: TrainedModel
    computing: threading.Lock  # held while a model of the library computes: several visitors take turns

    @property
    def localises(self) -> bool:
        """Whether it predicts cameras of images instead of images."""
        return self.trained.model.task.target_kind == "poses"

    def check_size(self, scene: Scene) -> None:
        """Raises ConfigError if the model was not trained on images of the scene's size."""
        check_size(self.trained.model, scene, name=self.name)


class ModelLibrary:
    """Models on one device, of which one computes at a time."""

    def __init__(self, *, device: str = "cpu", checkpoint: Literal["best", "last"] = "best") -> None:
        self._computing = threading.Lock()
        self._device = device
        self._checkpoint: Literal["best", "last"] = checkpoint
        self._loading = threading.Lock()
        self._models: dict[str, NamedModel] = {}

    def load(self, name: str) -> NamedModel:
        """Loads a shipped name, the folder of a run, or a checkpoint.

        Raises:
            CheckpointError, ConfigError: if there is none, it is damaged, or it predicts neither views nor cameras.
        """
        name = name.strip()
        if not name:
            raise ConfigError("model: found no name, expected a folder of a run or a shipped name (list --pretrained)")
        with self._loading:
            if name not in self._models:
                trained = load_trained(Path(name), device=self._device, which=self._checkpoint)
                if trained.model.task.target_kind == "poses":
                    localisation_method(trained.model)
                else:
                    require_views(trained.model)
                self._models[name] = NamedModel(name, trained, self._computing)
            return self._models[name]
