"""The solid shapes, each in one canonical size and place.

An object of a scene is a shape under an affine map (scale, turn, shift). Rays are transformed into the frame of the shape,
where the distance along the ray keeps its value because the direction is not renormalised. So one function per shape
serves every size and orientation:

==============  =====================================================================================================
box             |x|, |y|, |z| <= 1
sphere          radius 1
cylinder        radius 1, |z| <= 1
capsule         radius 1 round the segment from z = -1 to z = 1 (so 2 wide and 4 high)
cone            base of radius 1 at z = -1, apex at z = 1
icosahedron     circumscribed radius 1, lying on a face
triangle        triangular prism: in the x-z plane the triangle (-1, -1), (1, -1), (0, 1); |y| <= 1
==============  =====================================================================================================

All are convex. A ray that starts inside a shape does not see it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.vectors import Vector, along, dot, off_zero

SMALLEST_DIRECTION = 1e-9


@dataclass(frozen=True)
class Primitive:
    """A shape in its canonical frame."""

    distance: Callable[[Vector, Vector], Tensor]  # (origin, direction) -> [P], where the ray enters, inf for a miss
    normal: Callable[[Vector], Vector]  # point on the surface -> outward normal there, of any length
    bound: float  # radius of the smallest sphere round the origin that holds the shape
    half_height: float  # how far the shape reaches below its origin, and so the height of the origin above a floor
    half_width: float  # how far it reaches sideways from the z axis


def _entered(near: Tensor, far: Tensor) -> Tensor:
    return torch.where((near <= far) & (near > 0), near, torch.inf)


def _slab(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where the ray enters and leaves the slab from -1 to 1."""
    inverse = 1.0 / off_zero(direction, SMALLEST_DIRECTION)
    middle, half = -origin * inverse, inverse.abs()
    return middle - half, middle + half


def _quadratic(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the smaller and larger root of a t^2 + 2 b t + c for a >= 0; without real roots an empty interval."""
    a = a.clamp_min(SMALLEST_DIRECTION**2)
    discriminant = b * b - a * c
    root = discriminant.clamp_min(0.0).sqrt()
    inverse = 1.0 / a
    near = torch.where(discriminant >= 0, (-b - root) * inverse, torch.inf)
    return near, torch.where(discriminant >= 0, (root - b) * inverse, -torch.inf)


def _box_distance(origin: Vector, direction: Vector) -> Tensor:
    near_x, far_x = _slab(origin.x, direction.x)
    near_y, far_y = _slab(origin.y, direction.y)
    near_z, far_z = _slab(origin.z, direction.z)
    near = torch.maximum(torch.maximum(near_x, near_y), near_z)
    return _entered(near, torch.minimum(torch.minimum(far_x, far_y), far_z))


def _box_normal(point: Vector) -> Vector:
    x, y, z = point.x.abs(), point.y.abs(), point.z.abs()
    on_x = (x >= y) & (x >= z)
    on_y = ~on_x & (y >= z)
    on_z = ~on_x & ~on_y
    return Vector(point.x.sign() * on_x, point.y.sign() * on_y, point.z.sign() * on_z)


def _ball(origin: Vector, direction: Vector, *, height: float = 0.0) -> tuple[Tensor, Tensor]:
    """Returns where the ray enters and leaves the sphere of radius 1 round (0, 0, height)."""
    offset = Vector(origin.x, origin.y, origin.z - height)
    return _quadratic(dot(direction, direction), dot(offset, direction), dot(offset, offset) - 1.0)


def _rod(origin: Vector, direction: Vector) -> tuple[Tensor, Tensor]:
    """Returns where the ray enters and leaves the cylinder of radius 1 between z = -1 and z = 1."""
    a = direction.x * direction.x + direction.y * direction.y
    b = origin.x * direction.x + origin.y * direction.y
    c = origin.x * origin.x + origin.y * origin.y - 1.0
    near_tube, far_tube = _quadratic(a, b, c)
    near_cap, far_cap = _slab(origin.z, direction.z)
    return torch.maximum(near_tube, near_cap), torch.minimum(far_tube, far_cap)


def _cylinder_normal(point: Vector) -> Vector:
    radius = (point.x * point.x + point.y * point.y).sqrt()
    on_cap = point.z.abs() > radius
    return Vector(point.x * ~on_cap, point.y * ~on_cap, point.z.sign() * on_cap)


def _capsule_distance(origin: Vector, direction: Vector) -> Tensor:
    # The three parts overlap and their union is convex: the ray is inside from the first entry to the last exit.
    near, far = _rod(origin, direction)
    missed = near > far
    near, far = torch.where(missed, torch.inf, near), torch.where(missed, -torch.inf, far)
    for height in (-1.0, 1.0):
        near_end, far_end = _ball(origin, direction, height=height)
        near, far = torch.minimum(near, near_end), torch.maximum(far, far_end)
    return _entered(near, far)


def _capsule_normal(point: Vector) -> Vector:
    return Vector(point.x, point.y, point.z - point.z.clamp(-1.0, 1.0))


def _cone_distance(origin: Vector, direction: Vector) -> Tensor:
    # The side is x^2 + y^2 = ((1 - z) / 2)^2. Its quadratic may have any leading sign, so the roots are taken in the
    # form that divides by whichever of the two numbers is safe; a root that is not a number fails the test below.
    below_apex = 1.0 - origin.z
    a = direction.x * direction.x + direction.y * direction.y - 0.25 * (direction.z * direction.z)
    b = origin.x * direction.x + origin.y * direction.y + 0.25 * (below_apex * direction.z)
    c = origin.x * origin.x + origin.y * origin.y - 0.25 * (below_apex * below_apex)
    discriminant = b * b - a * c
    root = discriminant.clamp_min(0.0).sqrt()
    q = -(b + torch.where(b >= 0, root, -root))
    nearest = torch.full_like(b, torch.inf)
    for candidate in (q / a, c / q):
        z = origin.z + candidate * direction.z
        on_side = (discriminant >= 0) & (candidate > 0) & (z >= -1.0) & (z <= 1.0)
        nearest = torch.where(on_side & (candidate < nearest), candidate, nearest)
    base = (-1.0 - origin.z) / off_zero(direction.z, SMALLEST_DIRECTION)
    point = along(origin, direction, base)
    on_base = (base > 0) & (point.x * point.x + point.y * point.y <= 1.0)
    nearest = torch.where(on_base & (base < nearest), base, nearest)
    outside = (origin.z < -1.0) | (c > 0) | (origin.z > 1.0)
    return torch.where(outside, nearest, torch.inf)


def _cone_normal(point: Vector) -> Vector:
    radius = (point.x * point.x + point.y * point.y).sqrt()
    above_side = radius - 0.5 * (1.0 - point.z)
    on_base = (-1.0 - point.z) > above_side
    side_z = 0.25 * (1.0 - point.z)
    return Vector(point.x * ~on_base, point.y * ~on_base, torch.where(on_base, -1.0, side_z))


def _polyhedron(vertices: np.ndarray, normals: np.ndarray) -> Primitive:
    offsets = (vertices @ normals.T).max(0)

    def planes(device: torch.device) -> tuple[Vector, Tensor]:
        columns = torch.tensor(normals.T.astype(np.float32), device=device)[..., None]
        return Vector(*columns), torch.tensor(offsets.astype(np.float32), device=device)[:, None]

    def distance(origin: Vector, direction: Vector) -> Tensor:
        sides, limits = planes(origin.x.device)
        speed = off_zero(dot(sides, direction), SMALLEST_DIRECTION)
        crossing = (limits - dot(sides, origin)) / speed
        near = torch.where(speed < 0, crossing, -torch.inf).amax(0)
        return _entered(near, torch.where(speed > 0, crossing, torch.inf).amin(0))

    def normal(point: Vector) -> Vector:
        sides, limits = planes(point.x.device)
        face = (dot(sides, point) - limits).argmax(0)
        return Vector(*(side[face, 0] for side in sides))

    return Primitive(
        distance,
        normal,
        bound=float(np.linalg.norm(vertices, axis=1).max()),
        half_height=float(-vertices[:, 2].min()),
        half_width=float(np.hypot(vertices[:, 0], vertices[:, 1]).max()),
    )


def _icosahedron() -> Primitive:
    golden = (1.0 + 5.0**0.5) / 2.0
    corners = [(0.0, a, b * golden) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    vertices = np.array([np.roll(corner, shift) for corner in corners for shift in range(3)])
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    edge = min(np.linalg.norm(a - b) for a, b in itertools.combinations(vertices, 2))
    faces = [
        sum(triple)
        for triple in itertools.combinations(vertices, 3)
        if all(np.linalg.norm(a - b) < 1.01 * edge for a, b in itertools.combinations(triple, 2))
    ]
    normals = np.array(faces) / np.linalg.norm(faces, axis=1, keepdims=True)
    # A frame whose third axis is opposite to a face normal puts that face on the floor.
    down = -normals[0]
    sideways = np.cross(down, [1.0, 0.0, 0.0])
    sideways /= np.linalg.norm(sideways)
    frame = np.stack([np.cross(sideways, down), sideways, down], axis=1)
    return _polyhedron(vertices @ frame, normals @ frame)


def _triangle() -> Primitive:
    vertices = np.array([(x, y, z) for y in (-1.0, 1.0) for x, z in ((-1.0, -1.0), (1.0, -1.0), (0.0, 1.0))])
    slope, rise = 2.0 / 5.0**0.5, 1.0 / 5.0**0.5
    normals = np.array([(0, 0, -1), (slope, 0, rise), (-slope, 0, rise), (0, 1, 0), (0, -1, 0)], dtype=float)
    return _polyhedron(vertices, normals)


PRIMITIVES: Mapping[str, Primitive] = {
    "box": Primitive(_box_distance, _box_normal, bound=3.0**0.5, half_height=1.0, half_width=2.0**0.5),
    "sphere": Primitive(
        lambda o, d: _entered(*_ball(o, d)), lambda point: point, bound=1.0, half_height=1.0, half_width=1.0
    ),
    "cylinder": Primitive(
        lambda o, d: _entered(*_rod(o, d)), _cylinder_normal, bound=2.0**0.5, half_height=1.0, half_width=1.0
    ),
    "capsule": Primitive(_capsule_distance, _capsule_normal, bound=2.0, half_height=2.0, half_width=1.0),
    "cone": Primitive(_cone_distance, _cone_normal, bound=2.0**0.5, half_height=1.0, half_width=1.0),
    "icosahedron": _icosahedron(),
    "triangle": _triangle(),
}
PRIMITIVE_NAMES = tuple(PRIMITIVES)
