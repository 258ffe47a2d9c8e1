"""Visibility: the nearest object along rays from a point, and the shadows of a lamp.

All rays of one camera start at one point, and so do all rays of one lamp (shadow
rays are cast from the lamp towards the surface), so values that depend on the point and the object alone are computed
once. A bounding-sphere test of every ray with every object then leaves few candidate pairs for the exact test.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.scene import SceneTensors
from zoo.data.render.shading import Illumination, Surface
from zoo.data.render.vectors import Vector, transform

# The last part of the way to a surface is not tested, so that a surface does not shadow itself.
SHADOW_MARGIN = 1e-4


class Sources(NamedTuple):
    """The objects of each scene as seen from one point (a camera, a lamp); G points, K objects, row = g * K + k."""

    offset: Tensor  # [3, G, K]: from the point to the centre of the object
    reach: Tensor  # [G, K]: a unit direction may hit the object only if its product with the offset exceeds this
    origin: Tensor  # [3, G * K]: the point in the frame of the object
    inverse: Tensor  # [9, G * K]
    shape: Tensor  # [G * K] int64
    colour: Tensor  # [3, G * K]
    ink: Tensor  # [3, G * K]
    texels: Tensor  # [G * K, T] uint8; T = 0 if no object has images on its sides


def seen_from(scenes: SceneTensors, points: Tensor) -> Sources:
    """Prepares scenes [G] as seen from points [G, 3]."""
    offset = (scenes.centre - points[:, None]).permute(2, 0, 1).contiguous()
    square = offset[0] * offset[0] + offset[1] * offset[1] + offset[2] * offset[2]
    clearance = square - scenes.bound * scenes.bound
    # From inside a bounding sphere every direction is a candidate; padding is never one.
    reach = torch.where(clearance > 0, clearance.clamp_min(0.0).sqrt(), -torch.inf)
    reach = torch.where(scenes.present, reach, torch.inf)
    inverse = scenes.inverse.permute(2, 0, 1).flatten(1).contiguous()
    backwards = Vector(*(-offset.flatten(1)))
    return Sources(
        offset,
        reach,
        torch.stack(transform(inverse, backwards)),
        inverse,
        scenes.shape.flatten(),
        scenes.colour.permute(2, 0, 1).flatten(1).contiguous(),
        scenes.ink.permute(2, 0, 1).flatten(1).contiguous(),
        scenes.texels.flatten(0, 1),
    )


def _pair_distance(sources: Sources, *, row: Tensor, direction: Vector) -> Tensor:
    """Returns the distance [P] along rays to objects, one object a ray; infinite for a miss."""
    local = transform(sources.inverse.index_select(1, row), direction)
    origin = Vector(*sources.origin.index_select(1, row))
    shape = sources.shape[row]
    distance = torch.full_like(local.x, torch.inf)
    for index in torch.unique(sources.shape).tolist():
        own = (shape == index).nonzero().squeeze(1)
        near = PRIMITIVES[PRIMITIVE_NAMES[index]].distance(
            Vector(*(part[own] for part in origin)), Vector(*(part[own] for part in local))
        )
        distance[own] = near
    return distance


def nearest_object(sources: Sources, direction: Vector) -> tuple[Tensor, Tensor]:
    """Returns the distance to the nearest object and its number k, each [G, R], for directions [G, R] each."""
    num_points, num_rays = direction.x.shape
    num_objects = sources.reach.shape[1]
    depth = direction.x.new_full((num_points, num_objects, num_rays), torch.inf)
    towards = (
        direction.x[:, None] * sources.offset[0, :, :, None]
        + direction.y[:, None] * sources.offset[1, :, :, None]
        + direction.z[:, None] * sources.offset[2, :, :, None]
    )
    pair = (towards > sources.reach[:, :, None]).flatten().nonzero().squeeze(1)
    row = pair // num_rays
    ray = pair - row * num_rays + (row // num_objects) * num_rays
    chosen = Vector(*(part.flatten()[ray] for part in direction))
    depth.view(-1)[pair] = _pair_distance(sources, row=row, direction=chosen)
    nearest, item = depth[:, 0], torch.zeros_like(depth[:, 0], dtype=torch.long)
    for k in range(1, num_objects):
        closer = depth[:, k] < nearest
        nearest = torch.where(closer, depth[:, k], nearest)
        item = torch.where(closer, k, item)
    return nearest, item


def in_shadow(lamps: Sources, *, surface: Surface, light: Illumination) -> Tensor:
    """Whether an object other than their own hides points from the lamp, [P] bool."""
    dark = torch.zeros_like(light.facing, dtype=torch.bool)
    reached = (light.facing > 0).nonzero().squeeze(1)
    scene, item = surface.scene[reached], surface.item[reached]
    ray = Vector(*(part[reached] for part in light.from_lamp))
    length = light.square[reached].sqrt()
    num_scenes, num_objects = lamps.reach.shape
    for k in range(num_objects):
        offset, reach = lamps.offset[:, :, k], lamps.reach[:, k]
        if num_scenes > 1:
            offset, reach = offset.index_select(1, scene), reach[scene]
        # The solids are convex: where a surface faces the lamp its own object is not in the way.
        towards = ray.x * offset[0] + ray.y * offset[1] + ray.z * offset[2]
        candidate = ((towards > reach * length) & (item != k)).nonzero().squeeze(1)
        direction = Vector(*(part[candidate] for part in ray))
        distance = _pair_distance(lamps, row=scene[candidate] * num_objects + k, direction=direction)
        dark[reached[candidate[distance < 1.0 - SHADOW_MARGIN]]] = True
    return dark
