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
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.rng import choose, uniform
from zoo.data.render.scene import Room, Scene, SceneObject, Triple
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES
from zoo.errors import DataError

ROOM_WIDTH = 7.0
WALL_HEIGHT = 1.5

MAX_OBJECTS = 3
# Objects stay this far from the middle, and this far from each other, so that the ring camera never enters one.
REACH = 1.45
NEAR_REACH = 0.3  # the object is near the middle of every image of the ring
GAP = 0.08
SIZES = (0.30, 0.46)
LARGE_SIZES = (0.50, 0.75)  # whose shapes can be told apart at 32 pixels
# Relative to the drawn size; all shapes of one size are about equally high.
STRETCH = {
    "capsule": (0.58, 0.58, 0.58),
    "cylinder": (0.85, 0.85, 1.0),
    "triangle": (1.1, 0.7, 1.0),
    "icosahedron": (1.15, 1.15, 1.15),
}

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
MOST_TRIES = 1000  # for each camera


class Ring(NamedTuple):
    """A circle of cameras round the z axis that look at a point on it; scene units."""

    radius: float
    height: float
    target_height: float

    def camera(self, around: float) -> tuple[float, ...]:
        """Returns the camera at an angle of the circle, radians."""
        yaw = math.remainder(around + math.pi, 2.0 * math.pi)
        pitch = -math.atan2(self.height - self.target_height, self.radius)
        return self.radius * math.cos(around), self.radius * math.sin(around), self.height, yaw, pitch


RING = Ring(3.1, 1.35, 0.35)


def draw_walls(rng: np.random.Generator, *, wall_height: float = WALL_HEIGHT) -> Room:
    """Draws an empty room with random textures."""
    wall, floor = choose(rng, tuple(WALL_TEXTURES)), choose(rng, tuple(FLOOR_TEXTURES))
    return Room(width=ROOM_WIDTH, wall_height=wall_height, wall=wall, floor=floor)


def draw_light(rng: np.random.Generator, *, lowest: float = 3.0) -> Triple:
    """Draws the place of a lamp over the middle of a room."""
    return uniform(rng, -2.4, 2.4), uniform(rng, -2.4, 2.4), uniform(rng, lowest, 4.5)


def radius_of(item: SceneObject) -> float:
    """Returns how far an upright object reaches sideways from its centre, scene units."""
    return PRIMITIVES[item.shape].half_width * max(item.scale[:2])


def _distance(item: SceneObject, x: float, y: float) -> float:
    return math.hypot(x - item.centre[0], y - item.centre[1])


def _draw_object(
    rng: np.random.Generator,
    others: Sequence[SceneObject],
    *,
    sizes: tuple[float, float],
    reach: float,
    turned: bool,
    palette: Sequence[Triple],
) -> SceneObject | None:
    """Draws an object that touches no other, or returns None if it did not find a place."""
    shape = choose(rng, PRIMITIVE_NAMES)
    size = uniform(rng, *sizes)
    a, b, c = STRETCH.get(shape, (1.0, 1.0, 1.0))
    scale = (a * size, b * size, c * size)
    radius = PRIMITIVES[shape].half_width * max(scale[:2])
    for _ in range(50):
        x, y = uniform(rng, -reach, reach), uniform(rng, -reach, reach)
        if math.hypot(x, y) <= reach and all(_distance(o, x, y) >= radius + radius_of(o) + GAP for o in others):
            break
    else:
        return None
    if palette:
        used = [item.colour for item in others]
        colour = choose(rng, [colour for colour in palette if colour not in used])
    else:
        colour = colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.70, 0.95), uniform(rng, 0.75, 1.0))
    turn = uniform(rng, -math.pi, math.pi) if turned else 0.0
    return SceneObject(shape, (x, y, PRIMITIVES[shape].half_height * scale[2]), scale, turn, colour)


def draw_room(
    rng: np.random.Generator,
    *,
    fewest: int = 1,
    most: int = MAX_OBJECTS,
    sizes: tuple[float, float] = SIZES,
    reach: float = REACH,
    turned: bool = True,
    palette: Sequence[Triple] = (),
) -> Scene:
    """Draws the room, its light and its objects.

    Args:
        rng: of the scene.
        fewest: the least number of objects.
        most: the greatest number of objects.
        sizes: the least and the greatest size of an object before the stretch of its shape, scene units.
        reach: how far the middle of an object may be from the middle of the room, scene units.
        turned: whether objects are turned about the vertical; otherwise all lie along the walls.
        palette: colours of which every object takes another one; without one well saturated colours are drawn.
    """
    room = draw_walls(rng)
    light = draw_light(rng)
    objects: list[SceneObject] = []
    wanted = fewest + int(rng.random() * (most + 1 - fewest))
    while len(objects) < wanted:
        item = _draw_object(rng, objects, sizes=sizes, reach=reach, turned=turned, palette=palette)
        if item is not None:
            objects.append(item)
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
    return np.array([RING.camera(uniform(rng, -math.pi, math.pi)) for _ in range(num_views)])


def _free_yaw(rng: np.random.Generator, x: float, y: float) -> float:
    if rng.random() >= AIMED:
        return uniform(rng, -math.pi, math.pi)
    # The square root makes points uniform over the area of the disc.
    radius, around = AIM_REACH * math.sqrt(rng.random()), uniform(rng, -math.pi, math.pi)
    return math.atan2(radius * math.sin(around) - y, radius * math.cos(around) - x)


def draw_free_cameras(rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray:
    """Draws cameras [num_views, 5] at free places anywhere in the room of a scene.

    Raises:
        DataError: if objects of the scene cover the floor.
    """
    assert scene.room is not None
    half = max(scene.room.width / 2.0 - WALL_MARGIN, 0.0)
    cameras: list[tuple[float, ...]] = []
    for _ in range(MOST_TRIES * num_views):
        if len(cameras) == num_views:
            break
        # Objects of drawn scenes cover a fraction of the floor, so that few draws are lost.
        x, y = uniform(rng, -half, half), uniform(rng, -half, half)
        if all(_distance(item, x, y) - radius_of(item) >= OBJECT_MARGIN for item in scene.objects):
            cameras.append((x, y, uniform(rng, *FREE_HEIGHTS), _free_yaw(rng, x, y), uniform(rng, *FREE_PITCHES)))
    if len(cameras) < num_views:
        raise DataError(f"objects: cover the floor, expected room for cameras {OBJECT_MARGIN} away from every object")
    return np.array(cameras)
