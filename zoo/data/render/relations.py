"""How objects stand to each other as seen from a camera.

Relations are those of the ground plane in the frame of the camera: *left* and *right* across its line of sight, *in
front* and *behind* along it (in front is nearer to the camera), *near* and *far* by the distance between the middles of
two objects, which no viewpoint changes: below ``NEAR`` and above ``FAR`` scene units, and neither between them. They
hold whether or not the camera sees the objects: one that is hidden, or beside the image, is spoken of like any other.

A relation is said only where it is clear. Of left/right and in front/behind the dominant one (the larger part of the
offset between the two objects) always is; the other one where it is at least ``CLEAR`` scene units and ``CLEAR_SHARE``
of the dominant. For objects in the image, left and right then agree with the order of their columns: perspective can
turn that order round only where the offset across is less than tan(25 degrees) = 0.47 of the offset along.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.render.scene import Scene

Relation = Literal["left", "right", "front", "behind", "near", "far"]

INVERSE: Mapping[Relation, Relation] = MappingProxyType(
    {"left": "right", "right": "left", "front": "behind", "behind": "front", "near": "near", "far": "far"}
)

CLEAR = 0.25
CLEAR_SHARE = 0.55
NEAR = 1.2
FAR = 1.4

# As many as a caption has room for.
MAX_FACTS = 4


class Fact(NamedTuple):
    """One thing that is true of two objects of a scene: ``first`` is ``relation`` (of) ``second``."""

    relation: Relation
    first: int  # index into the objects of the scene
    second: int


def turned_round(fact: Fact) -> Fact:
    """Returns the same fact said of the two objects in the other order."""
    return Fact(INVERSE[fact.relation], fact.second, fact.first)


class _Offset(NamedTuple):
    """Where an object is, seen from another one; scene units."""

    first: int
    second: int
    rightwards: float
    away: float  # from the camera

    @property
    def across(self) -> Fact:
        return Fact("right" if self.rightwards > 0 else "left", self.first, self.second)

    @property
    def along(self) -> Fact:
        return Fact("behind" if self.away > 0 else "front", self.first, self.second)

    @property
    def dominant(self) -> Fact:
        return self.across if abs(self.rightwards) >= abs(self.away) else self.along

    @property
    def other(self) -> Fact:
        return self.along if abs(self.rightwards) >= abs(self.away) else self.across

    @property
    def lesser(self) -> float:
        return min(abs(self.rightwards), abs(self.away))

    @property
    def greater(self) -> float:
        return max(abs(self.rightwards), abs(self.away))

    @property
    def distance(self) -> float:
        return math.hypot(self.rightwards, self.away)


def _offsets(scene: Scene, camera: np.ndarray) -> list[_Offset]:
    cosine, sine = math.cos(camera[3]), math.sin(camera[3])
    offsets = []
    for second, first in itertools.combinations(range(len(scene.objects)), 2):
        x, y = (scene.objects[first].centre[axis] - scene.objects[second].centre[axis] for axis in (0, 1))
        offsets.append(_Offset(first, second, rightwards=x * sine - y * cosine, away=x * cosine + y * sine))
    return offsets


def facts(scene: Scene, *, camera: np.ndarray) -> tuple[Fact, ...]:
    """Returns what a caption says of a scene as seen by a camera [5].

    The dominant relation of every pair of objects; whether the closest pair is near or else the widest pair far; and
    the clearest of the other relations, up to ``MAX_FACTS`` in all.
    """
    offsets = _offsets(scene, camera)
    found = [offset.dominant for offset in offsets]
    closest = min(offsets, key=lambda offset: offset.distance)
    widest = max(offsets, key=lambda offset: offset.distance)
    if closest.distance < NEAR:
        found.append(Fact("near", closest.first, closest.second))
    elif widest.distance > FAR:
        found.append(Fact("far", widest.first, widest.second))
    clear = [offset for offset in offsets if offset.lesser >= max(CLEAR, CLEAR_SHARE * offset.greater)]
    found += [offset.other for offset in sorted(clear, key=lambda offset: -offset.lesser)]
    return tuple(found[:MAX_FACTS])
