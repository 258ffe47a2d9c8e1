"""Images as functions from the position of a pixel to its value: completing one is regression."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, Rendering
from zoo.data.points import INPUTS, VALUES, pixel_positions, point_shapes, rendering_of_points
from zoo.data.render import rooms
from zoo.data.render.digits import DIGIT_SIZE, digits_of, handwritten_digits
from zoo.data.render.raycaster import render
from zoo.data.render.rng import scene_generator
from zoo.data.render.scene import Scene, stack_scenes
from zoo.data.source import ExtraShape, Split
from zoo.errors import DataError


@dataclass(frozen=True)
class Completion(BuiltIn):
    """A scene is a image, a view one of its pixels: its position in [-1, 1]^2 and its value in [0, 1].

    All pixels are there unless fewer views are wanted; those are then drawn at random. They lie row by row.

    Attributes:
        source_image_size: height and width, pixels.
        channels: numbers in a value.
    """

    has_images: ClassVar[bool] = False

    source_image_size: int
    channels: int

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of inputs and values."""
        return point_shapes(input_width=2, value_width=self.channels)

    def _points(self, images: Sequence[np.ndarray], rngs: Sequence[np.random.Generator]) -> dict[str, np.ndarray]:
        """Returns V pixels of images [H, W, C], chosen by the images' own generators."""
        count = self.source_image_size**2
        if self.num_views > count:
            raise DataError(f"{self.name}: num_views: {self.num_views} points wanted, a image has {count} pixels")
        chosen = [np.sort(rng.random(count).argsort()[: self.num_views]) for rng in rngs]
        positions = pixel_positions(self.source_image_size)
        values = [image.reshape(count, -1)[pixels] for image, pixels in zip(images, chosen, strict=True)]
        return {
            INPUTS: np.stack([positions[pixels] for pixels in chosen]),
            VALUES: np.stack(values).astype(np.float32),
        }


@functools.cache
def _all_digits_of(split: Split) -> tuple[int, ...]:
    return tuple(sorted(number for numbers in digits_of(split).values() for number in numbers))


@dataclass(frozen=True)
class DigitCompletion(Completion):
    """Handwritten digits of 8x8 pixels. There are 1797: a split that is asked for more scenes repeats its own."""

    def digit(self, *, seed: int, split: Split, index: int) -> int:
        """Returns the number of the digit that scene ``index`` shows: each once, in an order of the seed's own."""
        own = _all_digits_of(split)
        rng = scene_generator(recipe=f"{self.name} order", version=self.version, seed=seed, split=split, index=0)
        return own[int(rng.random(len(own)).argsort()[index % len(own)])]

    def render(
        self,
        *,
        seed: int,
        scene_indices: Sequence[int],
        split: Split,
        image_size: int,
        device: torch.device | str = "cpu",
        samples_per_side: int = 2,
    ) -> Rendering:
        """Returns digits of a split; see :meth:`zoo.data.built_in.BuiltIn.render`."""
        numbers = [self.digit(seed=seed, split=split, index=int(index)) for index in scene_indices]
        rngs = [
            scene_generator(recipe=self.name, version=self.version, seed=seed, split=split, index=int(index))
            for index in scene_indices
        ]
        pixels = handwritten_digits().pixels
        points = self._points([pixels[number] for number in numbers], rngs)
        return rendering_of_points(numbers, num_views=self.num_views, extras=points)


@dataclass(frozen=True)
class RoomCompletion(Completion):
    """Images of the rooms of ``rooms_ring_camera``, one image a room."""

    def render(
        self,
        *,
        seed: int,
        scene_indices: Sequence[int],
        split: Split,
        image_size: int,
        device: torch.device | str = "cpu",
        samples_per_side: int = 2,
    ) -> Rendering:
        """Renders images of a split; see :meth:`zoo.data.built_in.BuiltIn.render`."""
        drawn = [self.draw_content(_draw_room, seed=seed, split=split, index=int(index)) for index in scene_indices]
        scenes, rngs = [scene for scene, _, _ in drawn], [rng for _, _, rng in drawn]
        cameras = np.stack([rooms.draw_ring_cameras(rng, num_views=1) for rng in rngs]).astype(np.float32)
        frames = render(
            stack_scenes(tuple(scenes), device=device),
            cameras=torch.from_numpy(cameras),
            image_size=self.source_image_size,
            samples_per_side=samples_per_side,
        )
        points = self._points([frame.numpy() / np.float32(255.0) for frame in frames[:, 0].cpu()], rngs)
        return rendering_of_points(scenes, num_views=self.num_views, extras=points)


def _draw_room(rng: np.random.Generator) -> tuple[Scene, str]:
    scene = rooms.draw_room(rng)
    return scene, rooms.canonical(scene)


COMPLETIONS: tuple[Completion, ...] = (
    DigitCompletion(
        name="completion_digits",
        version=1,
        num_views=DIGIT_SIZE**2,
        description="handwritten digits of 8x8 pixels as functions of the pixel's position",
        source_image_size=DIGIT_SIZE,
        channels=1,
    ),
    RoomCompletion(
        name="completion_rooms",
        version=1,
        num_views=32**2,
        description="images of rooms of 32x32 pixels as functions of the pixel's position",
        source_image_size=32,
        channels=3,
    ),
)
