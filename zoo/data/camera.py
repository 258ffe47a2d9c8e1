"""The camera convention, defined here alone.

World
    Right-handed, z up. Lengths are in scene units (those of the data set; the built-in rooms are 7 units wide).

Camera
    Five numbers ``(x, y, z, yaw, pitch)``: the position of the pinhole, then two angles in radians. There is no roll.

    - ``yaw`` 0 looks along +x; a positive yaw turns counter-clockwise as seen from above, towards +y.
    - ``pitch`` 0 looks horizontally; a positive pitch looks up, towards +z.

    The axes of the camera are unit vectors::

        forward = ( cos pitch cos yaw,  cos pitch sin yaw, sin pitch)
        right   = ( sin yaw,           -cos yaw,           0        )
        up      = (-sin pitch cos yaw, -sin pitch sin yaw, cos pitch)

    so a camera at yaw 0 has +y on its left.

Image
    Square, pinhole, without distortion; the field of view of 50 degrees spans the whole width (and height). Row 0 is
    the top and column 0 the left. Pixel coordinates are continuous: the image covers 0 to ``image_size`` in both
    directions, and the centre of the pixel in column i is at i + 0.5.

Pose
    Models never see raw angles. ``pose_vector`` makes seven numbers in the order of the GQN paper (Eslami et al.,
    Science 360:1204, 2018): ``(x, y, z, cos yaw, sin yaw, cos pitch, sin pitch)``. DeepMind's own reader of the
    gqn-datasets emits the *sine before the cosine*; weights trained on that order do not fit this one.

Cameras read from DeepMind's files, which store the same five numbers, are passed through unchanged.

Everything here is plain torch, in the floating-point type of its input, on the device of its input.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.nn.geometry import view_axes

FIELD_OF_VIEW_DEGREES = 50.0
IMAGE_HALF_WIDTH = math.tan(math.radians(FIELD_OF_VIEW_DEGREES) / 2.0)  # of the image plane at distance 1

CAMERA_WIDTH = 5
CAMERA_FIELDS = ("x", "y", "z", "yaw", "pitch")

POSE_WIDTH = 7

VERTICAL = 1e-6  # length of a forward axis' horizontal part, below which a camera looks straight up or down


class CameraAxes(NamedTuple):
    """The unit vectors of a camera in world coordinates, each [..., 3]."""

    forward: Tensor
    right: Tensor
    up: Tensor


class CameraAngles(NamedTuple):
    """Angles of a camera in radians, each [...]; with a roll of 0 it is a camera of this convention.

    A positive ``roll`` turns the right axis towards the up axis: counter-clockwise as seen from behind the camera.
    """

    yaw: Tensor
    pitch: Tensor
    roll: Tensor


def pose_vector(cameras: Tensor) -> Tensor:
    """Turns cameras [..., 5] into poses [..., 7]: x, y, z, cos yaw, sin yaw, cos pitch, sin pitch."""
    position, yaw, pitch = cameras[..., :3], cameras[..., 3:4], cameras[..., 4:5]
    return torch.cat([position, yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin()], dim=-1)


def camera_axes(cameras: Tensor) -> CameraAxes:
    """Returns the axes of cameras [..., 5]."""
    right, up, forward = view_axes(pose_vector(cameras)).unbind(-2)
    return CameraAxes(forward, right, up)


def angles_of_axes(*, forward: Tensor, right: Tensor) -> CameraAngles:
    """Returns the angles of cameras with unit axes ``forward`` and ``right``, [..., 3] each: inverse of ``camera_axes``.

    Straight up or down (within ``VERTICAL``) yaw and roll turn about the same axis; the roll is then 0.
    """
    across = torch.hypot(forward[..., 0], forward[..., 1])
    vertical = across < VERTICAL
    yaw = torch.where(
        vertical, torch.atan2(right[..., 0], -right[..., 1]), torch.atan2(forward[..., 1], forward[..., 0])
    )
    pitch = torch.atan2(forward[..., 2], across)
    level = camera_axes(torch.stack([*[torch.zeros_like(yaw)] * 3, yaw, pitch], dim=-1))
    roll = torch.atan2((right * level.up).sum(-1), (right * level.right).sum(-1))
    return CameraAngles(yaw, pitch, torch.where(vertical, torch.zeros_like(roll), roll))


def image_plane(num_samples: int) -> Tensor:
    """Returns the positions of the samples of a row on the image plane at distance 1, [num_samples] float64, left to right.

    The negated tensor gives the heights of the samples of one column, from the top down.
    """
    centres = (torch.arange(num_samples, dtype=torch.float64) + 0.5) / num_samples
    return (2.0 * centres - 1.0) * IMAGE_HALF_WIDTH
