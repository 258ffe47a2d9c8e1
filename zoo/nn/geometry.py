"""Rays and epipolar lines of pinhole cameras.

A pose is (x, y, z, cos yaw, sin yaw, cos pitch, sin pitch) in a right-handed world with z up. Yaw turns counter-clockwise
from +x as seen from above, a positive pitch looks up. Images are square, without distortion, and the field of view in
degrees spans their whole width. Positions in an image are in [-1, 1], x rightwards and y downwards, as for
``grid_sample``; ``height`` and ``width`` count the cells of a map. All functions are differentiable with respect to the
poses and compute in their type.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.nn.attention import positions

NEAR = 1e-3  # the least depth in front of a camera, in scene units or in units of a direction


def view_axes(poses: Tensor) -> Tensor:
    """Returns the axes of cameras [..., 7] as rows (right, up, forward) of matrices [..., 3, 3]."""
    cos_yaw, sin_yaw, cos_pitch, sin_pitch = poses[..., 3:7].unbind(-1)
    zero = torch.zeros_like(cos_yaw)
    right = torch.stack([sin_yaw, -cos_yaw, zero], dim=-1)
    up = torch.stack([-sin_pitch * cos_yaw, -sin_pitch * sin_yaw, cos_pitch], dim=-1)
    forward = torch.stack([cos_pitch * cos_yaw, cos_pitch * sin_yaw, sin_pitch], dim=-1)
    return torch.stack([right, up, forward], dim=-2)


def cell_directions(poses: Tensor, *, height: int, width: int, field_of_view: float) -> Tensor:
    """Returns the unit vectors [..., height, width, 3] through the centres of a map's cells, for poses [..., 7]."""
    right, up, forward = (axis[..., None, None, :] for axis in view_axes(poses).unbind(-2))
    x, y = half_width(field_of_view) * positions(height, width, like=poses)
    directions = forward + x[..., None] * right - y[..., None] * up
    # A pose that is padding may be all zeros, without a direction.
    return directions * torch.rsqrt(directions.square().sum(-1, keepdim=True).clamp(min=1e-12))


def half_width(field_of_view: float) -> float:
    """Returns half the width of an image on the plane at distance 1."""
    return math.tan(math.radians(field_of_view) / 2.0)


def ray_width(octaves: int) -> int:
    """Returns the number of channels of :func:`ray_features`."""
    return wave_width(6, octaves=octaves)


def ray_features(poses: Tensor, *, height: int, width: int, field_of_view: float, octaves: int) -> Tensor:
    """Returns positional encodings of every cell's ray (Mildenhall et al. 2020), [n, 6 * (1 + 2 * octaves), height, width].

    Origin and direction of the ray, each three numbers, and the sines and cosines of 2^k times them, k = -2, -1, ...: the
    longest wave is 25 scene units, wider than any room.
    """
    origin, direction = ray_waves(poses, height=height, width=width, field_of_view=field_of_view, octaves=octaves)
    maps = origin[..., None, None].expand(-1, -1, height, width)
    parts = (part.split(ray_parts(octaves)[::2], dim=1) for part in (maps, direction))
    return torch.cat([part for pair in zip(*parts, strict=True) for part in pair], dim=1)


def ray_parts(octaves: int) -> list[int]:
    """Returns the channels of :func:`ray_features` by part: origins and directions alternate."""
    return [size for size in (3, 3 * octaves, 3 * octaves) for _ in range(2)]


class RayWaves(NamedTuple):
    """The encodings of the origin, which is the same for all cells, and of the directions."""

    origin: Tensor  # [n, 3 * (1 + 2 * octaves)]
    direction: Tensor  # [n, 3 * (1 + 2 * octaves), height, width]


def ray_waves(poses: Tensor, *, height: int, width: int, field_of_view: float, octaves: int) -> RayWaves:
    """Returns the encodings of :func:`ray_features` without broadcasting the origin to the cells."""
    directions = cell_directions(poses, height=height, width=width, field_of_view=field_of_view)
    origin, direction = (wave_features(part, octaves=octaves) for part in (poses[:, :3], directions))
    return RayWaves(origin=origin, direction=direction.movedim(-1, 1))


def wave_width(numbers: int, *, octaves: int) -> int:
    """Returns the number of channels of :func:`wave_features` of so many numbers."""
    return numbers * (1 + 2 * octaves)


def wave_features(numbers: Tensor, *, octaves: int) -> Tensor:
    """Returns [..., P] numbers and the sines and cosines of 2^k times each, k = -2, -1, ...: [..., P * (1 + 2 * octaves)]."""
    if not octaves:
        return numbers
    frequencies = 2.0 ** (torch.arange(octaves) - 2).to(numbers)
    phases = (numbers[..., None] * frequencies).flatten(-2)
    return torch.cat([numbers, phases.sin(), phases.cos()], dim=-1)


class EpipolarSamples(NamedTuple):
    """S positions in the context views along each ray of a query's map."""

    places: Tensor  # [B, Q, N, h, w, S, 2]: x and y in the context image, -1 to 1
    reach: Tensor  # [B, Q, N, h, w, S]: t / (1 + t) of the point at distance t from the query's camera, 0 to 1
    visible: Tensor  # [B, Q, N, h, w] bool: False if no part of the ray is in the image


def epipolar_samples(
    queries: Tensor, contexts: Tensor, *, height: int, width: int, num_samples: int, field_of_view: float
) -> EpipolarSamples:
    """Projects every ray of the queries' maps into the context images and samples it evenly along its epipolar line.

    The visible part of a ray, up to infinity, is a line segment in the image. It is a single point for a ray through the
    context camera, and for every ray if both cameras have the same position. Where nothing is visible, places are 0.

    Points of a ray are X(s) = (1 - s) a + s b in the context camera's axes, with a the query's camera and b the
    direction: up to scale the point at distance t = s / (1 - s), with infinity at s = 1. Visible points satisfy a linear
    inequality in s per plane that bounds the image.

    ``queries`` are poses [B, Q, 7] with maps of height x width cells, ``contexts`` poses [B, N, 7].
    """
    half = half_width(field_of_view)
    # Products are written out, because autocast would round those of matrices.
    axes = view_axes(contexts)[:, None, :, None, None]  # [B, 1, N, 1, 1, 3, 3]
    offset = (queries[:, :, None, :3] - contexts[:, None, :, :3])[:, :, :, None, None, None]
    start = (axes * offset).sum(-1)
    directions = cell_directions(queries, height=height, width=width, field_of_view=field_of_view)
    end = (axes * directions[:, :, None, :, :, None]).sum(-1)
    first, last = _visible_part(start, end, half)
    visible = last - first > 0
    first, last = torch.where(visible, first, 0.0), torch.where(visible, last, 0.0)
    one, depth_of_one = _projected(start, end, first, half=half, visible=visible)
    other, depth_of_other = _projected(start, end, last, half=half, visible=visible)
    along = ((torch.arange(num_samples, dtype=torch.float64) + 0.5) / num_samples).to(queries)
    places = one[..., None, :] + along[:, None] * (other - one)[..., None, :]
    # grid_sample must not read outside of its map, whatever the poses are.
    places = torch.nan_to_num(places).clamp(-2.0, 2.0)
    # Even steps in the image are not even in space: s moves by the inverse of the depth.
    nearer, farther = along * depth_of_one[..., None], (1.0 - along) * depth_of_other[..., None]
    reach = first[..., None] + nearer / (nearer + farther) * (last - first)[..., None]
    return EpipolarSamples(places=places, reach=reach, visible=visible)


def _visible_part(start: Tensor, end: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """Returns the least and the largest s, [...] each, at which (1 - s) start + s end, [..., 3], is within the image."""

    def heights(points: Tensor) -> Tensor:
        """Returns the signed distances of points from the five planes that bound the image, [..., 5]."""
        right, up, forward = points.unbind(-1)
        sides = [half * forward - right, half * forward + right, half * forward - up, half * forward + up]
        return torch.stack([*sides, forward - NEAR], dim=-1)

    begin, finish = torch.broadcast_tensors(heights(start), heights(end))
    slope = finish - begin
    level = slope.abs() < 1e-12
    crossing = -begin / torch.where(level, torch.ones_like(slope), slope)
    never = level & (begin < 0)
    lower = torch.where(~level & (slope > 0), crossing, torch.zeros_like(slope))
    upper = torch.where(~level & (slope < 0), crossing, torch.ones_like(slope))
    upper = torch.where(never, torch.full_like(slope, -1.0), upper)
    return lower.amax(-1).clamp(min=0.0), upper.amin(-1).clamp(max=1.0)


def _projected(start: Tensor, end: Tensor, s: Tensor, *, half: float, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the position [..., 2] and the depth [...] of (1 - s) start + s end in the image; 0 and 1 if not visible."""
    points = start + s[..., None] * (end - start)
    depth = torch.where(visible, points[..., 2], torch.ones_like(s)).clamp(min=NEAR / 2.0)
    places = torch.stack([points[..., 0], -points[..., 1]], dim=-1) / (half * depth[..., None])
    return torch.where(visible[..., None], places, torch.zeros_like(places)), depth
