"""Analogies between rooms: A is to B as the answer is to C, A - B + C = answer, by the factors of their single object.

The rooms differ in two factors of the object: A has the values (f, g), B (f, g'), C (f', g') and the answer (f', g). The
calculation therefore replaces f by f' in A.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from zoo.analysis.single_objects import DrawnRooms, Solid, colour_of, render_rooms, solid_of, with_solid, without_object
from zoo.data.factors.hues import HUES
from zoo.data.factors.room_factors import RoomFactors
from zoo.data.render.primitives import PRIMITIVE_NAMES

NEAREST_MIDDLE = 0.7  # scene units from the middle, so that opposite places do not overlap
OTHER = {"colour": "shape", "shape": "colour", "position": "colour"}  # f -> g

Values = Mapping[str, Callable[[Solid], Solid]]  # factor -> sets it


class Analogy(NamedTuple):
    """Four rooms with the same walls, floor, light and, but for two factors, the same object."""

    a: RoomFactors
    b: RoomFactors
    c: RoomFactors
    answer: RoomFactors


class AnalogyViews(NamedTuple):
    """Images of n analogies; the cameras of the queries are not among those of the context."""

    context: np.ndarray  # [4, n, N, H, W, 3] uint8: of A, B, C and the answer
    cameras: np.ndarray  # [n, N, 5]
    truth: np.ndarray  # [4, n, Q, H, W, 3] uint8
    queries: np.ndarray  # [n, Q, 5]
    object_pixels: np.ndarray  # [n, Q, H, W] bool: which show the object of A or of the answer


def draw_analogies(rooms: Sequence[RoomFactors], *, factor: str, seed: int = 0) -> list[Analogy]:
    """Draws an analogy about a factor, one of :data:`OTHER`, in each of n rooms with a single object."""
    rng = np.random.default_rng([seed, list(OTHER).index(factor)])

    def rooms_of(room: RoomFactors) -> Iterator[RoomFactors]:
        values = _two_values(solid_of(room), rng)
        for of_factor, of_other in ((0, 0), (0, 1), (1, 1), (1, 0)):
            solid = values[of_factor][factor](values[of_other][OTHER[factor]](solid_of(room)))
            yield with_solid(room, solid)

    return [Analogy(*rooms_of(room)) for room in rooms]


def _two_values(solid: Solid, rng: np.random.Generator) -> tuple[Values, Values]:
    """Returns two different values of every factor; the places are opposite each other."""
    shapes, hues = rng.permutation(PRIMITIVE_NAMES), rng.permutation(list(HUES))
    distance, angle = max(math.hypot(solid.x, solid.y), NEAREST_MIDDLE), math.atan2(solid.y, solid.x)
    x, y = distance * math.cos(angle), distance * math.sin(angle)

    def values(index: int, sign: float) -> Values:
        shape, colour = str(shapes[index]), colour_of(hues[index])
        return {
            "shape": lambda one: one._replace(shape=shape),
            "colour": lambda one: one._replace(colour=colour),
            "position": lambda one: one._replace(x=sign * x, y=sign * y),
        }

    return values(0, 1.0), values(1, -1.0)


def render_analogies(
    analogies: Sequence[Analogy], rooms: DrawnRooms, *, num_context: int, num_queries: int, image_size: int
) -> AnalogyViews:
    """Renders analogies from the cameras of their rooms: the first N are the context, the next Q the queries."""
    used = rooms.cameras[:, : num_context + num_queries]
    cameras, queries = used[:, :num_context], used[:, num_context:]
    frames = np.stack([render_rooms(found, used, image_size=image_size) for found in zip(*analogies, strict=True)])
    truth = frames[:, :, num_context:]
    shown = np.zeros(truth.shape[1:-1], bool)
    for index, name in ((0, "a"), (3, "answer")):
        empty = [without_object(getattr(analogy, name)) for analogy in analogies]
        shown |= (render_rooms(empty, queries, image_size=image_size) != truth[index]).any(-1)
    return AnalogyViews(frames[:, :, :num_context], cameras, truth, queries, shown)
