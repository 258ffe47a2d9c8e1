"""Camera geometry for tests: rays through pixels, their inverse, and cameras that face a target."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.camera import FIELD_OF_VIEW_DEGREES, camera_axes


class Rays(NamedTuple):
    """Origins and directions of the rays of an image, both [..., H, W, 3]; directions have length 1."""

    origins: Tensor
    directions: Tensor


class Projection(NamedTuple):
    """World points in an image."""

    coordinates: Tensor  # [..., 2]: column and row, continuous pixels; without meaning where depth <= 0
    depth: Tensor  # [...]: scene units along the camera's forward axis; negative behind the camera


def look_at(position: Tensor, *, target: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the yaw and the pitch, [...] each, with which a camera at ``position`` faces ``target``, both [..., 3].

    Straight up or down the yaw is not determined; it is 0 then.
    """
    x, y, z = (target - position).unbind(-1)
    return torch.atan2(y, x), torch.atan2(z, torch.hypot(x, y))


def rays(
    cameras: Tensor,
    *,
    image_size: int,
    field_of_view: float = FIELD_OF_VIEW_DEGREES,
    samples_per_side: int = 1,
) -> Rays:
    """Returns the rays of every pixel.

    Args:
        cameras: [..., 5].
        image_size: height and width, pixels.
        field_of_view: degrees across the whole image.
        samples_per_side: a pixel gets this many samples in both directions, evenly spread; H and W of the result are
            ``image_size * samples_per_side``, and pixel (row, column) owns a square of neighbouring samples.

    Returns:
        Origins and unit directions, [..., H, W, 3].
    """
    num_samples = image_size * samples_per_side
    centres = (torch.arange(num_samples, dtype=torch.float64) + 0.5) / num_samples
    offsets = ((2.0 * centres - 1.0) * math.tan(math.radians(field_of_view) / 2.0)).to(cameras)
    forward, right, up = (axis[..., None, None, :] for axis in camera_axes(cameras))
    directions = forward + offsets[None, :, None] * right - offsets[:, None, None] * up
    directions = directions / directions.norm(dim=-1, keepdim=True)
    return Rays(cameras[..., None, None, :3].expand_as(directions), directions)


def project(
    points: Tensor, *, cameras: Tensor, image_size: int, field_of_view: float = FIELD_OF_VIEW_DEGREES
) -> Projection:
    """Returns where world points appear: the inverse of :func:`rays`.

    Args:
        points: [..., 3] world coordinates.
        cameras: [..., 5]; the leading dimensions of points and cameras broadcast, so that M points per camera are
            ``points [..., M, 3]`` with ``cameras[..., None, :]``.
        image_size: height and width in pixels.
        field_of_view: degrees across the whole image.

    Returns:
        Pixel coordinates [..., 2] (column, row) and depths [...].
    """
    offset = points - cameras[..., :3]
    axes = camera_axes(cameras)
    depth, rightwards, upwards = ((offset * axis).sum(-1) for axis in axes)
    half_width = math.tan(math.radians(field_of_view) / 2.0)
    column = (rightwards / (depth * half_width) + 1.0) * (image_size / 2.0)
    row = (1.0 - upwards / (depth * half_width)) * (image_size / 2.0)
    return Projection(torch.stack([column, row], dim=-1), depth)
