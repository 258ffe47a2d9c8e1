"""Images as functions from the position of a pixel to its value; completing an image is regression."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, DrawnScene, Rendering, stack_cameras
from zoo.data.functions import rendering_of_points
from zoo.data.render import rooms
from zoo.data.render.digit_cube import DIGIT_SIZE, digits_of, handwritten_digits
from zoo.data.render.raycaster import render
from zoo.data.render.rng import scene_generator
from zoo.data.render.scene import stack_scenes
from zoo.data.source import INPUTS, VALUES, ExtraShape, Split, point_shapes
from zoo.errors import DataError

_PIXELS = "pixels"


def pixel_positions(size: int) -> np.ndarray:
    """Returns the positions of the pixels of a square image, row by row, [size * size, 2] float32.

    The first coordinate goes to the right and the second down; the centres of the outermost pixels lie at -1 and 1.
    """
    along = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    down, right = np.meshgrid(along, along, indexing="ij")
    return np.stack([right, down], axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Completion(BuiltIn):
    """Scenes are images, views their pixels: a position in [-1, 1]^2 and a value in [0, 1].

    All pixels are views, row by row, unless ``num_views`` is smaller; then as many are drawn at random.
    """

    has_images: ClassVar[bool] = False

    source_image_size: int  # height and width, pixels
    channels: int  # numbers in a value

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of inputs and values."""
        return point_shapes(input_width=2, value_width=self.channels)

    def _draw_pixels(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        count = self.source_image_size**2
        if self.num_views > count:
            raise DataError(f"{self.name}: num_views: {self.num_views} points wanted, an image has {count} pixels")
        return {_PIXELS: np.sort(rng.random(count).argsort()[: self.num_views])}

    @abstractmethod
    def _images(self, drawn: Sequence[DrawnScene], device: torch.device | str) -> list[np.ndarray]:
        """Returns the image [H, W, C] of every scene."""

    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Returns images as scenes of points."""
        positions = pixel_positions(self.source_image_size)
        points = []
        for item, image in zip(drawn, self._images(drawn, device), strict=True):
            pixels = item.extras[_PIXELS]
            values = image.reshape(len(positions), -1)[pixels].astype(np.float32)
            points.append(item._replace(extras={INPUTS: positions[pixels], VALUES: values}))
        return rendering_of_points(points)


@functools.cache
def _all_digits_of(split: Split) -> tuple[int, ...]:
    return tuple(sorted(number for numbers in digits_of(split).values() for number in numbers))


@dataclass(frozen=True)
class DigitCompletion(Completion):
    """Handwritten digits of 8x8 pixels. There are 1797: a split that is asked for more scenes repeats its own."""

    def digit(self, *, seed: int, split: Split, index: int) -> int:
        """Returns the number of the digit of scene ``index``: each once, in an order that the seed decides."""
        own = _all_digits_of(split)
        rng = scene_generator(recipe=f"{self.name} order", version=self.version, seed=seed, split=split, index=0)
        return own[int(rng.random(len(own)).argsort()[index % len(own)])]

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws digit ``index`` of a split and its pixels."""
        rng = scene_generator(recipe=self.name, version=self.version, seed=seed, split=split, index=index)
        number = self.digit(seed=seed, split=split, index=index)
        return DrawnScene(number, str(number), extras=self._draw_pixels(rng))

    def _images(self, drawn: Sequence[DrawnScene], device: torch.device | str) -> list[np.ndarray]:
        return [handwritten_digits().pixels[item.scene] for item in drawn]


@dataclass(frozen=True)
class RoomCompletion(Completion):
    """Images of the rooms of ``rooms_ring_camera``, one image of each room."""

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws room ``index`` of a split, a camera and the pixels."""
        scene, name, rng = self.draw_content(rooms.draw_named_room, seed=seed, split=split, index=index)
        cameras = rooms.draw_ring_cameras(rng, scene=scene, num_views=1).astype(np.float32)
        return DrawnScene(scene, name, cameras, self._draw_pixels(rng))

    def _images(self, drawn: Sequence[DrawnScene], device: torch.device | str) -> list[np.ndarray]:
        scenes = stack_scenes([item.scene for item in drawn], device=device)
        frames = render(scenes, cameras=stack_cameras(drawn), image_size=self.source_image_size)
        return [frame.numpy() / np.float32(255.0) for frame in frames[:, 0].cpu()]


COMPLETIONS: tuple[Completion, ...] = (
    DigitCompletion(
        name="completion_digits",
        num_views=DIGIT_SIZE**2,
        description="handwritten digits of 8x8 pixels as functions of the pixel's position",
        source_image_size=DIGIT_SIZE,
        channels=1,
    ),
    RoomCompletion(
        name="completion_rooms",
        num_views=32**2,
        description="images of rooms of 32x32 pixels as functions of the pixel's position",
        source_image_size=32,
        channels=3,
    ),
)
