"""Rooms with a single object, drawn by a built-in data set, and the same rooms with another object, wall or floor."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from zoo.data.factors.hues import HUES, HueName
from zoo.data.factors.room_factors import ObjectFactors, RoomFactors
from zoo.data.render.primitives import PRIMITIVES
from zoo.data.render.raycaster import render
from zoo.data.render.recipes import RECIPES
from zoo.data.render.rooms import STRETCH
from zoo.data.render.scene import stack_scenes
from zoo.errors import DataError

SATURATION, BRIGHTNESS = 0.85, 0.9  # of colours that are set by their hue, in the middle of those that are drawn
ABSENT = 1e-3  # size of an object that no pixel shows, scene units
MOST_DRAWN = 50  # scenes that are drawn for each with a single object


class Solid(NamedTuple):
    """The factors of an upright object on the floor."""

    shape: str
    colour: tuple[float, float, float]  # red, green, blue, 0 to 1
    size: float  # before the stretch of its shape, scene units
    x: float  # scene units
    y: float


class DrawnRooms(NamedTuple):
    """Rooms with a single object each."""

    factors: list[RoomFactors]
    cameras: np.ndarray  # [n, V, 5] float32: x, y, z in scene units, yaw and pitch in radians


def draw_single_object_rooms(dataset: str, *, num_scenes: int, seed: int = 0) -> DrawnRooms:
    """Draws the first scenes of the test split of a built-in data set that have one object.

    Raises:
        DataError: if the data set is not one of rooms with solid objects, or they hardly ever have a single one.
    """
    recipe = RECIPES.get(dataset)
    if recipe is None or recipe.factor_class is not RoomFactors:
        raise DataError(f"{dataset}: its scenes are not rooms with solid objects, whose factors are changed here")
    limit = MOST_DRAWN * num_scenes
    drawn = (recipe.draw(seed=seed, split="test", index=index) for index in range(limit))
    chosen = list(islice((scene for scene in drawn if len(scene.scene.objects) == 1), num_scenes))
    if len(chosen) < num_scenes:
        raise DataError(f"{dataset}: {len(chosen)} of {limit} scenes have a single object, expected {num_scenes}")
    return DrawnRooms(
        factors=[RoomFactors.of(scene.scene) for scene in chosen],
        cameras=np.stack([scene.cameras for scene in chosen]),
    )


def solid_of(room: RoomFactors) -> Solid:
    """Returns the factors of the only object of a room."""
    (item,) = room.objects
    size = item.scale[2] / STRETCH.get(item.shape, (1.0, 1.0, 1.0))[2]
    return Solid(item.shape, item.colour, size, item.position[0], item.position[1])


def with_solid(room: RoomFactors, solid: Solid) -> RoomFactors:
    """Returns a room with another object in the place of its only one, turned as that one is."""
    a, b, c = (stretch * solid.size for stretch in STRETCH.get(solid.shape, (1.0, 1.0, 1.0)))
    position = (solid.x, solid.y, PRIMITIVES[solid.shape].half_height * c)
    item = ObjectFactors(
        shape=solid.shape, colour=solid.colour, position=position, scale=(a, b, c), turn=room.objects[0].turn
    )
    return room.model_copy(update={"objects": [item]})


def with_walls(room: RoomFactors, *, wall: str | None = None, floor: str | None = None) -> RoomFactors:
    """Returns a room with other textures; None keeps them."""
    textures = {"wall": wall or room.room.wall, "floor": floor or room.room.floor}
    return room.model_copy(update={"room": room.room.model_copy(update=textures)})


def without_object(room: RoomFactors) -> RoomFactors:
    """Returns a room in which no pixel shows the object."""
    return with_solid(room, solid_of(room)._replace(size=ABSENT))


def colour_of(hue: HueName) -> tuple[float, float, float]:
    """Returns a colour of a named hue."""
    return colorsys.hsv_to_rgb(HUES[hue] / 360.0, SATURATION, BRIGHTNESS)


def render_rooms(rooms: Sequence[RoomFactors], cameras: np.ndarray, *, image_size: int) -> np.ndarray:
    """Renders rooms from cameras [n, V, 5], [n, V, H, W, 3] uint8."""
    scenes = stack_scenes([room.scene() for room in rooms])
    return render(scenes, cameras=torch.from_numpy(np.asarray(cameras)), image_size=image_size).numpy()
