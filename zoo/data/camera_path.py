"""Paths of cameras: an orbit round what the cameras of a scene look at, and a path through given cameras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from zoo.config.settings import Settings, load_yaml, parse
from zoo.data.camera import CAMERA_FIELDS, CAMERA_WIDTH, camera_axes
from zoo.data.source import check_numbers
from zoo.errors import DataError

WIDEST_MISS = math.radians(60.0)  # median angle between where cameras look and their common point; wider is no orbit
STEEPEST_PITCH = 90.0  # degrees


class PathFile(Settings):
    """A file of cameras through which a path goes."""

    cameras: list[Annotated[list[int | float], Field(min_length=CAMERA_WIDTH, max_length=CAMERA_WIDTH)]] = Field(
        min_length=1, description="x, y, z (scene units), yaw, pitch (degrees)"
    )
    closed: bool = Field(default=False, description="the path returns to its first camera")


def camera_of(numbers: Sequence[float], *, origin: str) -> np.ndarray:
    """Returns the camera [5] float32 of x, y, z in scene units, yaw and pitch in degrees.

    Raises:
        DataError: naming ``origin``, if there are not five finite numbers or the pitch is beyond 90 degrees.
    """
    if len(numbers) != CAMERA_WIDTH:
        raise DataError(f"{origin}: found {len(numbers)} numbers, expected {CAMERA_WIDTH}: {','.join(CAMERA_FIELDS)}")
    # A whole number of a file may be larger than any float.
    x, y, z, yaw, pitch = (math.inf if abs(number) > 1e300 else number for number in numbers)
    if abs(pitch) > STEEPEST_PITCH:
        raise DataError(f"{origin}: pitch: found {pitch:g} degrees, expected -90 (down) to 90 (up)")
    camera = np.array([x, y, z, math.radians(yaw), math.radians(pitch)])
    check_numbers(camera[None], kind="cameras", origin=origin)
    return camera.astype(np.float32)


def read_path(file: str | Path, *, num_cameras: int) -> np.ndarray:
    """Reads a file of cameras (see :class:`PathFile`) and returns ``num_cameras`` along the path through them, [n, 5].

    Raises:
        ConfigError, DataError: naming file, camera and what was expected.
    """
    found = parse(PathFile, load_yaml(file), file=str(file))
    rows = [camera_of(row, origin=f"{file}: cameras.{index}") for index, row in enumerate(found.cameras)]
    return interpolated(np.stack(rows), num_cameras=num_cameras, closed=found.closed)


def interpolated(cameras: np.ndarray, *, num_cameras: int, closed: bool = False) -> np.ndarray:
    """Returns ``num_cameras`` evenly along the polygon through cameras [K, 5] (radians), float32 [n, 5].

    The yaw turns the shorter way. A closed path returns to its first camera, which is not repeated at the end.
    """
    corners = np.asarray(cameras, np.float64)
    if closed:
        corners = np.concatenate([corners, corners[:1]])
    corners[:, 3] = np.unwrap(corners[:, 3])
    places = np.linspace(0.0, len(corners) - 1.0, num_cameras, endpoint=not closed)
    path = np.stack([np.interp(places, np.arange(len(corners)), corner) for corner in corners.T], axis=1)
    path[:, 3] = np.remainder(path[:, 3] + np.pi, 2.0 * np.pi) - np.pi
    return path.astype(np.float32)


def common_point(cameras: np.ndarray) -> np.ndarray:
    """Returns the point [3] with the least sum of squared distances to the lines of sight of cameras [V, 5] (radians).

    A small pull towards the middle of the cameras decides where lines are parallel.
    """
    places, forward = _sight(cameras)
    # The distance to a line is that of the offset less its part along the line: the projection I - f f^T.
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    pull = 1e-6 * np.eye(3)
    return np.linalg.solve(across.sum(0) + pull, (across @ places[:, :, None]).sum(0)[:, 0] + pull @ places.mean(0))


def orbit(cameras: np.ndarray, *, num_cameras: int) -> np.ndarray:
    """Returns ``num_cameras`` on a circle round the common point of cameras [V, 5], looking at it, float32 [n, 5].

    The circle has the mean distance from the vertical through the point, and the mean height, of the given cameras; it
    begins beside the first of them and runs counter-clockwise seen from above.

    Raises:
        DataError: if there is no camera, or they do not look at a common point.
    """
    if not len(cameras):
        raise DataError("orbit: found no camera of the scene, expected at least one to go by")
    places, forward = _sight(cameras)
    centre = common_point(cameras)
    towards = centre - places
    cosine = (towards * forward).sum(1) / np.maximum(np.linalg.norm(towards, axis=1), 1e-9)
    miss = float(np.median(np.arccos(np.clip(cosine, -1.0, 1.0))))
    if miss > WIDEST_MISS:
        raise DataError(
            f"orbit: the scene's cameras look past their nearest common point by {math.degrees(miss):.0f} degrees (median), "
            f"expected at most {math.degrees(WIDEST_MISS):.0f}; give a path of your own"
        )
    offset = places - centre
    radius, height = np.hypot(offset[:, 0], offset[:, 1]).mean(), offset[:, 2].mean()
    start = math.atan2(offset[0, 1], offset[0, 0])
    around = start + 2.0 * np.pi * np.arange(num_cameras) / num_cameras
    circle = np.zeros((num_cameras, CAMERA_WIDTH))
    circle[:, 0], circle[:, 1] = centre[0] + radius * np.cos(around), centre[1] + radius * np.sin(around)
    circle[:, 2] = centre[2] + height
    circle[:, 3] = np.remainder(around, 2.0 * np.pi) - np.pi  # half a turn from ``around``, between -pi and pi
    circle[:, 4] = -math.atan2(height, radius)
    return circle.astype(np.float32)


def _sight(cameras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns places and directions [V, 3] float64 of cameras [V, 5]."""
    exact = torch.from_numpy(np.asarray(cameras, np.float64))
    return exact[:, :3].numpy(), camera_axes(exact).forward.numpy()
