"""Cubes with a digit on every visible side, in a room: the data of the consistency experiment.

After Kumar et al., Consistent Generative Query Networks, arXiv 1807.02033, 2018: some views show three sides of the
cube, and what a model draws on the fourth must be the same digit from every viewpoint. The camera moves on a ring
and looks down at the cube, so that it sees one or two sides and the top. Views are spread over the ring: each of V
equal arcs holds one, in random order, so that 12 views always include two or more of each side.

``printed_cube`` is an easy version that a model of modest size learns within minutes: a white cube with a blank top, always
in the same room, every digit always looks the same, and the camera is so close that it sees little else.

The digits are the 1797 images that come with scikit-learn, so nothing is downloaded: the test set of Alpaydin & Kaynak,
Optical Recognition of Handwritten Digits, 1998 (UCI), 8 x 8 pixels, 0 to 16. Each belongs to one split by the hash of
its number, so that a digit seen in training never appears in validation or test.
"""

from __future__ import annotations

import colorsys
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.built_in import split_of
from zoo.data.render.faces import FACE_SIZE
from zoo.data.render.rng import choose, uniform
from zoo.data.render.rooms import ROOM_WIDTH, WALL_HEIGHT, Ring, draw_light, draw_walls
from zoo.data.render.scene import Room, Scene, SceneObject, Triple
from zoo.data.source import ExtraShape, Split
from zoo.errors import DataError

NUM_LABELS = 10
NUM_DIGITS = 1797
DIGIT_SIZE = 8
FULL_INK = 16.0

# The part of a face, each way, that the 8 pixels of a digit span.
SPAN = 0.86
# Interpolated grey levels between these become a stroke with a smooth but narrow rim.
THIN, THICK = 0.18, 0.78

NUM_SIDES = 4
NUM_FACES = 5  # +x, +y, -x, -y and top, in the frame of the cube
HALF_WIDTH = 0.7

PRINTED_ROOM = Room(width=ROOM_WIDTH, wall_height=WALL_HEIGHT, wall="cerise", floor="blue floor")
PRINTED_LIGHT = (1.5, 1.0, 4.0)
PRINTED_COLOUR = (0.95, 0.95, 0.95)
PRINTED_INK = (0.05, 0.05, 0.2)
BLANK = bytes(FACE_SIZE**2)

FAR_RING = Ring(2.7, 2.2, 0.62)
NEAR_RING = Ring(2.4, 1.1, 0.68)


class Digits(NamedTuple):
    """Images and labels."""

    pixels: np.ndarray  # [1797, 8, 8] float64, 0 to 1: row 0 at the top
    labels: np.ndarray  # [1797] int64


@functools.cache
def handwritten_digits() -> Digits:
    """Returns all digits.

    Raises:
        DataError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digit_cube: takes its digits from scikit-learn, which is not installed") from error
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.reshape(-1, DIGIT_SIZE, DIGIT_SIZE) / FULL_INK
    return Digits(pixels, labels.astype(np.int64))


def split_of_digit(index: int) -> Split:
    """Returns the split that a digit belongs to."""
    return split_of(f"handwritten digit {index}")


@functools.cache
def digits_of(split: Split) -> Mapping[int, tuple[int, ...]]:
    """Returns label -> the digits of a split with that label, by number."""
    labels = handwritten_digits().labels
    own = [index for index in range(len(labels)) if split_of_digit(index) == split]
    return {label: tuple(index for index in own if labels[index] == label) for label in range(NUM_LABELS)}


def _weights() -> np.ndarray:
    """Returns how much each of 8 pixels counts at the places of a row of a face, [FACE_SIZE, 8].

    Catmull-Rom interpolation between pixel centres; there is no ink beyond the image.
    """
    places = ((np.arange(FACE_SIZE) + 0.5) / FACE_SIZE - 0.5) / SPAN + 0.5
    offset = np.abs(places[:, None] * DIGIT_SIZE - 0.5 - np.arange(DIGIT_SIZE))
    near = 1.5 * offset**3 - 2.5 * offset**2 + 1.0
    far = -0.5 * offset**3 + 2.5 * offset**2 - 4.0 * offset + 2.0
    return np.where(offset < 1.0, near, np.where(offset < 2.0, far, 0.0))


@functools.cache
def face_image(index: int) -> bytes:
    """Returns a digit as an image for the side of a box, see ``zoo.data.render.faces``."""
    weights = _weights()
    smooth = weights @ handwritten_digits().pixels[index] @ weights.T
    amount = ((smooth - THIN) / (THICK - THIN)).clip(0.0, 1.0)
    return np.round(amount * amount * (3.0 - 2.0 * amount) * 255.0).astype(np.uint8).tobytes()


def extra_shapes(num_digits: int) -> Mapping[str, ExtraShape]:
    """Returns the extras of a cube: the labels of its digits and its turn, radians."""
    return {
        "digits": ExtraShape("int64", (num_digits,), per_view=False),
        "cube_turn": ExtraShape("float32", (), per_view=False),
    }


@dataclass(frozen=True)
class CubeScene(Scene):
    """A room with one cube."""

    digits: tuple[int, ...] = ()  # numbers of the handwritten digits on its faces: +x, +y, -x, -y, top


def canonical(room: Room, labels: tuple[int, ...]) -> str:
    """Names a scene by its textures and labels, whichever of the four sides one begins with.

    The digits' images do not enter: those of the three splits are disjoint by themselves.
    """
    sides = min(labels[first:NUM_SIDES] + labels[:first] for first in range(NUM_SIDES))
    return str((room.wall, room.floor, sides, labels[NUM_SIDES:]))


def build_cube(digits: Sequence[int], *, turn: float, colour: Triple, ink: Triple) -> SceneObject:
    """Returns a cube with digits on its faces, the last ones blank."""
    faces = (*(face_image(digit) for digit in digits), *(BLANK,) * (NUM_FACES - len(digits)))
    centre, scale = (0.0, 0.0, HALF_WIDTH), (HALF_WIDTH, HALF_WIDTH, HALF_WIDTH)
    return SceneObject("box", centre, scale, turn, colour, faces=faces, ink=ink)


def draw_cube(rng: np.random.Generator) -> tuple[Scene, str]:
    """Draws a room with a cube, and its canonical name; its digits are of the split that the name belongs to."""
    room = draw_walls(rng)
    labels = tuple(choose(rng, range(NUM_LABELS)) for _ in range(NUM_FACES))
    name = canonical(room, labels)
    own = digits_of(split_of(name))
    digits = tuple(choose(rng, own[label]) for label in labels)
    cube = build_cube(
        digits,
        turn=uniform(rng, -math.pi, math.pi),
        colour=colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.05, 0.35), uniform(rng, 0.92, 1.0)),
        ink=colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.4, 1.0), uniform(rng, 0.05, 0.3)),
    )
    return CubeScene((cube,), draw_light(rng), room, digits), name


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
    cube = build_cube(digits, turn=0.0, colour=PRINTED_COLOUR, ink=PRINTED_INK)
    return CubeScene((cube,), PRINTED_LIGHT, PRINTED_ROOM, digits), canonical(PRINTED_ROOM, labels)


def draw_spread_cameras(
    rng: np.random.Generator, *, num_views: int, scene: Scene | None = None, ring: Ring = FAR_RING
) -> np.ndarray:
    """Draws cameras [num_views, 5] on a ring, one in each of as many arcs."""
    arc, start = 2.0 * math.pi / num_views, uniform(rng, -math.pi, math.pi)
    order = sorted(range(num_views), key=lambda _: rng.random())
    return np.array([ring.camera(start + arc * (place + rng.random())) for place in order])


def draw_labels(scene: CubeScene, cameras: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the labels of the faces [NUM_FACES] and the turn of the cube [], radians."""
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
