"""Rooms: one to three solid objects on the floor of a square room with textured walls under a blue sky.

The recipe of the ``rooms`` data sets of Eslami et al., Science 360:1204, 2018: a room 7 units wide, five wall textures,
three floor textures, seven shapes; size, place, colour and turn of each object and the light are random. The textures are
our own. The camera of ``rooms_ring_camera`` moves on a ring and looks at the middle of the room. How those of the two
``rooms_free_camera_*`` sets were drawn was not published. Here:

position
    Uniform over the floor, at least ``WALL_MARGIN`` from every wall and ``OBJECT_MARGIN`` from the bounding circle of every
    object; the height is uniform over ``FREE_HEIGHTS``. Objects may be farther from the middle, as no ring must stay clear.
yaw
    With probability ``AIMED``, towards a point drawn uniformly from the disc of radius ``AIM_REACH`` round the middle of
    the room, where the objects are; else uniform over the full circle. By symmetry the yaw itself is uniform in both cases;
    its dependence on the position makes views look inwards more often than at the next wall.
pitch
    Uniform over ``FREE_PITCHES``: about horizontal to slightly down.
"""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np

from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.rng import choose, uniform
from zoo.data.render.scene import Room, Scene, SceneObject
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES

Colour = tuple[float, float, float]

ROOM_WIDTH = 7.0
WALL_HEIGHT = 1.5

RING_RADIUS = 3.1
RING_HEIGHT = 1.35
TARGET_HEIGHT = 0.35

MAX_OBJECTS = 3
# Objects stay this far from the middle, and this far from each other, so that the ring camera never enters one.
REACH = 1.45
GAP = 0.08
SMALLEST, LARGEST = 0.30, 0.46

# Scenes that differ by less count as the same for the division into splits.
KEY_CELL = 0.5
KEY_HUES = 12

# Cameras anywhere in the room.
FREE_OBJECT_REACH = 1.9  # how far the middle of an object may be from the middle of the room
WALL_MARGIN = 0.6
OBJECT_MARGIN = 0.7
FREE_HEIGHTS = (0.9, 1.4)
AIMED = 0.85
AIM_REACH = 1.3
FREE_PITCHES = (math.radians(-20.0), math.radians(0.0))


def _scale(rng: np.random.Generator, shape: str) -> tuple[float, float, float]:
    """Draws the size of an object. All shapes of one size are about equally high."""
    size = uniform(rng, SMALLEST, LARGEST)
    if shape == "capsule":
        return (0.58 * size, 0.58 * size, 0.58 * size)
    if shape == "cylinder":
        return (0.85 * size, 0.85 * size, size)
    if shape == "triangle":
        return (1.1 * size, 0.7 * size, size)
    if shape == "icosahedron":
        return (1.15 * size, 1.15 * size, 1.15 * size)
    return (size, size, size)


def _place(
    rng: np.random.Generator, occupied: list[tuple[float, float, float]], radius: float, reach: float
) -> tuple[float, float] | None:
    """Draws a free place for an object that reaches ``radius`` sideways, or None if it did not find one."""
    for _ in range(50):
        x, y = uniform(rng, -reach, reach), uniform(rng, -reach, reach)
        inside = math.hypot(x, y) <= reach
        if inside and all(math.hypot(x - a, y - b) >= radius + other + GAP for a, b, other in occupied):
            return x, y
    return None


def _colour(rng: np.random.Generator, palette: tuple[Colour, ...], used: list[Colour]) -> Colour:
    """Draws a well saturated colour, or one of the palette that no other object has."""
    if palette:
        return choose(rng, [colour for colour in palette if colour not in used])
    return colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.70, 0.95), uniform(rng, 0.75, 1.0))


def draw_room(
    rng: np.random.Generator,
    *,
    fewest: int = 1,
    reach: float = REACH,
    turned: bool = True,
    palette: tuple[Colour, ...] = (),
) -> Scene:
    """Draws the room, its light and its objects.

    Args:
        rng: of the scene.
        fewest: the least number of objects; there are at most ``MAX_OBJECTS``.
        reach: how far the middle of an object may be from the middle of the room, scene units.
        turned: whether objects are turned about the vertical; otherwise all lie along the walls.
        palette: colours of which every object takes another one; without one colours are drawn freely.
    """
    room = Room(ROOM_WIDTH, WALL_HEIGHT, choose(rng, tuple(WALL_TEXTURES)), choose(rng, tuple(FLOOR_TEXTURES)))
    light = (uniform(rng, -2.4, 2.4), uniform(rng, -2.4, 2.4), uniform(rng, 3.0, 4.5))
    objects: list[SceneObject] = []
    occupied: list[tuple[float, float, float]] = []
    wanted = fewest + int(rng.random() * (MAX_OBJECTS + 1 - fewest))
    while len(objects) < wanted:
        shape = choose(rng, PRIMITIVE_NAMES)
        scale = _scale(rng, shape)
        solid = PRIMITIVES[shape]
        radius = solid.half_width * max(scale[:2])
        place = _place(rng, occupied, radius, reach)
        if place is None:
            continue
        colour = _colour(rng, palette, [item.colour for item in objects])
        centre = (*place, solid.half_height * scale[2])
        turn = uniform(rng, -math.pi, math.pi) if turned else 0.0
        objects.append(SceneObject(shape, centre, scale, turn, colour))
        occupied.append((*place, radius))
    return Scene(tuple(objects), light, room)


def canonical(scene: Scene) -> str:
    """Names a room by its textures and by shape, rough hue and rough place of its objects, however it is turned.

    The four walls are alike, so a quarter turn gives the same scene seen from another place on the ring. Sizes, turns
    and the light do not enter: scenes that differ in nothing else share a name, and with it a split.
    """
    assert scene.room is not None
    items = []
    for item in scene.objects:
        hue = int(colorsys.rgb_to_hsv(*item.colour)[0] * KEY_HUES)
        items.append((item.shape, hue, math.floor(item.centre[0] / KEY_CELL), math.floor(item.centre[1] / KEY_CELL)))
    turned = []
    for _ in range(4):
        turned.append(sorted(items))
        # A quarter turn takes (x, y) to (-y, x), and the cell [j, j + 1) of y to the cell [-j - 1, -j) of x.
        items = [(shape, hue, -column - 1, row) for shape, hue, row, column in items]
    return str((scene.room.wall, scene.room.floor, min(turned)))


def draw_named_room(rng: np.random.Generator, **options: Any) -> tuple[Scene, str]:
    """Draws a room, as :func:`draw_room`, and its canonical name."""
    scene = draw_room(rng, **options)
    return scene, canonical(scene)


def draw_ring_cameras(rng: np.random.Generator, *, num_views: int, scene: Scene | None = None) -> np.ndarray:
    """Draws cameras [num_views, 5] on the ring, looking at the middle of the room."""
    pitch = -math.atan2(RING_HEIGHT - TARGET_HEIGHT, RING_RADIUS)
    cameras = np.zeros((num_views, 5))
    for camera in cameras:
        around = uniform(rng, -math.pi, math.pi)
        camera[:3] = (RING_RADIUS * math.cos(around), RING_RADIUS * math.sin(around), RING_HEIGHT)
        camera[3:] = (math.remainder(around + math.pi, 2.0 * math.pi), pitch)
    return cameras


def clearance(item: SceneObject, *, x: float, y: float) -> float:
    """Returns the distance of a place on the floor from the bounding circle of an object, scene units."""
    radius = PRIMITIVES[item.shape].half_width * max(item.scale[:2])
    return math.hypot(x - item.centre[0], y - item.centre[1]) - radius


def _free_place(rng: np.random.Generator, scene: Scene) -> tuple[float, float]:
    """Draws a place for the camera; objects cover a fraction of the floor, so that few draws are lost."""
    half = ROOM_WIDTH / 2.0 - WALL_MARGIN
    while True:
        x, y = uniform(rng, -half, half), uniform(rng, -half, half)
        if all(clearance(item, x=x, y=y) >= OBJECT_MARGIN for item in scene.objects):
            return x, y


def _free_yaw(rng: np.random.Generator, x: float, y: float) -> float:
    if rng.random() >= AIMED:
        return uniform(rng, -math.pi, math.pi)
    # The square root makes points uniform over the area of the disc.
    radius, around = AIM_REACH * math.sqrt(rng.random()), uniform(rng, -math.pi, math.pi)
    return math.atan2(radius * math.sin(around) - y, radius * math.cos(around) - x)


def draw_free_cameras(rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray:
    """Draws cameras [num_views, 5] at free places anywhere in the room of a scene."""
    cameras = np.zeros((num_views, 5))
    for camera in cameras:
        camera[:2] = _free_place(rng, scene)
        camera[2] = uniform(rng, *FREE_HEIGHTS)
        camera[3:] = (_free_yaw(rng, camera[0], camera[1]), uniform(rng, *FREE_PITCHES))
    return cameras
