"""Geometry of the plan: what it covers, the scene seen from above, and the camera at a place that was clicked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from zoo.data.camera import FIELD_OF_VIEW_DEGREES
from zoo.data.camera_path import common_point
from zoo.data.scene import Scene, render_scene
from zoo.errors import DataError

MARGIN = 1.25  # half width of the plan over the largest distance of a camera from its centre
PLAN_PIXELS = 256


class PlanExtent(NamedTuple):
    """A square of the floor."""

    centre: np.ndarray  # [3], what the cameras look at, scene units
    half_width: float
    camera_height: float  # mean z of the scene's cameras


def plan_extent(scene: Scene) -> PlanExtent:
    """Returns the square round the scene's cameras."""
    places = scene.cameras[:, :3].astype(np.float64)
    centre = common_point(scene.cameras)
    reach = float(np.abs(places[:, :2] - centre[:2]).max())
    return PlanExtent(centre, MARGIN * max(reach, 0.5), float(places[:, 2].mean()))


def plan_image(scene: Scene) -> np.ndarray | None:
    """Renders the scene from above, +y up, [256, 256, 3] uint8; None if it cannot be seen from there.

    The image covers the plan's square at z = 0; what stands higher appears larger, as in any perspective.
    """
    if scene.factors is None:
        return None
    extent = plan_extent(scene)
    height = extent.half_width / math.tan(math.radians(FIELD_OF_VIEW_DEGREES) / 2.0)
    above = np.array([extent.centre[0], extent.centre[1], height, math.pi / 2.0, -math.pi / 2.0])
    try:
        return render_scene(scene.factors, above[None], image_size=PLAN_PIXELS)[0]
    except DataError:
        return None


def clicked_camera(extent: PlanExtent, *, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Returns the camera [5] where a ray from the browser's camera meets the height of the scene's cameras.

    It looks at the centre of the plan.

    Raises:
        DataError: if the ray does not meet that height inside of ten widths of the plan.
    """
    down = float(direction[2])
    distance = (extent.camera_height - float(origin[2])) / down if abs(down) > 1e-6 else -1.0
    place = np.asarray(origin, np.float64) + distance * np.asarray(direction, np.float64)
    if distance <= 0.0 or np.abs(place[:2] - extent.centre[:2]).max() > 20.0 * extent.half_width:
        raise DataError("click: found no place on the plan, expected a click on the floor")
    return looking_at(place, extent.centre)


def looking_at(place: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the camera [5] float32 at a place [3] that looks at a target [3]."""
    x, y, z = np.asarray(target, np.float64) - place
    return np.array([*place, math.atan2(y, x), math.atan2(z, math.hypot(x, y))], np.float32)
