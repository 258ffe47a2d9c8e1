"""Spatial relations of objects as seen from a camera.

Relations are those of the ground plane in the frame of the camera: *left* and *right* across its line of sight, *in
front* and *behind* along it (in front is nearer to the camera), *near* and *far* by the distance between the middles of
two objects, which no viewpoint changes: below ``NEAR`` and above ``FAR`` scene units, and neither between them. They
hold whether or not the camera sees the objects: hidden ones, or those beside the image, are treated alike.

A relation is stated only where it is clear. Of left/right and in front/behind the dominant one (the larger part of the
offset between the two objects) always is; the other one where it is at least ``CLEAR`` scene units and ``CLEAR_SHARE``
of the dominant. For objects in the image, left and right then agree with the order of their columns: perspective can
turn that order round only where the offset across is less than tan(25 degrees) = 0.47 of the offset along.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.render.scene import Scene

Relation = Literal["left", "right", "front", "behind", "near", "far"]

INVERSE: Mapping[Relation, Relation] = {
    "left": "right",
    "right": "left",
    "front": "behind",
    "behind": "front",
    "near": "near",
    "far": "far",
}

CLEAR = 0.25
CLEAR_SHARE = 0.55
NEAR = 1.2
FAR = 1.4

MAX_FACTS = 4  # as many as a caption has room for


class Fact(NamedTuple):
    """A relation of two objects of a scene: ``first`` is ``relation`` (of) ``second``."""

    relation: Relation
    first: int  # index into the objects of the scene
    second: int


def inverse(fact: Fact) -> Fact:
    """Returns the same fact with the two objects in the other order."""
    return Fact(INVERSE[fact.relation], fact.second, fact.first)


class _Pair(NamedTuple):
    """The relations of two objects in the ground plane, as seen from the camera; scene units."""

    dominant: Fact
    other: Fact
    greater: float  # of the offsets across and along the line of sight, the size of the dominant one
    lesser: float
    distance: float


def _relate(first: int, second: int, *, rightwards: float, away: float) -> _Pair:
    across = Fact("right" if rightwards > 0 else "left", first, second)
    along = Fact("behind" if away > 0 else "front", first, second)
    dominant, other = (across, along) if abs(rightwards) >= abs(away) else (along, across)
    lesser, greater = sorted((abs(rightwards), abs(away)))
    return _Pair(dominant, other, greater, lesser, math.hypot(rightwards, away))


def _pairs(scene: Scene, camera: np.ndarray) -> list[_Pair]:
    cosine, sine = math.cos(camera[3]), math.sin(camera[3])
    pairs = []
    for second, first in itertools.combinations(range(len(scene.objects)), 2):
        x, y = (scene.objects[first].centre[axis] - scene.objects[second].centre[axis] for axis in (0, 1))
        pairs.append(_relate(first, second, rightwards=x * sine - y * cosine, away=x * cosine + y * sine))
    return pairs


def facts(scene: Scene, *, camera: np.ndarray) -> tuple[Fact, ...]:
    """Returns the facts that a caption states of a scene as seen by a camera [5].

    The dominant relation of every pair of objects; whether the closest pair is near or else the widest pair far; and
    the clearest of the other relations, up to ``MAX_FACTS`` in all.
    """
    pairs = _pairs(scene, camera)
    found = [pair.dominant for pair in pairs]
    closest, widest = min(pairs, key=lambda pair: pair.distance), max(pairs, key=lambda pair: pair.distance)
    if closest.distance < NEAR:
        found.append(closest.dominant._replace(relation="near"))
    elif widest.distance > FAR:
        found.append(widest.dominant._replace(relation="far"))
    clear = [pair for pair in pairs if pair.lesser >= max(CLEAR, CLEAR_SHARE * pair.greater)]
    found += [pair.other for pair in sorted(clear, key=lambda pair: -pair.lesser)]
    return tuple(found[:MAX_FACTS])
