"""One scene: its images, the cameras that took them, and what else its data set says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, DrawnScene
from zoo.data.camera import CAMERA_WIDTH
from zoo.data.opening import kind_of, open_scenes
from zoo.data.render.recipes import RECIPES
from zoo.data.source import ExtraShape, Split, check_numbers
from zoo.data.store import read_meta
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
        content: the data set that drew the scene and what it drew, if it is a built-in one; only then can the scene be
            rendered from other cameras.
    """

    frames: np.ndarray
    cameras: np.ndarray
    name: str = "scene"
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    extra_shapes: Mapping[str, ExtraShape] = field(default_factory=dict)
    content: tuple[BuiltIn, DrawnScene] | None = field(default=None, repr=False)

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
            content=(recipe, drawn),
        )

    @classmethod
    def _read(cls, folder: str, index: int, *, split: Split, name: str) -> Scene:
        source = open_scenes(folder, split)
        if not source.image_size:
            raise DataError(f"{folder}: its scenes have no images")
        scenes, views = np.array([index]), np.arange(source.num_views)[None]
        frames, cameras = source.read(scenes, views)
        extras = {name: array[0] for name, array in source.read_extras(scenes, views).items()}
        return cls(frames[0], cameras[0], name, extras, source.extras, _content_of(folder, split=split, index=index))

    def render(self, cameras: np.ndarray) -> np.ndarray | None:
        """Renders the scene as it is, seen by cameras [Q, 5]: [Q, H, W, 3] uint8; None if its content is not known."""
        if self.content is None:
            return None
        recipe, drawn = self.content
        seen = drawn._replace(cameras=np.asarray(cameras, np.float32), extras={})
        made = recipe.render_drawn([seen], image_size=self.image_size, device="cpu")
        assert isinstance(made.frames, torch.Tensor)
        return made.frames[0].numpy()


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


def _content_of(folder: str, *, split: Split, index: int) -> tuple[BuiltIn, DrawnScene] | None:
    """Draws the content of a scene in a store again, if the store was made by a recipe in its present version."""
    if kind_of(folder) != "store":
        return None
    provenance = read_meta(folder).provenance
    recipe = RECIPES.get(str(provenance.get("recipe")))
    seed = provenance.get("seed")
    if recipe is None or provenance.get("version") != recipe.version or not isinstance(seed, int):
        return None
    return recipe, recipe.draw(seed=seed, split=split, index=index)
