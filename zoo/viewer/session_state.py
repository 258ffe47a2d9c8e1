"""Everything that a page shows, as one value that is never changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from zoo.data.scene import Scene
from zoo.data.source import Split
from zoo.errors import DataError
from zoo.viewer.library import NamedModel


class ContextView(NamedTuple):
    """A view that the models are given."""

    camera: np.ndarray  # [5] float32: x, y, z, yaw, pitch (radians)
    image: np.ndarray  # [H, W, 3] uint8
    view: int | None  # of the scene's own views; None for a camera of the visitor


@dataclass(frozen=True)
class SessionState:
    """Models, scene, context, camera and samples of one visitor.

    Attributes:
        models: side by side, under one camera.
        place: of the scene, ``DATA:INDEX``.
        split: of the scene.
        scene: what ``place`` names.
        context: the views that the models are given.
        camera: [5] float32, radians; where the models predict.
        samples: S, of the latents, at rest.
        seed: of their noise.
        keyframes: cameras [5] of a path.
    """

    models: tuple[NamedModel, ...]
    place: str
    split: Split
    scene: Scene
    context: tuple[ContextView, ...]
    camera: np.ndarray
    samples: int
    seed: int
    keyframes: tuple[np.ndarray, ...] = ()

    @property
    def view_models(self) -> list[NamedModel]:
        """The models that predict images."""
        return [model for model in self.models if not model.localises]

    def given(self, context: Sequence[ContextView]) -> tuple[Scene, list[int]]:
        """Returns a scene that has every view of ``context``, and their indices in it.

        What a data set says of single views (captions) is only known of its own: with another camera it is left out.
        """
        own = [view for view in context if view.view is None]
        scene, indices, added = self.scene, [], self.scene.num_views
        for each in context:
            indices.append(added if each.view is None else each.view)
            added += each.view is None
        if not own:
            return scene, indices
        frames = np.concatenate([scene.frames, np.stack([view.image for view in own])])
        cameras = np.concatenate([scene.cameras, np.stack([view.camera for view in own])])
        return replace(scene, frames=frames, cameras=cameras, extras={}), indices


def own_view(scene: Scene, view: int) -> ContextView:
    """Returns a view of the scene's own; raises DataError if it has no such view."""
    scene.check_view(view)
    return ContextView(scene.cameras[view], scene.frames[view], view)


def free_view(scene: Scene, camera: np.ndarray) -> ContextView:
    """Renders the scene at a camera [5]; raises DataError if it cannot be rendered (there)."""
    image = scene.render(np.asarray(camera, np.float32)[None])
    if image is None:
        raise DataError(f"{scene.name}: cannot be rendered from other cameras; use its own views as context")
    return ContextView(np.asarray(camera, np.float32), image[0], None)


def open_scene(
    models: Sequence[NamedModel], place: str, *, split: Split, samples: int = 4, seed: int = 0
) -> SessionState:
    """Loads a scene with the default context of the first model; the camera is that of the first other view.

    Raises:
        ConfigError, DataError: if there is no such scene, it has no views, or its images have another size.
    """
    scene = load_scene(models, place, split=split)
    chosen = models[0].trained.default_context(scene)
    camera = scene.cameras[min(len(chosen), scene.num_views - 1)]
    context = tuple(own_view(scene, view) for view in chosen)
    return SessionState(tuple(models), place, split, scene, context, camera, samples, seed)


def load_scene(models: Sequence[NamedModel], place: str, *, split: Split) -> Scene:
    """Loads a scene whose images have the size of the models; see :func:`open_scene`."""
    scene = Scene.load(place, split=split, image_size=models[0].trained.variant.image_size)
    if not scene.num_views:
        raise DataError(f"{place}: has no views, expected at least one")
    for model in models:
        model.check_size(scene)
    return scene
