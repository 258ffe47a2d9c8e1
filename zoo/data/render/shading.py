"""Light: the surroundings of the objects, and the brightness of points on surfaces.

Colours are display values from 0 to 1 throughout; there is no gamma curve, as in the images this resembles.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.render.textures import look_up, texture_atlas
from zoo.data.render.vectors import Vector, along, difference, dot, unit

AMBIENT = 0.52  # light from everywhere
SKYLIGHT = 0.21  # more of it for surfaces that face up, less for those that face down
FILL = 0.25  # light without shadows from the side opposite to the lamp, so that sides in the dark differ
LAMP = 0.56  # light of the lamp at a surface that faces it from nearby
LAMP_REACH = 9.0  # scene units at which the lamp has lost half of its light

SKY_HORIZON = (0.74, 0.86, 0.96)
SKY_ZENITH = (0.36, 0.60, 0.92)
BACKDROP_LOW = (0.47, 0.47, 0.48)
BACKDROP_HIGH = (0.63, 0.63, 0.64)


class Hits(NamedTuple):
    """P rays that hit a surface."""

    ray: Tensor  # [P] int64: index of the ray in the chunk
    scene: Tensor  # [P] int64: index of its scene in the chunk
    origin: Vector  # each [P], scene units
    direction: Vector  # each [P], length 1
    distance: Tensor  # [P]

    def footprint(self, normal: Vector, *, sample_angle: float) -> Tensor:
        """Returns the width of the patch of a surface that one sample covers, [P], scene units."""
        # Seen at a slant a sample covers a long strip; 0.2 keeps a far floor from dissolving into one colour.
        slant = dot(normal, self.direction).abs().clamp_min(0.2)
        return self.distance * sample_angle / slant.sqrt()


class Surface(NamedTuple):
    """P points at which rays end."""

    point: Vector  # each [P], scene units
    normal: Vector  # each [P], length 1
    colour: Tensor  # [3, P]: of the material
    scene: Tensor  # [P] int64: index of its scene in the chunk
    item: Tensor  # [P] int64: object of the scene; -1 is the room
    ray: Tensor  # [P] int64: index of the ray in the chunk


def background(upwards: Tensor, *, in_room: bool) -> Tensor:
    """Returns the colour [3, R] of the sky over a room, or of the grey behind floating objects.

    ``upwards`` [R] are the z components of the directions.
    """
    low, high = (SKY_HORIZON, SKY_ZENITH) if in_room else (BACKDROP_LOW, BACKDROP_HIGH)
    amount = (upwards * 1.6).clamp(0.0, 1.0) if in_room else 0.5 + 0.5 * upwards
    return torch.stack([a + amount * (b - a) for a, b in zip(low, high, strict=True)])


def room_distance(
    origin: Vector, direction: Vector, *, half_width: Tensor, wall_height: Tensor
) -> tuple[Tensor, Tensor]:
    """Intersects rays that start inside a room with its walls and its floor.

    Returns:
        Distances [R], infinite where the ray leaves over the walls, and what is hit, [R] int64: 0 a wall across x, 1 a
        wall across y, 2 the floor.
    """
    zero = torch.zeros_like(direction.x)
    wall_x, wall_y = (
        torch.where(part != zero, (half_width - start * part.sign()) / part.abs(), torch.inf)
        for start, part in ((origin.x, direction.x), (origin.y, direction.y))
    )
    floor = torch.where(direction.z < zero, origin.z / -direction.z, torch.inf)
    walls = torch.minimum(wall_x, wall_y)
    over = origin.z + walls * direction.z > wall_height
    walls = torch.where(over, torch.inf, walls)
    axis = torch.where(floor < walls, 2, (wall_y < wall_x).long())
    return torch.minimum(walls, floor), axis


def room_surface(hits: Hits, *, axis: Tensor, texture: Tensor, sample_angle: float) -> Surface:
    """Returns the points of walls and floor that rays hit.

    ``axis`` [P] int64 is that of ``room_distance``, ``texture`` [2, P] int64 those of wall and floor, ``sample_angle``
    the radians between neighbouring samples of an image.
    """
    point = along(hits.origin, hits.direction, hits.distance)
    on_x, on_y, on_floor = axis == 0, axis == 1, axis == 2
    normal = Vector(-hits.direction.x.sign() * on_x, -hits.direction.y.sign() * on_y, on_floor.to(hits.distance.dtype))
    colour = look_up(
        texture_atlas(axis.device),
        texture=torch.where(on_floor, texture[1], texture[0]),
        u=torch.where(on_x, point.y, point.x),
        v=torch.where(on_floor, point.y, point.z),
        footprint=hits.footprint(normal, sample_angle=sample_angle),
    )
    return Surface(point, normal, colour, hits.scene, torch.full_like(axis, -1), hits.ray)


class Illumination(NamedTuple):
    """The lamp as seen from points of surfaces; each [P]."""

    from_lamp: Vector  # from the lamp to the point
    square: Tensor  # of that distance
    facing: Tensor  # from_lamp . normal, negated: positive on the side that the lamp can reach
    fill: Tensor  # cosine between the normal and the direction that the fill light comes from


def illumination(surface: Surface, lamp: Vector) -> Illumination:
    """Relates points to the lamp of their scene, given as [P] each."""
    from_lamp = difference(surface.point, lamp)
    return Illumination(
        from_lamp,
        square=dot(from_lamp, from_lamp),
        facing=-dot(from_lamp, surface.normal),
        fill=-dot(unit(lamp), surface.normal),
    )


def shaded(surface: Surface, light: Illumination, *, in_shadow: Tensor) -> Tensor:
    """Returns the colour [3, P] of points: soft light, and the lamp's by Lambert's law with a slow falloff."""
    strength = light.facing.clamp_min(0.0) / light.square.sqrt()
    strength = LAMP * strength / (1.0 + light.square * (1.0 / LAMP_REACH**2))
    soft = AMBIENT + SKYLIGHT * surface.normal.z + FILL * light.fill.clamp_min(0.0)
    return surface.colour * (soft + torch.where(in_shadow, 0.0, strength))
