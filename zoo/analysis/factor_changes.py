"""Changes of one factor of a room, all other factors as they are: how far and in which direction they move features.

A change replaces one value of a factor by another, the same two values in every room, for example red by blue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from zoo.analysis.single_objects import DrawnRooms, Solid, colour_of, render_rooms, solid_of, with_solid, with_walls
from zoo.data.factors.room_factors import RoomFactors
from zoo.data.render.rooms import REACH, SIZES
from zoo.evaluation.representations import Describe

SHIFT = 0.8  # scene units either way from the middle of the room

Change = Callable[[RoomFactors], tuple[RoomFactors, RoomFactors]]


def _of_solid(before: Callable[[Solid], Solid], after: Callable[[Solid], Solid]) -> Change:
    """Returns the change that puts two versions of a room's object into the room."""

    def change(room: RoomFactors) -> tuple[RoomFactors, RoomFactors]:
        solid = solid_of(room)
        return with_solid(room, before(solid)), with_solid(room, after(solid))

    return change


def _moved(solid: Solid, *, x: float) -> Solid:
    """Moves an object along x; y is such that both places are within the reach of drawn objects."""
    most = math.sqrt(REACH**2 - x**2)
    return solid._replace(x=x, y=min(max(solid.y, -most), most))


CHANGES: Mapping[str, Change] = {
    "colour": _of_solid(
        lambda solid: solid._replace(colour=colour_of("red")), lambda solid: solid._replace(colour=colour_of("blue"))
    ),
    "shape": _of_solid(lambda solid: solid._replace(shape="sphere"), lambda solid: solid._replace(shape="box")),
    "size": _of_solid(lambda solid: solid._replace(size=SIZES[0]), lambda solid: solid._replace(size=SIZES[1])),
    "position": _of_solid(lambda solid: _moved(solid, x=-SHIFT), lambda solid: _moved(solid, x=SHIFT)),
    "wall": lambda room: (with_walls(room, wall="red"), with_walls(room, wall="green")),
    "floor": lambda room: (with_walls(room, floor="yellow floor"), with_walls(room, floor="blue floor")),
}


class ChangeEffects(NamedTuple):
    """The effects of one change on the features of n rooms."""

    movement: np.ndarray  # [n]: distance that the change moves the features, divided by that of a change of all views
    agreement: np.ndarray  # [n]: mean cosine between the movements of two rooms, by :func:`mean_cosine_scores`


class ChangedViews(NamedTuple):
    """Views of rooms before and after a change, and other views before it."""

    before: np.ndarray  # [n, N, H, W, 3] uint8
    after: np.ndarray  # [n, N, H, W, 3], from the same cameras
    elsewhere: np.ndarray  # [n, N, H, W, 3] of the rooms before the change, from other cameras
    cameras: np.ndarray  # [n, N, 5]
    other_cameras: np.ndarray  # [n, N, 5]


def changed_views(rooms: DrawnRooms, change: Change, *, num_views: int, image_size: int) -> ChangedViews:
    """Renders rooms before and after a change from their first N = ``num_views`` cameras, and from their next N."""
    before, after = zip(*(change(room) for room in rooms.factors), strict=True)
    first, second = rooms.cameras[:, :num_views], rooms.cameras[:, num_views : 2 * num_views]
    return ChangedViews(
        before=render_rooms(before, first, image_size=image_size),
        after=render_rooms(after, first, image_size=image_size),
        elsewhere=render_rooms(before, second, image_size=image_size),
        cameras=first,
        other_cameras=second,
    )


def change_effects(views: ChangedViews, describe: Describe) -> ChangeEffects:
    """Returns how far and how consistently a change moves the features of rooms."""
    before, after = describe(views.before, views.cameras), describe(views.after, views.cameras)
    by_views = np.linalg.norm(describe(views.elsewhere, views.other_cameras) - before, axis=1)
    movement = (after - before).astype(float)
    return ChangeEffects(
        movement=np.linalg.norm(movement, axis=1) / np.maximum(by_views, np.finfo(float).tiny),
        agreement=mean_cosine_scores(movement),
    )


def mean_cosine_scores(vectors: np.ndarray) -> np.ndarray:
    """Returns scores [n] of n >= 3 vectors [n, D], whose mean is the mean cosine of two of them; a zero vector has cosine 0.

    They are the jackknife's pseudo-values: n times the mean cosine of all vectors minus n - 1 times that of all but one.
    Every pair counts for both of its vectors, so that the mean cosines of each vector with the others are not independent:
    their standard error would be half of that of their mean, the standard error of the pseudo-values is right (Arvesen
    1969, Jackknifing U-statistics).
    """
    count, lengths = len(vectors), np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0.0, lengths, 1.0)
    with_others = (units @ units.sum(0) - np.square(units).sum(1)) / (count - 1)
    return (2.0 * (count - 1) * with_others - count * with_others.mean()) / (count - 2)
