"""Mapping the world of a capture to scene units: z up, the origin in the middle, a scale."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from zoo.data.camera import angles_of_axes
from zoo.data.captures.capture import Capture, UpAxis
from zoo.data.render.rooms import RING
from zoo.errors import DataError

# How far the cameras of the built-in rooms are from the point that they look at, scene units.
DEFAULT_RADIUS = math.hypot(RING.radius, RING.height - RING.target_height)
_DEGENERATE = 1e-4  # of eigenvalues of a mean of outer products of unit vectors


class Alignment(NamedTuple):
    """A point p of the world is at ``scale * rotation @ (p - centre)`` of the scene."""

    up: UpAxis
    rotation: np.ndarray  # [3, 3] float64
    centre: np.ndarray  # [3] float64, world units
    scale: float  # scene units per world unit


class AlignedCameras(NamedTuple):
    """Cameras of the convention of :mod:`zoo.data.camera`, and what it has no room for."""

    cameras: np.ndarray  # [V, 5] float64
    rolls: np.ndarray  # [V] float64, radians


def align(
    capture: Capture,
    *,
    up: UpAxis | None = None,
    centre: tuple[float, float, float] | None = None,
    scale: float | None = None,
    radius: float | None = None,
) -> Alignment:
    """Determines the mapping of a capture's world from all of its cameras.

    Args:
        capture: with C cameras.
        up: axis of the world that points up; ``auto`` takes the direction that the right axes of all images are
            perpendicular to; None that of the format.
        centre: the point of the world that becomes the origin; None is the point nearest to all viewing rays.
        scale: scene units per world unit. None derives it from ``radius``, or is 1 where only ``centre`` is given.
        radius: mean distance of the cameras from the origin, scene units; None is ``DEFAULT_RADIUS``.

    Raises:
        DataError: if scale and radius are both given or not positive, or the cameras do not determine what is asked.
    """
    for name, value in (("scale", scale), ("radius", radius)):
        if value is not None and not 0.0 < value < math.inf:
            raise DataError(f"{name}: found {value:g}, expected a positive number")
    if scale is not None and radius is not None:
        raise DataError("radius: cannot be given together with scale, which determines it")
    positions = np.stack([image.position for image in capture.images])
    forwards = np.stack([-image.rotation[:, 2] for image in capture.images])
    axis = up or capture.up
    unit = (-1.0 if axis[0] == "-" else 1.0) * np.eye(3)["xyz".find(axis[-1])]
    direction = _common_up(capture) if axis == "auto" else unit
    middle = _nearest_point(capture, positions, forwards) if centre is None else np.array(centre, dtype=np.float64)
    if scale is None and centre is not None and radius is None:
        scale = 1.0
    if scale is None:
        distance = float(np.linalg.norm(positions - middle, axis=1).mean())
        if distance < 1e-9:
            raise DataError(f"{capture.folder}: all cameras are at the centre; give --scale instead of --radius")
        scale = (DEFAULT_RADIUS if radius is None else radius) / distance
    return Alignment(axis, _rotation_to_vertical(direction), middle, scale)


def align_cameras(capture: Capture, alignment: Alignment) -> AlignedCameras:
    """Maps all cameras of a capture."""
    positions = np.stack([image.position for image in capture.images])
    rotations = alignment.rotation @ np.stack([image.rotation for image in capture.images])
    placed = alignment.scale * (positions - alignment.centre) @ alignment.rotation.T
    angles = angles_of_axes(
        forward=torch.from_numpy(-rotations[:, :, 2]), right=torch.from_numpy(np.ascontiguousarray(rotations[:, :, 0]))
    )
    cameras = np.concatenate([placed, np.stack([angles.yaw.numpy(), angles.pitch.numpy()], axis=1)], axis=1)
    return AlignedCameras(cameras, angles.roll.numpy())


def _common_up(capture: Capture) -> np.ndarray:
    """Returns the unit vector [3] most nearly perpendicular to the right axes of all images, on the side of their tops."""
    rights = np.stack([image.rotation[:, 0] for image in capture.images])
    values, vectors = np.linalg.eigh(rights.T @ rights / len(rights))
    if values[1] < _DEGENERATE:
        raise DataError(f"{capture.folder}: --up auto needs images in different directions; give an axis")
    tops = np.stack([image.rotation[:, 1] for image in capture.images]).mean(0)
    return vectors[:, 0] * (1.0 if vectors[:, 0] @ tops >= 0.0 else -1.0)


def _rotation_to_vertical(up: np.ndarray) -> np.ndarray:
    """Returns the smallest rotation [3, 3] that takes the unit vector ``up`` [3] to +z; from -z it turns about x."""
    x, y, z = up
    if z < -1.0 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    return np.eye(3) + cross + cross @ cross / (1.0 + z)


def _nearest_point(capture: Capture, positions: np.ndarray, forwards: np.ndarray) -> np.ndarray:
    """Returns the point [3] with the least sum of squared distances from lines through ``positions`` [C, 3]."""
    across = np.eye(3) - forwards[:, :, None] * forwards[:, None, :]
    total = across.mean(0)
    if np.linalg.eigvalsh(total)[0] < _DEGENERATE:
        raise DataError(f"{capture.folder}: all cameras look in one direction, so no point is nearest; give --centre")
    return np.linalg.solve(total, (across @ positions[:, :, None]).mean(0)[:, 0])
