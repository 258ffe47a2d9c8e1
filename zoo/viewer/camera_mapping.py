"""Cameras of this project (:mod:`zoo.data.camera`) as cameras of viser, and back.

A camera of viser is a position and a rotation from the axes of the camera to those of the world, a unit quaternion
(w, x, y, z), with the axes of OpenCV: +x to the right of the image, +y down, +z forward. The world is the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from zoo.data.camera import angles_of_axes, camera_axes
from zoo.errors import DataError


class ViserCamera(NamedTuple):
    """A camera of viser, float64."""

    wxyz: np.ndarray  # [4], unit quaternion
    position: np.ndarray  # [3], scene units


def to_viser(camera: np.ndarray) -> ViserCamera:
    """Converts a camera [5] (x, y, z, yaw, pitch; radians)."""
    exact = torch.from_numpy(np.asarray(camera, np.float64))
    axes = camera_axes(exact)
    matrix = np.stack([axes.right.numpy(), -axes.up.numpy(), axes.forward.numpy()], axis=1)
    return ViserCamera(Rotation.from_matrix(matrix).as_quat(scalar_first=True), exact[:3].numpy())


def from_viser(wxyz: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Converts a rotation [4] and a position [3] to a camera [5] float32; a roll is left out.

    Raises:
        DataError: if a number is not finite, or the quaternion is zero.
    """
    quaternion, place = np.asarray(wxyz, np.float64), np.asarray(position, np.float64)
    if not (np.isfinite(quaternion).all() and np.isfinite(place).all() and quaternion.any()):
        raise DataError(f"camera: found rotation {list(quaternion)} at {list(place)}, expected finite numbers")
    right, _, forward = torch.from_numpy(Rotation.from_quat(quaternion, scalar_first=True).as_matrix()).unbind(1)
    angles = angles_of_axes(forward=forward, right=right)
    return np.array([*place, float(angles.yaw), float(angles.pitch)], np.float32)
