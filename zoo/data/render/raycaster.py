"""The ray-caster: scenes and cameras in, images out; batched over scenes, the same code on the CPU and on a GPU.

For each ray: candidate objects (a bounding-sphere test, dense), exact hits (only for the candidate pairs), colour and
normal of the nearest hit, and whether the lamp sees that place (the same two tests with rays that start at the lamp,
only for places that face it).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zoo.data.render.faces import ink_amount
from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.sampling import RayGrid, exact_axes, ray_grid
from zoo.data.render.scene import SceneTensors
from zoo.data.render.shading import (
    Hits,
    Surface,
    backdrop,
    illumination,
    room_distance,
    room_surface,
    shaded,
    sky,
)
from zoo.data.render.textures import texture_atlas
from zoo.data.render.vectors import Vector, along, largest_stretch, transform, transform_transposed, unit
from zoo.data.render.visibility import Sources, in_shadow, nearest_object, seen_from

# Large enough that the cost of starting an operation vanishes, small enough to stay near a core's cache on the CPU and
# to leave the memory of a GPU to the model. Results do not depend on it.
RAYS_PER_CHUNK: Mapping[str, int] = {"cpu": 1 << 17, "cuda": 1 << 22}


def _object_surface(sources: Sources, hits: Hits, *, row: Tensor, sample_angle: float) -> Surface:
    """Returns the points of objects that rays hit, one object (row) per ray."""
    inverse = sources.inverse.index_select(1, row)
    local = along(Vector(*sources.origin.index_select(1, row)), transform(inverse, hits.direction), hits.distance)
    shape = sources.shape[row]
    normal = torch.empty(3, len(row), dtype=hits.distance.dtype, device=row.device)
    for index in torch.unique(sources.shape).tolist():
        own = (shape == index).nonzero().squeeze(1)
        normals = PRIMITIVES[PRIMITIVE_NAMES[index]].normal(Vector(*(part[own] for part in local)))
        normal[:, own] = torch.stack(normals).to(normal)
    outward = unit(transform_transposed(inverse, Vector(*normal)))
    colour = sources.colour.index_select(1, row)
    if sources.texels.shape[1]:
        footprint = hits.footprint(outward, sample_angle=sample_angle) * largest_stretch(inverse)
        ink = ink_amount(sources.texels, row=row, point=local, normal=Vector(*normal), footprint=footprint)
        colour = colour + ink * (sources.ink.index_select(1, row) - colour)
    point = along(hits.origin, hits.direction, hits.distance)
    return Surface(point, outward, colour, hits.scene, row % sources.reach.shape[1], hits.ray)


def _joined(parts: list[Surface]) -> Surface:
    if len(parts) == 1:
        return parts[0]
    points = Vector(*(torch.cat(axis) for axis in zip(*(part.point for part in parts), strict=True)))
    normals = Vector(*(torch.cat(axis) for axis in zip(*(part.normal for part in parts), strict=True)))
    colours = torch.cat([part.colour for part in parts], dim=1)
    rest = (torch.cat(column) for column in zip(*(part[3:] for part in parts), strict=True))
    return Surface(points, normals, colours, *rest)


def _cast(scenes: SceneTensors, *, lamps: Sources, camera: Tensor, axes: Tensor, grid: RayGrid) -> Tensor:
    """Returns the colour [3, B, V, R] of rays, 0 to 1.

    Args:
        scenes: [B].
        lamps: the same scenes as seen from their lamps.
        camera: [B, V, 3], positions.
        axes: [3, 3, B, V], forward, right and up, by component.
        grid: R rays.
    """
    num_scenes, num_views = camera.shape[:2]
    num_rays = len(grid.right)
    shrink = 1.0 / (1.0 + grid.right * grid.right + grid.up * grid.up).sqrt()
    right, up = grid.right * shrink, grid.up * shrink
    forward_axis, right_axis, up_axis = (Vector(*axis.reshape(3, -1, 1)) for axis in axes)
    direction = Vector(
        *(f * shrink + r * right + u * up for f, r, u in zip(forward_axis, right_axis, up_axis, strict=True))
    )
    scene_of_camera = torch.arange(num_scenes, device=camera.device).repeat_interleave(num_views)
    eye = Vector(*camera.reshape(-1, 3, 1).unbind(1))
    sources = seen_from(SceneTensors(*(part[scene_of_camera] for part in scenes)), camera.reshape(-1, 3))
    nearest, item = nearest_object(sources, direction)

    def hits_of(mask: Tensor, distance: Tensor) -> Hits:
        ray = mask.flatten().nonzero().squeeze(1)
        view = ray // num_rays
        return Hits(
            ray,
            scene_of_camera[view],
            origin=Vector(*(part[view, 0] for part in eye)),
            direction=Vector(*(part.flatten()[ray] for part in direction)),
            distance=distance.flatten()[ray],
        )

    in_room = bool((scenes.room_texture[0, 0] >= 0).item())
    upwards = direction.z.flatten()
    colour = sky(upwards) if in_room else backdrop(upwards)
    parts = []
    if in_room:
        size = scenes.room_size[scene_of_camera]
        walls, axis = room_distance(eye, direction, half_width=size[:, :1], wall_height=size[:, 1:])
        hits = hits_of((walls < nearest) & (walls < torch.inf), walls)
        texture = scenes.room_texture.T[:, hits.scene]
        parts.append(
            room_surface(
                texture_atlas(camera.device),
                hits,
                axis=axis.flatten()[hits.ray],
                texture=texture,
                sample_angle=grid.sample_angle,
            )
        )
        nearest = torch.where(walls < nearest, torch.inf, nearest)
    hits = hits_of(nearest < torch.inf, nearest)
    row = hits.ray // num_rays * scenes.shape.shape[1] + item.flatten()[hits.ray]
    parts.append(_object_surface(sources, hits, row=row, sample_angle=grid.sample_angle))
    surface = _joined(parts)
    light = illumination(surface, Vector(*scenes.light.T[:, surface.scene]))
    dark = in_shadow(lamps, surface=surface, light=light)
    colour[:, surface.ray] = shaded(surface, light, in_shadow=dark)
    return colour.clamp(0.0, 1.0).view(3, num_scenes, num_views, num_rays)


def render(
    scenes: SceneTensors,
    *,
    cameras: Tensor,
    image_size: int,
    samples_per_side: int = 2,
) -> Tensor:
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
    grid = ray_grid(image_size, samples_per_side=samples_per_side, device=device)
    axes = exact_axes(cameras, device=device)
    positions = cameras[..., :3].detach().float().to(device)
    budget = max(1, RAYS_PER_CHUNK.get(device.type, RAYS_PER_CHUNK["cpu"]) // grid.rays_per_side**2)
    scene_step, view_step = max(1, budget // num_views), min(num_views, budget)
    frames = torch.empty(num_scenes, num_views, image_size, image_size, 3, dtype=torch.uint8, device=device)
    for first in range(0, num_scenes, scene_step):
        group = slice(first, first + scene_step)
        part = SceneTensors(*(tensor[group] for tensor in scenes))
        lamps = seen_from(part, part.light)
        for view in range(0, num_views, view_step):
            views = slice(view, view + view_step)
            colour = _cast(part, lamps=lamps, camera=positions[group, views], axes=axes[:, :, group, views], grid=grid)
            levels = (grid.sum_samples(colour) * (255.0 / samples_per_side**2) + 0.5).to(torch.uint8)
            frames[group, views] = levels.permute(1, 2, 3, 4, 0)
    return frames
