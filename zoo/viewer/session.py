"""The session of one visitor: the state of the page and the actions that change it; knows nothing of the browser."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.config.settings import LARGEST_SEED
from zoo.data.camera_path import camera_of
from zoo.data.source import Split
from zoo.errors import ConfigError, DataError
from zoo.viewer.library import ModelLibrary
from zoo.viewer.saved_page import MOST_KEYFRAMES, MOST_MODELS, MOST_SAMPLES, MOST_VIEWS, read_page, write_page
from zoo.viewer.session_state import ContextView, SessionState, free_view, load_scene, open_scene, own_view


class ViewerSession:
    """What one visitor looks at. An action that fails raises ZooError and changes nothing.

    ``state`` is replaced as a whole, so that it can be rendered in one thread while another one acts.
    """

    def __init__(self, library: ModelLibrary, state: SessionState) -> None:
        self.library = library
        self.state = state
        self._acting = threading.RLock()

    @classmethod
    def open(
        cls,
        library: ModelLibrary,
        models: Sequence[str],
        *,
        place: str | None = None,
        split: Split = "test",
        samples: int = 4,
    ) -> ViewerSession:
        """Opens models in front of a scene; default: scene 0 of the first model's data set.

        Raises:
            ZooError: if a model or the scene cannot be loaded, or they do not fit together.
        """
        loaded = [library.load(name) for name in dict.fromkeys(models)]
        where = f"{loaded[0].trained.data_name}:0" if place is None else place
        return cls(library, open_scene(loaded, where, split=split, samples=_checked_samples(samples)))

    def look_from(self, camera: np.ndarray) -> None:
        """Moves the camera to [5] (radians)."""
        self._change(camera=np.asarray(camera, np.float32))

    def look_from_pose(self, pose: Sequence[float]) -> None:
        """Moves the camera to x, y, z, yaw, pitch in degrees; raises DataError if a number is out of range."""
        self.look_from(camera_of(pose, origin="pose"))

    def add_own_view(self, view: int) -> None:
        """Gives the models one of the scene's own views; raises DataError if they have it already, or there is none."""
        with self._acting:
            if any(each.view == view for each in self.state.context):
                raise DataError(f"{self.state.scene.name}: view {view} is context already")
            self._add_view(own_view(self.state.scene, view))

    def add_view_at(self, camera: np.ndarray) -> None:
        """Gives the models the true view at a camera [5]; raises DataError if the scene cannot be rendered there."""
        with self._acting:
            self._add_view(free_view(self.state.scene, camera))

    def move_view(self, index: int, camera: np.ndarray) -> None:
        """Moves context view ``index`` to a camera [5]; raises DataError if there is none or it cannot be rendered."""
        with self._acting:
            self._replace_view(index, free_view(self.state.scene, camera))

    def remove_view(self, index: int) -> None:
        """Takes context view ``index`` away from the models; raises DataError if there is none."""
        with self._acting:
            self._replace_view(index)

    def clear_views(self) -> None:
        """Takes all context views away."""
        self._change(context=())

    def add_model(self, name: str) -> None:
        """Shows one more model beside the others; raises ZooError if it cannot be loaded or reads another size."""
        loaded = self.library.load(name)
        with self._acting:
            if loaded in self.state.models:
                raise ConfigError(f"{name}: is shown already")
            if len(self.state.models) >= MOST_MODELS:
                raise ConfigError(f"{name}: {MOST_MODELS} models are shown already, which is the most")
            loaded.check_size(self.state.scene)
            self._change(models=(*self.state.models, loaded))

    def remove_model(self, name: str) -> None:
        """Shows one model less; raises ConfigError for the last one or one that is not shown."""
        with self._acting:
            left = tuple(model for model in self.state.models if model.name != name)
            if not left or len(left) == len(self.state.models):
                raise ConfigError(f"{name}: cannot be removed, expected one of two or more models that are shown")
            self._change(models=left)

    def open_scene(self, place: str, *, split: Split) -> None:
        """Goes to another scene, with its default context and camera; the keyframes stay with the old scene.

        Raises:
            ZooError: if it cannot be loaded, or its images have another size.
        """
        with self._acting:
            now = self.state
            self.state = open_scene(now.models, place, split=split, samples=now.samples, seed=now.seed)

    def set_samples(self, samples: int) -> None:
        """Sets the number of samples at rest; raises ConfigError if it is out of range."""
        self._change(samples=_checked_samples(samples))

    def draw_noise(self) -> None:
        """Takes other noise for the latents: the next seed."""
        with self._acting:
            self._change(seed=(self.state.seed + 1) % LARGEST_SEED)

    def add_keyframe(self) -> None:
        """Appends the camera to the keyframes; raises ConfigError if there are too many."""
        with self._acting:
            if len(self.state.keyframes) >= MOST_KEYFRAMES:
                raise ConfigError(f"keyframes: found {MOST_KEYFRAMES}, which is the most")
            self._change(keyframes=(*self.state.keyframes, self.state.camera))

    def clear_keyframes(self) -> None:
        """Removes all keyframes."""
        self._change(keyframes=())

    def save(self, path: Path) -> None:
        """Writes the state to a JSON file, whole or not at all; raises DiskFullError if it cannot be written."""
        write_page(path, self.state)

    def load(self, path: Path) -> None:
        """Takes the state of a JSON file.

        Raises:
            ZooError: naming the file and the field, if something in it is not valid or cannot be loaded.
        """
        found = read_page(path)
        models = tuple(self.library.load(name) for name in found.models)
        scene = load_scene(models, found.scene, split=found.split)
        context = tuple(
            free_view(scene, camera_of(each.camera or (), origin=f"{path}: context.{index}"))
            if each.view is None
            else own_view(scene, each.view)
            for index, each in enumerate(found.context)
        )
        keyframes = tuple(
            camera_of(row, origin=f"{path}: keyframes.{index}") for index, row in enumerate(found.keyframes)
        )
        camera = camera_of(found.camera, origin=f"{path}: camera")
        state = SessionState(
            models, found.scene, found.split, scene, context, camera, found.samples, found.seed, keyframes
        )
        with self._acting:
            self.state = state

    def _change(self, **changes: Any) -> None:
        with self._acting:
            self.state = replace(self.state, **changes)

    def _add_view(self, view: ContextView) -> None:
        if len(self.state.context) >= MOST_VIEWS:
            raise ConfigError(f"context: found {MOST_VIEWS} views, which is the most")
        self._change(context=(*self.state.context, view))

    def _replace_view(self, index: int, *views: ContextView) -> None:
        context = self.state.context
        if not 0 <= index < len(context):
            raise DataError(f"context: found no view {index}, expected 0 to {len(context) - 1}")
        self._change(context=(*context[:index], *views, *context[index + 1 :]))


def _checked_samples(samples: int) -> int:
    if not 1 <= samples <= MOST_SAMPLES:
        raise ConfigError(f"samples: found {samples}, expected 1 to {MOST_SAMPLES}")
    return samples
