"""Ray intersections against an oracle that shares nothing with them: is a point inside the shape?"""

import numpy as np
import pytest
import torch

from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.vectors import Vector, along, difference, dot, unit

INRADIUS = (3 + 5**0.5) / (4 * 3**0.5) / (0.25 * (10 + 2 * 5**0.5) ** 0.5)  # of the circumscribed radius: 0.79465


def sphere_points(count, seed=0):
    points = torch.randn(3, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points / points.norm(dim=0)


def icosahedron_faces():
    """The outward unit normals of the faces, [F, 3], as the shape itself reports them."""
    normals = unit(PRIMITIVES["icosahedron"].normal(Vector(*sphere_points(5000))))
    return np.unique(torch.stack(normals, dim=1).numpy().round(6), axis=0)


def inside_icosahedron(x, y, z):
    return (np.einsum("fc,c...->f...", icosahedron_faces(), np.stack([x, y, z])) <= INRADIUS).all(0)


INSIDE = {
    "box": lambda x, y, z: (abs(x) <= 1) & (abs(y) <= 1) & (abs(z) <= 1),
    "sphere": lambda x, y, z: x * x + y * y + z * z <= 1,
    "cylinder": lambda x, y, z: (np.hypot(x, y) <= 1) & (abs(z) <= 1),
    "capsule": lambda x, y, z: x * x + y * y + (z - np.clip(z, -1, 1)) ** 2 <= 1,
    "cone": lambda x, y, z: (abs(z) <= 1) & (np.hypot(x, y) <= (1 - z) / 2),
    "triangle": lambda x, y, z: (abs(y) <= 1) & (z >= -1) & (z <= 1 - 2 * abs(x)),
    "icosahedron": inside_icosahedron,
}


def inside(name, point):
    return INSIDE[name](*(part.numpy() for part in point))


def rays_around(count):
    """Rays from all sides, some of which hit a shape of radius 1 or 2 and some of which miss."""
    origin, target = 5 * sphere_points(count), 1.5 * sphere_points(count, seed=1)
    return Vector(*origin), unit(difference(Vector(*target), Vector(*origin)))


def test_every_shape_has_an_oracle():
    assert set(INSIDE) == set(PRIMITIVE_NAMES)
    assert len(PRIMITIVE_NAMES) == 7


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
def test_distance_is_where_the_ray_enters(name):
    origin, direction = rays_around(2000)
    distance = PRIMITIVES[name].distance(origin, direction)
    hit = distance < torch.inf
    assert 100 < hit.sum() < 1900
    origin_hit, direction_hit = (Vector(*(part[hit] for part in v)) for v in (origin, direction))
    before = along(origin_hit, direction_hit, distance[hit] - 1e-5)
    after = along(origin_hit, direction_hit, distance[hit] + 1e-5)
    # A ray that only grazes an edge may be out again after the step.
    assert not inside(name, before).any()
    assert inside(name, after).mean() > 0.99
    steps = torch.linspace(0.0, 10.0, 400, dtype=torch.float64)[:, None]
    on_the_way = inside(name, along(origin, direction, steps))
    behind = steps.numpy() >= distance.numpy() - 1e-5
    assert not (on_the_way & ~behind).any()


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
def test_normal_points_outwards_and_lies_across_the_surface(name):
    shape = PRIMITIVES[name]
    origin, direction = rays_around(2000)
    distance = shape.distance(origin, direction)
    hit = distance < torch.inf
    origin, direction = (Vector(*(part[hit] for part in v)) for v in (origin, direction))
    point = along(origin, direction, distance[hit])
    normal = unit(shape.normal(point))
    assert (dot(normal, direction) < 1e-9).all()
    step = torch.full_like(distance[hit], 1e-6)
    assert not inside(name, along(point, normal, step)).any()
    # A neighbouring ray meets the same face a little further: that way is at right angles to the normal.
    shift = 1e-5 * sphere_points(int(hit.sum()), seed=2)
    aside = Vector(*(a + b for a, b in zip(origin, shift, strict=True)))
    neighbour = shape.distance(aside, direction)
    near = (neighbour - distance[hit]).abs() < 1e-3
    way = difference(along(aside, direction, neighbour), point)
    tilt = (dot(way, normal).abs() / dot(way, way).sqrt())[near]
    assert near.double().mean() > 0.95
    assert tilt.quantile(0.95) < 1e-3


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
def test_extents_are_those_of_the_surface(name):
    shape = PRIMITIVES[name]
    origin = Vector(*(5 * sphere_points(200_000)))
    direction = unit(Vector(*(-part for part in origin)))
    distance = shape.distance(origin, direction)
    assert (distance < torch.inf).all()
    point = along(origin, direction, distance)
    assert dot(point, point).sqrt().max().item() == pytest.approx(shape.bound, rel=0.01)
    assert dot(point, point).sqrt().max().item() <= shape.bound + 1e-9
    assert -point.z.min().item() == pytest.approx(shape.half_height, rel=0.01)
    assert torch.hypot(point.x, point.y).max().item() == pytest.approx(shape.half_width, rel=0.01)


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
def test_a_ray_that_starts_inside_or_leads_away_hits_nothing(name):
    direction = Vector(*sphere_points(100))
    inside_start = Vector(*(torch.full((100,), value, dtype=torch.float64) for value in (0.01, 0.02, -0.03)))
    assert (PRIMITIVES[name].distance(inside_start, direction) == torch.inf).all()
    away = Vector(*(5.0 * part for part in direction))
    assert (PRIMITIVES[name].distance(away, direction) == torch.inf).all()


@pytest.mark.parametrize("name", PRIMITIVE_NAMES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rays_parallel_to_an_axis_are_not_lost(name, axis, sign):
    """Zero components must not become 0 * infinity."""
    start, direction = torch.zeros(3, 1), torch.zeros(3, 1)
    start[axis], direction[axis] = -5.0 * sign, sign
    distance = PRIMITIVES[name].distance(Vector(*start), Vector(*direction))
    middle = along(Vector(*start), Vector(*direction), distance + 1e-3)
    assert 2.9 < distance.item() < 4.6
    assert inside(name, middle).all()
    start[(axis + 1) % 3] = 3.0
    assert PRIMITIVES[name].distance(Vector(*start), Vector(*direction)).item() == torch.inf


def test_the_icosahedron_is_regular_and_lies_on_a_face():
    faces = icosahedron_faces()
    assert faces.shape == (20, 3)
    assert np.abs(faces - [0, 0, -1]).sum(1).min() < 1e-5
    cosines = np.sort(faces @ faces.T, axis=1)[:, -4:-1]
    np.testing.assert_allclose(cosines, 5**0.5 / 3, atol=1e-5)  # each face has three neighbours at 41.8 degrees
    assert PRIMITIVES["icosahedron"].half_height == pytest.approx(INRADIUS, abs=1e-6)
