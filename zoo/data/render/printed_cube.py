"""A white cube with one of ten printed digits on every side, always in the same room: the easy set of the digit cubes.

Nothing differs from scene to scene but the four digits, every digit always looks the same, and the camera is so close that
it sees little else. So a model of modest size learns within minutes what :mod:`zoo.data.render.digit_cube` asks of a large
one: to draw on the side that was not shown one digit, the same from wherever it is looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from zoo.data.render.digit_cube import HALF_WIDTH, NUM_SIDES, CubeScene, canonical, draw_spread_cameras
from zoo.data.render.digits import NUM_LABELS, face_image, handwritten_digits
from zoo.data.render.faces import FACE_SIZE
from zoo.data.render.rng import choose
from zoo.data.render.rooms import ROOM_WIDTH, WALL_HEIGHT
from zoo.data.render.scene import Room, Scene, SceneObject
from zoo.data.source import ExtraShape

ROOM = Room(ROOM_WIDTH, WALL_HEIGHT, "cerise", "blue floor")
LIGHT = (1.5, 1.0, 4.0)
PAINT = (0.95, 0.95, 0.95)
INK = (0.05, 0.05, 0.2)
BLANK = bytes(FACE_SIZE**2)

RING_RADIUS = 2.4
RING_HEIGHT = 1.1
TARGET_HEIGHT = 0.68

EXTRA_SHAPES: Mapping[str, ExtraShape] = MappingProxyType(
    {
        "digits": ExtraShape("int64", (NUM_SIDES,), per_view=False),
        "cube_turn": ExtraShape("float32", (), per_view=False),
    }
)


@functools.cache
def printed_digits() -> tuple[int, ...]:
    """Returns the handwritten digit that stands for each label: the one closest to the mean of its kind."""
    digits = handwritten_digits()
    found = []
    for label in range(NUM_LABELS):
        own = np.flatnonzero(digits.labels == label)
        distance = np.square(digits.pixels[own] - digits.pixels[own].mean(0)).sum(axis=(1, 2))
        found.append(int(own[distance.argmin()]))
    return tuple(found)


def draw_printed_cube(rng: np.random.Generator) -> tuple[Scene, str]:
    """Draws a cube with four digits and a blank top, and its canonical name."""
    labels = tuple(choose(rng, range(NUM_LABELS)) for _ in range(NUM_SIDES))
    digits = tuple(printed_digits()[label] for label in labels)
    cube = SceneObject(
        "box",
        centre=(0.0, 0.0, HALF_WIDTH),
        scale=(HALF_WIDTH, HALF_WIDTH, HALF_WIDTH),
        turn=0.0,
        colour=PAINT,
        faces=(*(face_image(digit) for digit in digits), BLANK),
        ink=INK,
    )
    return CubeScene((cube,), LIGHT, ROOM, digits), canonical(ROOM, labels)


def draw_near_cameras(rng: np.random.Generator, *, scene: Scene, num_views: int) -> np.ndarray:
    """Draws cameras [num_views, 5] on a ring close round the cube, one in each of as many arcs."""
    return draw_spread_cameras(
        rng, scene=scene, num_views=num_views, radius=RING_RADIUS, height=RING_HEIGHT, target_height=TARGET_HEIGHT
    )
