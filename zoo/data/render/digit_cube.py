"""Cubes with a digit on every visible side, in a room: the data of the consistency experiment.

After Kumar et al., Consistent Generative Query Networks, arXiv 1807.02033, 2018: some views show three sides of the
cube, and what a model draws on the fourth must be the same digit from every viewpoint. The camera moves on a ring
and looks down at the cube, so that it sees one or two sides and the top. Views are spread over the ring: each of V
equal arcs holds one, in random order, so that 12 views always include two or more of each side.

``printed_cube`` is an easy version that a model of modest size learns within minutes: a white cube with a blank top, always
in the same room, every digit always looks the same, and the camera is so close that it sees little else.
"""

from __future__ import annotations

import colorsys
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.built_in import split_of
from zoo.data.render.digits import NUM_LABELS, digits_of, face_image, handwritten_digits
from zoo.data.render.faces import FACE_SIZE
from zoo.data.render.rng import choose, uniform
from zoo.data.render.rooms import ROOM_WIDTH, WALL_HEIGHT
from zoo.data.render.scene import Room, Scene, SceneObject
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES
from zoo.data.source import ExtraShape

NUM_SIDES = 4
NUM_FACES = 5  # +x, +y, -x, -y and top, in the frame of the cube
HALF_WIDTH = 0.7

PRINTED_ROOM = Room(ROOM_WIDTH, WALL_HEIGHT, "cerise", "blue floor")
PRINTED_LIGHT = (1.5, 1.0, 4.0)
PRINTED_COLOUR = (0.95, 0.95, 0.95)
PRINTED_INK = (0.05, 0.05, 0.2)
BLANK = bytes(FACE_SIZE**2)


class Ring(NamedTuple):
    """A circle of cameras round the cube; scene units."""

    radius: float
    height: float
    target_height: float  # of the point above the middle that they look at


FAR_RING = Ring(2.7, 2.2, 0.62)
NEAR_RING = Ring(2.4, 1.1, 0.68)


def extra_shapes(num_digits: int) -> Mapping[str, ExtraShape]:
    """Returns the extras of a cube: the labels of its digits and its turn, radians."""
    return {
        "digits": ExtraShape("int64", (num_digits,), per_view=False),
        "cube_turn": ExtraShape("float32", (), per_view=False),
    }


EXTRA_SHAPES = extra_shapes(NUM_FACES)


@dataclass(frozen=True)
class CubeScene(Scene):
    """A room with one cube.

    Attributes:
        digits: numbers of the handwritten digits on its faces: +x, +y, -x, -y, top.
    """

    digits: tuple[int, ...] = ()


def canonical(room: Room, labels: tuple[int, ...]) -> str:
    """Names a scene by its textures and labels, whichever of the four sides one begins with.

    The digits' images do not enter: those of the three splits are disjoint by themselves.
    """
    sides = min(labels[first:NUM_SIDES] + labels[:first] for first in range(NUM_SIDES))
    return str((room.wall, room.floor, sides, labels[NUM_SIDES:]))


def draw_cube(rng: np.random.Generator) -> tuple[Scene, str]:
    """Draws a room with a cube, and its canonical name; its digits are of the split that the name belongs to."""
    room = Room(ROOM_WIDTH, WALL_HEIGHT, choose(rng, tuple(WALL_TEXTURES)), choose(rng, tuple(FLOOR_TEXTURES)))
    labels = tuple(choose(rng, range(NUM_LABELS)) for _ in range(NUM_FACES))
    name = canonical(room, labels)
    own = digits_of(split_of(name))
    digits = tuple(choose(rng, own[label]) for label in labels)
    cube = SceneObject(
        "box",
        centre=(0.0, 0.0, HALF_WIDTH),
        scale=(HALF_WIDTH, HALF_WIDTH, HALF_WIDTH),
        turn=uniform(rng, -math.pi, math.pi),
        colour=colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.05, 0.35), uniform(rng, 0.92, 1.0)),
        faces=tuple(face_image(digit) for digit in digits),
        ink=colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.4, 1.0), uniform(rng, 0.05, 0.3)),
    )
    light = (uniform(rng, -2.4, 2.4), uniform(rng, -2.4, 2.4), uniform(rng, 3.0, 4.5))
    return CubeScene((cube,), light, room, digits), name


@functools.cache
def printed_digits() -> tuple[int, ...]:
    """Returns the handwritten digit of each label that is closest to their mean."""
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
        colour=PRINTED_COLOUR,
        faces=(*(face_image(digit) for digit in digits), BLANK),
        ink=PRINTED_INK,
    )
    return CubeScene((cube,), PRINTED_LIGHT, PRINTED_ROOM, digits), canonical(PRINTED_ROOM, labels)


def draw_spread_cameras(
    rng: np.random.Generator, *, num_views: int, scene: Scene | None = None, ring: Ring = FAR_RING
) -> np.ndarray:
    """Draws cameras [num_views, 5] on a ring, one in each of as many arcs."""
    pitch = -math.atan2(ring.height - ring.target_height, ring.radius)
    arc, start = 2.0 * math.pi / num_views, uniform(rng, -math.pi, math.pi)
    order = sorted(range(num_views), key=lambda _: rng.random())
    cameras = np.zeros((num_views, 5))
    for camera, place in zip(cameras, order, strict=True):
        around = start + arc * (place + rng.random())
        camera[:3] = (ring.radius * math.cos(around), ring.radius * math.sin(around), ring.height)
        camera[3:] = (math.remainder(around + math.pi, 2.0 * math.pi), pitch)
    return cameras


def draw_labels(rng: np.random.Generator, scene: Scene, cameras: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the labels of the faces [NUM_FACES] and the turn of the cube [], radians."""
    assert isinstance(scene, CubeScene)
    return {
        "digits": handwritten_digits().labels[list(scene.digits)],
        "cube_turn": np.array(scene.objects[0].turn, np.float32),
    }


def visible_face(cameras: Tensor, cube_turn: Tensor) -> Tensor:
    """Returns the side of the cube that cameras see most frontally, [...] int64, 0 to 3: an index into ``digits``.

    Args:
        cameras: [..., 5], outside the cube.
        cube_turn: radians; broadcasts with them: for cameras [B, V, 5] the extra [B] as ``cube_turn[:, None]``.
    """
    bearing = torch.atan2(cameras[..., 1], cameras[..., 0]) - cube_turn
    return torch.round(bearing / (math.pi / 2.0)).long() % NUM_SIDES
