"""One scene: its images, the cameras that took them, and what else its data set says of it; rendering it from its factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.camera import CAMERA_WIDTH
from zoo.data.factors.parsing import parse_factors
from zoo.data.factors.room_factors import check_inside_room
from zoo.data.factors.scene_factors import SceneFactors
from zoo.data.opening import Source, open_scenes
from zoo.data.render.maze_layout import Maze
from zoo.data.render.maze_surfaces import stack_mazes
from zoo.data.render.mazes import render_mazes
from zoo.data.render.raycaster import render
from zoo.data.render.recipes import RECIPES
from zoo.data.render.scene import stack_scenes
from zoo.data.render.terrain_caster import render_lands, stack_lands
from zoo.data.render.terrain_land import Terrain
from zoo.data.source import ExtraShape, Split, check_numbers
from zoo.data.store import SceneStore, read_meta
from zoo.errors import DataError, did_you_mean

DEFAULT_IMAGE_SIZE = 64


@dataclass(frozen=True)
class Scene:
    """V images of one scene with their cameras, as ``SceneBatch`` holds those of B scenes.

    Attributes:
        frames: [V, H, W, 3] uint8; V may be 0.
        cameras: [V, 5] float32: x, y, z, yaw, pitch (scene units, radians; see :mod:`zoo.data.camera`).
        name: for titles and messages, for example ``rooms_ring_camera:17``.
        extras: name -> [V, ...] of views or [...] of the scene.
        extra_shapes: types and shapes of the extras.
        factors: what a built-in data set drew; only with them can the scene be rendered from other cameras.
    """

    frames: np.ndarray
    cameras: np.ndarray
    name: str = "scene"
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    extra_shapes: Mapping[str, ExtraShape] = field(default_factory=dict)
    factors: SceneFactors | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raises DataError if images and cameras do not fit together, or a camera is not finite."""
        shape, cameras = self.frames.shape, self.cameras.shape
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or self.frames.dtype != np.uint8:
            raise DataError(
                f"{self.name}: images: found {self.frames.dtype} {list(shape)}, expected square ones, uint8 [V, H, H, 3]"
            )
        if cameras != (shape[0], CAMERA_WIDTH):
            raise DataError(
                f"{self.name}: cameras: found {list(cameras)}, expected [{shape[0]}, {CAMERA_WIDTH}], one of each image"
            )
        check_numbers(self.cameras, kind="cameras", origin=self.name)

    @property
    def num_views(self) -> int:
        """The number of images."""
        return len(self.frames)

    @property
    def image_size(self) -> int:
        """Height and width of the images, pixels."""
        return int(self.frames.shape[1])

    def check_view(self, view: int) -> None:
        """Raises DataError if the scene has no view of this number."""
        if not 0 <= view < self.num_views:
            raise DataError(f"{self.name}: view {view} is out of range, expected 0 to {self.num_views - 1}")

    @classmethod
    def from_images(
        cls, images: Sequence[np.ndarray] | np.ndarray, cameras: np.ndarray, *, name: str = "scene"
    ) -> Scene:
        """Makes a scene of own images [V, H, H, 3] uint8 and cameras [V, 5] (x, y, z, yaw, pitch; radians).

        Raises:
            DataError: if they do not fit together.
        """
        if len({np.shape(image) for image in images}) > 1:
            raise DataError(
                f"{name}: images: found shapes {sorted({np.shape(image) for image in images})}, expected one"
            )
        return cls(np.asarray(images), np.asarray(cameras, np.float32), name)

    @classmethod
    def load(cls, place: str | Path, *, split: Split = "test", image_size: int | None = None) -> Scene:
        """Loads a scene of a folder of scenes, or draws one of a built-in data set.

        Args:
            place: ``DATA:INDEX``, the scene INDEX, counted from 0, of a folder or a built-in data set; ``DATA`` is ``DATA:0``.
            split: of the scene.
            image_size: of a built-in data set, pixels; default: 64. Images on disk keep their size.

        Raises:
            DataError: if there is no such scene, or it has no images.
        """
        data, index = _parse(str(place))
        if Path(data).is_dir():
            return cls._read(data, index, split=split, name=str(place))
        if data not in RECIPES:
            raise DataError(
                f"{data}: is neither a folder of scenes nor a built-in data set{did_you_mean(data, RECIPES)}"
            )
        recipe = RECIPES[data]
        if not recipe.has_images:
            raise DataError(f"{data}: its scenes have no images")
        size = image_size or DEFAULT_IMAGE_SIZE
        drawn = recipe.draw(seed=0, split=split, index=index)
        made = recipe.render_drawn([drawn], image_size=size, device="cpu")
        return cls(
            frames=made.frames[0].numpy(),
            cameras=made.cameras[0].numpy(),
            name=f"{data}:{index}",
            extras={name: array[0] for name, array in made.extras.items()},
            extra_shapes=recipe.extras(image_size=size),
            factors=recipe.factors_of(drawn.scene),
        )

    @classmethod
    def _read(cls, folder: str, index: int, *, split: Split, name: str) -> Scene:
        source = open_scenes(folder, split)
        if not source.image_size:
            raise DataError(f"{folder}: its scenes have no images")
        scenes, views = np.array([index]), np.arange(source.num_views)[None]
        frames, cameras = source.read(scenes, views)
        extras = {name: array[0] for name, array in source.read_extras(scenes, views).items()}
        return cls(frames[0], cameras[0], name, extras, source.extras, _factors_of(source, folder=folder, index=index))

    def render(self, cameras: np.ndarray) -> np.ndarray | None:
        """Renders the scene as it is, seen by cameras [Q, 5] (radians): [Q, H, W, 3] uint8; None without factors.

        Raises:
            DataError: if a camera is where the scene cannot be seen from, for example in a wall.
        """
        return None if self.factors is None else render_scene(self.factors, cameras, image_size=self.image_size)


def _parse(place: str) -> tuple[str, int]:
    """Splits ``DATA:INDEX``; raises DataError if INDEX is not a whole number."""
    if Path(place).is_dir() or ":" not in place:
        return place, 0
    data, _, index = place.rpartition(":")
    if not (index.isascii() and index.isdecimal() and len(index) < 19):
        raise DataError(
            f"{place}: scene: found {index!r}, expected DATA:INDEX with a whole number from 0, such as {data}:17"
        )
    return data, int(index)


def _factors_of(source: Source, *, folder: str, index: int) -> SceneFactors | None:
    """Returns the factors of a scene in a folder; of a store without them if its recipe can draw the scene again."""
    if not isinstance(source, SceneStore):
        return None
    if source.has_factors:
        return parse_factors(source.read_factors(np.array([index]))[0], origin=f"{folder}: factors of scene {index}")
    provenance = read_meta(folder).provenance
    recipe = RECIPES.get(str(provenance.get("recipe")))
    seed = provenance.get("seed")
    if recipe is None or provenance.get("version") != recipe.version or not isinstance(seed, int):
        return None
    return recipe.factors_of(recipe.draw(seed=seed, split=source.split, index=index).scene)


def render_scene(
    factors: SceneFactors | Mapping[str, Any],
    cameras: np.ndarray | Tensor,
    *,
    image_size: int = 64,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Renders a scene from its factors.

    The cameras of a store give the images of the store, bit for bit on the device that rendered them.

    Args:
        factors: a factor document, for example one of :meth:`zoo.data.store.SceneStore.read_factors`.
        cameras: [V, 5] float: x, y, z in scene units, yaw and pitch in radians; rounded to float32 as in a store.
        image_size: height and width, pixels.
        device: of torch.

    Returns:
        frames [V, H, W, 3] uint8.

    Raises:
        DataError: if the factors, the cameras or the size are not valid; a camera must be inside of the room.
    """
    if not isinstance(factors, SceneFactors):
        factors = parse_factors(factors, origin="factors")
    places = np.asarray(cameras, np.float32)
    if places.ndim != 2 or places.shape[1] != CAMERA_WIDTH or not len(places):
        raise DataError(f"cameras: the shape is {places.shape}, expected (V, {CAMERA_WIDTH}) with V of 1 or more")
    check_numbers(places, kind="cameras", origin="cameras")
    if image_size < 1:
        raise DataError(f"image_size: {image_size} is not a positive number")
    scene = factors.scene()
    views = torch.from_numpy(places)[None]
    if isinstance(scene, Maze):
        frames = render_mazes(stack_mazes([scene], device=device), cameras=views, image_size=image_size)
    elif isinstance(scene, Terrain):
        lands = stack_lands([scene.land], origins=[scene.origin], device=device)
        frames = render_lands(lands, cameras=views, image_size=image_size)
    else:
        check_inside_room(scene, places)
        frames = render(stack_scenes([scene], device=device), cameras=views, image_size=image_size)
    return frames[0].cpu().numpy()
