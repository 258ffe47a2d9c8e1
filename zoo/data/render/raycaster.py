"""The ray-caster: scenes and cameras in, images out; batched over scenes, the same code on the CPU and on a GPU.

For each ray: candidate objects (a bounding-sphere test, dense), exact hits (only for the candidate pairs), colour and
normal of the nearest hit, and whether the lamp sees that place (the same two tests with rays that start at the lamp,
only for places that face it). All rays of one camera start at one point, and so do all rays of one lamp, so values that
depend on the point and the object alone are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.render import shading
from zoo.data.render.faces import ink_amount
from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES, Primitive
from zoo.data.render.sampling import RayGrid, exact_axes, ray_grid
from zoo.data.render.scene import SceneTensors
from zoo.data.render.vectors import Vector, along, dot, largest_stretch, transform, transform_transposed, unit

# Large enough that the cost of starting an operation vanishes, small enough to stay near a core's cache on the CPU and
# to leave the memory of a GPU to the model. Results do not depend on it.
RAYS_PER_CHUNK: Mapping[str, int] = {"cpu": 1 << 17, "cuda": 1 << 22}

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

    def by_shape(self, row: Tensor) -> Iterator[tuple[Primitive, Tensor]]:
        """Yields each shape and which of the objects [P] have it, as indices into ``row``."""
        shape = self.shape[row]
        for index in torch.unique(self.shape).tolist():
            yield PRIMITIVES[PRIMITIVE_NAMES[index]], (shape == index).nonzero().squeeze(1)


def _seen_from(scenes: SceneTensors, points: Tensor) -> Sources:
    """Prepares scenes [G] as seen from points [G, 3]."""
    offset = (scenes.centre - points[:, None]).permute(2, 0, 1).contiguous()
    towards = Vector(*offset)
    clearance = dot(towards, towards) - scenes.bound * scenes.bound
    # From inside a bounding sphere every direction is a candidate; padding is never one.
    reach = torch.where(clearance > 0, clearance.clamp_min(0.0).sqrt(), -torch.inf)
    inverse, colour, ink = (
        part.permute(2, 0, 1).flatten(1).contiguous() for part in (scenes.inverse, scenes.colour, scenes.ink)
    )
    return Sources(
        offset,
        reach=torch.where(scenes.present, reach, torch.inf),
        origin=torch.stack(transform(inverse, Vector(*(-offset.flatten(1))))),
        inverse=inverse,
        shape=scenes.shape.flatten(),
        colour=colour,
        ink=ink,
        texels=scenes.texels.flatten(0, 1),
    )


def _pair_distance(sources: Sources, *, row: Tensor, direction: Vector) -> Tensor:
    """Returns the distance [P] along rays to objects, one object per ray; infinite for a miss."""
    local = transform(sources.inverse.index_select(1, row), direction)
    origin = Vector(*sources.origin.index_select(1, row))
    distance = torch.full_like(local.x, torch.inf)
    for primitive, own in sources.by_shape(row):
        distance[own] = primitive.distance(origin.at(own), local.at(own))
    return distance


def _nearest_object(sources: Sources, direction: Vector) -> tuple[Tensor, Tensor]:
    """Returns the distance to the nearest object and its number k, each [G, R], for directions [G, R] each."""
    num_points, num_rays = direction.x.shape
    num_objects = sources.reach.shape[1]
    depth = direction.x.new_full((num_points, num_objects, num_rays), torch.inf)
    towards = dot(Vector(*(part[:, None] for part in direction)), Vector(*sources.offset[..., None]))
    pair = (towards > sources.reach[:, :, None]).flatten().nonzero().squeeze(1)
    row = pair // num_rays
    ray = pair - row * num_rays + (row // num_objects) * num_rays
    depth.view(-1)[pair] = _pair_distance(sources, row=row, direction=direction.flatten().at(ray))
    nearest, item = depth[:, 0], torch.zeros_like(depth[:, 0], dtype=torch.long)
    for k in range(1, num_objects):
        closer = depth[:, k] < nearest
        nearest = torch.where(closer, depth[:, k], nearest)
        item = torch.where(closer, k, item)
    return nearest, item


def _in_shadow(lamps: Sources, *, surface: shading.Surface, light: shading.Illumination) -> Tensor:
    """Whether an object other than their own hides points from the lamp, [P] bool."""
    dark = torch.zeros_like(light.facing, dtype=torch.bool)
    reached = (light.facing > 0).nonzero().squeeze(1)
    scene, item = surface.scene[reached], surface.item[reached]
    ray = light.from_lamp.at(reached)
    length = light.square[reached].sqrt()
    num_scenes, num_objects = lamps.reach.shape
    for k in range(num_objects):
        offset, reach = lamps.offset[:, :, k], lamps.reach[:, k]
        if num_scenes > 1:
            offset, reach = offset.index_select(1, scene), reach[scene]
        # The solids are convex: where a surface faces the lamp its own object is not in the way.
        candidate = ((dot(ray, Vector(*offset)) > reach * length) & (item != k)).nonzero().squeeze(1)
        row = scene[candidate] * num_objects + k
        distance = _pair_distance(lamps, row=row, direction=ray.at(candidate))
        dark[reached[candidate[distance < 1.0 - SHADOW_MARGIN]]] = True
    return dark


def _object_surface(sources: Sources, hits: shading.Hits, *, row: Tensor, sample_angle: float) -> shading.Surface:
    """Returns the points of objects that rays hit, one object (row) per ray."""
    inverse = sources.inverse.index_select(1, row)
    local = along(Vector(*sources.origin.index_select(1, row)), transform(inverse, hits.direction), hits.distance)
    normal = torch.empty(3, len(row), dtype=hits.distance.dtype, device=row.device)
    for primitive, own in sources.by_shape(row):
        normal[:, own] = torch.stack(primitive.normal(local.at(own))).to(normal)
    outward = unit(transform_transposed(inverse, Vector(*normal)))
    colour = sources.colour.index_select(1, row)
    if sources.texels.shape[1]:
        footprint = hits.footprint(outward, sample_angle=sample_angle) * largest_stretch(inverse)
        ink = ink_amount(sources.texels, row=row, point=local, normal=Vector(*normal), footprint=footprint)
        colour = colour + ink * (sources.ink.index_select(1, row) - colour)
    point = along(hits.origin, hits.direction, hits.distance)
    return shading.Surface(point, outward, colour, hits.scene, row % sources.reach.shape[1], hits.ray)


def _joined(surfaces: Sequence[shading.Surface]) -> shading.Surface:
    points, normals, *rest = zip(*surfaces, strict=True)
    point, normal = (Vector(*(torch.cat(part) for part in zip(*vectors, strict=True))) for vectors in (points, normals))
    return shading.Surface(point, normal, *(torch.cat(column, dim=-1) for column in rest))


def _cast(scenes: SceneTensors, *, lamps: Sources, camera: Tensor, axes: Tensor, grid: RayGrid) -> Tensor:
    """Returns the colour [3, B, V, R] of R rays, 0 to 1.

    ``lamps`` are the scenes [B] as seen from their lamps, ``camera`` [B, V, 3] positions and ``axes`` [3, 3, B, V]
    forward, right and up, by component.
    """
    num_scenes, num_views = camera.shape[:2]
    num_rays = len(grid.right)
    shrink = 1.0 / (1.0 + grid.right * grid.right + grid.up * grid.up).sqrt()
    right, up = grid.right * shrink, grid.up * shrink
    direction = Vector(*(f * shrink + r * right + u * up for f, r, u in zip(*axes.reshape(3, 3, -1, 1), strict=True)))
    scene_of_camera = torch.arange(num_scenes, device=camera.device).repeat_interleave(num_views)
    eye = Vector(*camera.reshape(-1, 3, 1).unbind(1))
    sources = _seen_from(SceneTensors(*(part[scene_of_camera] for part in scenes)), camera.reshape(-1, 3))
    nearest, item = _nearest_object(sources, direction)

    def hits_of(distance: Tensor, mask: Tensor) -> shading.Hits:
        ray = mask.flatten().nonzero().squeeze(1)
        view = ray // num_rays
        start = Vector(*(part[view, 0] for part in eye))
        return shading.Hits(ray, scene_of_camera[view], start, direction.flatten().at(ray), distance.flatten()[ray])

    in_room = bool((scenes.room_texture[0, 0] >= 0).item())
    colour = shading.background(direction.z.flatten(), in_room=in_room)
    surfaces = []
    if in_room:
        size = scenes.room_size[scene_of_camera]
        walls, axis = shading.room_distance(eye, direction, half_width=size[:, :1], wall_height=size[:, 1:])
        hits = hits_of(walls, (walls < nearest) & (walls < torch.inf))
        texture = scenes.room_texture.T[:, hits.scene]
        axis = axis.flatten()[hits.ray]
        surfaces.append(shading.room_surface(hits, axis=axis, texture=texture, sample_angle=grid.sample_angle))
        nearest = torch.where(walls < nearest, torch.inf, nearest)
    hits = hits_of(nearest, nearest < torch.inf)
    row = hits.ray // num_rays * scenes.shape.shape[1] + item.flatten()[hits.ray]
    surfaces.append(_object_surface(sources, hits, row=row, sample_angle=grid.sample_angle))
    surface = _joined(surfaces)
    light = shading.illumination(surface, Vector(*scenes.light.T[:, surface.scene]))
    dark = _in_shadow(lamps, surface=surface, light=light)
    colour[:, surface.ray] = shading.shaded(surface, light, in_shadow=dark)
    return colour.clamp(0.0, 1.0).view(3, num_scenes, num_views, num_rays)


def render(scenes: SceneTensors, *, cameras: Tensor, image_size: int, samples_per_side: int = 2) -> Tensor:
    """Renders every camera of every scene.

    Args:
        scenes: [B], all with a room or all without.
        cameras: [B, V, 5], see ``zoo.data.camera``; any device and floating-point type.
        image_size: height and width, pixels.
        samples_per_side: a pixel is the mean of the square of this many rays.

    Returns:
        [B, V, H, W, 3] uint8 on the device of the scenes.
    """
    device = scenes.light.device
    num_scenes, num_views = cameras.shape[:2]
    grid = ray_grid(image_size, device=device, samples_per_side=samples_per_side)
    axes = exact_axes(cameras, device=device)
    positions = cameras[..., :3].detach().float().to(device)
    budget = max(1, RAYS_PER_CHUNK.get(device.type, RAYS_PER_CHUNK["cpu"]) // len(grid.right))
    scene_step, view_step = max(1, budget // num_views), min(num_views, budget)
    frames = torch.empty(num_scenes, num_views, image_size, image_size, 3, dtype=torch.uint8, device=device)
    for first in range(0, num_scenes, scene_step):
        group = slice(first, first + scene_step)
        part = SceneTensors(*(tensor[group] for tensor in scenes))
        lamps = _seen_from(part, part.light)
        for view in range(0, num_views, view_step):
            views = slice(view, view + view_step)
            colour = _cast(part, lamps=lamps, camera=positions[group, views], axes=axes[:, :, group, views], grid=grid)
            levels = (grid.sum_samples(colour) * (255.0 / samples_per_side**2) + 0.5).to(torch.uint8)
            frames[group, views] = levels.permute(1, 2, 3, 4, 0)
    return frames
