"""A camera that stands anywhere in a room: the recipe of the two ``rooms_free_camera_*`` data sets.

Eslami et al., Science 360:1204, 2018, publish the images and not how their cameras were drawn. Here:

position
    Even over the floor, at least ``WALL_MARGIN`` from every wall and ``OBJECT_MARGIN`` from the bounding circle of every
    object, so that a camera is never inside or right before one; the height is even over ``HEIGHTS``.
yaw
    With probability ``AIMED``, towards a point drawn evenly from the disc of radius ``AIM_REACH`` round the middle of
    the room, where the objects are; else even over the full circle. A room has no preferred direction, so yaw is even
    over (-pi, pi) in both cases: only its dependence on the position makes views look inwards more often than at the
    next wall.
pitch
    Even over ``PITCHES``: about horizontal to slightly down.

Objects may stand farther from the middle than in ``rooms_ring_camera``, since no ring has to stay clear of them.
"""

from __future__ import annotations

import math

import numpy as np

from zoo.data.render.primitives import PRIMITIVES
from zoo.data.render.rng import uniform
from zoo.data.render.rooms import ROOM_WIDTH
from zoo.data.render.scene import Scene, SceneObject

# How far the middle of an object may be from the middle of the room.
OBJECT_REACH = 1.9

WALL_MARGIN = 0.6
OBJECT_MARGIN = 0.7
HEIGHTS = (0.9, 1.4)

AIMED = 0.85
AIM_REACH = 1.3
PITCHES = (math.radians(-20.0), math.radians(0.0))


def clearance(item: SceneObject, *, x: float, y: float) -> float:
    """Returns how far, in scene units, a place of the floor is outside the bounding circle of an object."""
    radius = PRIMITIVES[item.shape].half_width * max(item.scale[:2])
    return math.hypot(x - item.centre[0], y - item.centre[1]) - radius


def _standpoint(rng: np.random.Generator, scene: Scene) -> tuple[float, float]:
    """Draws a place for the camera. Objects cover a fraction of the floor, so that few draws are lost."""
    half = ROOM_WIDTH / 2.0 - WALL_MARGIN
    while True:
        x, y = uniform(rng, -half, half), uniform(rng, -half, half)
        if all(clearance(item, x=x, y=y) >= OBJECT_MARGIN for item in scene.objects):
            return x, y


def _yaw(rng: np.random.Generator, x: float, y: float) -> float:
    if rng.random() >= AIMED:
        return uniform(rng, -math.pi, math.pi)
    # The square root makes points even over the area of the disc.
    radius, around = AIM_REACH * math.sqrt(rng.random()), uniform(rng, -math.pi, math.pi)
    return math.atan2(radius * math.sin(around) - y, radius * math.cos(around) - x)


def draw_free_cameras(rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray:
    """Draws cameras [num_views, 5] that stand anywhere free in the room of a scene."""
    cameras = np.zeros((num_views, 5))
    for camera in cameras:
        camera[:2] = _standpoint(rng, scene)
        camera[2] = uniform(rng, *HEIGHTS)
        camera[3:] = (_yaw(rng, camera[0], camera[1]), uniform(rng, *PITCHES))
    return cameras
