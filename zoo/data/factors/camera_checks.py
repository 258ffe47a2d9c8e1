"""Checks that cameras see a room from inside of it and are not within an object."""

from __future__ import annotations

import numpy as np

from zoo.data.factors.scene_factors import refuse
from zoo.data.render.primitives import PRIMITIVES
from zoo.data.render.rooms import radius_of
from zoo.data.render.scene import Scene


def check_inside_room(scene: Scene, cameras: np.ndarray) -> None:
    """Checks that cameras [V, 5] are between the walls of the scene's room.

    Raises:
        DataError: naming the width of the room that they need.
    """
    if scene.room is not None and len(cameras):
        widest = 2.0 * float(np.abs(cameras[:, :2]).max())
        if widest >= scene.room.width:
            raise refuse("room.width", found=scene.room.width, expected=f"more than {widest:.4g}, where cameras are")


def check_clear_of_objects(scene: Scene, cameras: np.ndarray) -> None:
    """Checks that no camera [V, 5] is within an upright object, taken for as wide everywhere as at its widest.

    Raises:
        DataError: naming the object and the camera.
    """
    for index, item in enumerate(scene.objects):
        if item.tilt is not None:
            continue
        x, y, z = item.centre
        half_height = PRIMITIVES[item.shape].half_height * item.scale[2]
        aside = np.hypot(cameras[:, 0] - x, cameras[:, 1] - y)
        within = np.flatnonzero((aside < radius_of(item)) & (np.abs(cameras[:, 2] - z) < half_height))
        if len(within):
            place = [round(float(number), 3) for number in cameras[within[0], :3]]
            raise refuse(
                f"objects.{index}.position", found=list(item.centre), expected=f"room for the camera at {place}"
            )
