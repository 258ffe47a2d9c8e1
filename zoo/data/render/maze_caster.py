"""Images of mazes: walls, floor and sky, for cameras inside and for cameras that look down from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.maze_layout import HALF_WIDTH, SIZE, Maze
from zoo.data.render.maze_light import (
    FLOOR,
    NORMALS,
    NUM_KINDS,
    SKY_STEPS,
    STEP_BACK,
    TOP,
    WALL_HEIGHT,
    MazeLight,
    in_shadow,
    sky_colours,
    stack_lights,
)
from zoo.data.render.maze_march import FAR, march, off_zero
from zoo.data.render.maze_textures import coping_index, hued_atlas, hued_index, look_up
from zoo.data.render.sampling import camera_chunks, exact_axes, ray_grid
from zoo.data.render.vectors import Vector

# Small enough that a chunk stays near a core's cache. Results do not depend on it.
RAYS_PER_CHUNK: Mapping[str, int] = {"cpu": 1 << 15, "cuda": 1 << 21}


class MazeTensors(NamedTuple):
    """S mazes."""

    room_ahead: Tensor  # [S * 81] float32: 0 for a solid cell, FAR for a free one
    texture: Tensor  # [S * 81 * 6] int32: of each kind of surface in a cell
    light: MazeLight


class _View(NamedTuple):
    """C cameras with R rays each."""

    scene: Tensor  # [C, 1] int32
    position: Vector  # [C, 1] each
    direction: Vector  # [C, R] each, 1 along the forward axis; none is 0
    length: Tensor  # [R]: of these directions


class _Hit(NamedTuple):
    """The surfaces that rays hit; each [C, R]."""

    distance: Tensor  # from the camera, in lengths of the direction
    cell: Tensor  # int32: scene * 81 + row * 9 + column
    kind: Tensor  # int32
    is_sky: Tensor  # bool: the other fields then have no meaning


def _textures(maze: Maze) -> np.ndarray:
    """Returns the texture of each kind of surface in each cell, [9, 9, 6]."""
    zones = np.array(maze.zones)
    walls = np.array([hued_index(item) for item in maze.walls])
    floors = np.array([hued_index(item) for item in maze.floors])
    own = np.full((SIZE, SIZE), -1)
    for cell, item in maze.panels:
        own[cell] = hued_index(item)
    textures = np.zeros((SIZE, SIZE, NUM_KINDS), np.int32)
    for kind, (x, y, _) in enumerate(NORMALS[:4]):
        # A wall has the texture of the free cell that it faces.
        facing = np.roll(zones, (-y, -x), axis=(0, 1)).clip(0)
        textures[..., kind] = np.where(own >= 0, own, walls[facing])
    textures[..., FLOOR] = floors[zones.clip(0)]
    textures[..., TOP] = coping_index()
    return textures


def stack_mazes(mazes: Sequence[Maze], *, device: torch.device | str = "cpu") -> MazeTensors:
    """Packs mazes for the renderer."""
    room = np.concatenate([np.where(maze.free, FAR, 0.0).ravel() for maze in mazes]).astype(np.float32)
    texture = np.concatenate([_textures(maze).ravel() for maze in mazes])
    return MazeTensors(
        torch.from_numpy(room).to(device), torch.from_numpy(texture).to(device), stack_lights(mazes, device=device)
    )


def _meet(mazes: MazeTensors, view: _View) -> _Hit:
    """Finds where rays end."""
    direction = view.direction
    shape = direction.x.shape
    x, y, z = view.position
    downwards = direction.z < 0
    start = torch.zeros_like(z)
    if bool((z > WALL_HEIGHT).any()):
        # Rays of a camera above the walls begin where they come down to the level of the tops.
        start = (((WALL_HEIGHT - z) / direction.z) * (z > WALL_HEIGHT)).clamp_min(0.0)
        x, y, z = x + start * direction.x, y + start * direction.y, z.clamp_max(WALL_HEIGHT)
    column = (x + HALF_WIDTH).floor().clamp(0, SIZE - 1)
    row = (y + HALF_WIDTH).floor().clamp(0, SIZE - 1)
    cell = view.scene * SIZE**2 + (row * SIZE + column).int()
    on_top = mazes.room_ahead.index_select(0, cell.flatten()).view(cell.shape) == 0
    limit = ((WALL_HEIGHT * ~downwards - z) / direction.z) * ~on_top
    arrival = march(
        mazes.room_ahead,
        x=x.expand(shape).flatten(),
        y=y.expand(shape).flatten(),
        cell=cell.expand(shape).flatten(),
        direction=Vector(*(part.flatten() for part in direction)),
        limit=limit.flatten(),
    )
    end = arrival.cell.view(shape)
    solid = mazes.room_ahead.index_select(0, arrival.cell).view(shape) == 0
    wall = torch.where(arrival.along_x.view(shape), (direction.x < 0).int(), 2 + (direction.y < 0).int())
    kind = torch.where(solid, torch.where(on_top, TOP, wall), FLOOR)
    is_sky = ~downwards & (~solid | on_top)
    return _Hit(arrival.distance.view(shape) + start, end, kind.int(), is_sky)


def _shade(mazes: MazeTensors, view: _View, hit: _Hit, *, angle: float) -> tuple[Tensor, Tensor]:
    """Returns the packed colours int32 and the brightness of rays, [C, R] each."""
    direction = view.direction
    device = direction.x.device
    shape = direction.x.shape
    x, y, z = (p + hit.distance * d for p, d in zip(view.position, direction, strict=True))
    across_x = hit.kind < 2
    upright = hit.kind < FLOOR
    slant = torch.where(upright, torch.where(across_x, direction.x, direction.y), direction.z).abs()
    # Seen at a slant a sample covers a long strip; 0.2 keeps the far floor from dissolving into one colour.
    footprint = hit.distance * (view.length * angle) / (slant / view.length).clamp_min(0.2).sqrt()
    texels = look_up(
        hued_atlas(device),
        number=mazes.texture.index_select(0, (hit.cell * NUM_KINDS + hit.kind).flatten()),
        # A tile begins where its cell does.
        u=(torch.where(across_x, y, x) + HALF_WIDTH).flatten(),
        v=torch.where(upright, z, y + HALF_WIDTH).flatten(),
        footprint=footprint.flatten(),
    ).view(shape)
    sun = mazes.light.sun[:, view.scene.flatten(), None]
    back = hit.distance * (1.0 - STEP_BACK)
    dark = in_shadow(
        mazes.room_ahead,
        x=view.position.x + back * direction.x,
        y=view.position.y + back * direction.y,
        z=z,
        scene=view.scene,
        sun=sun,
    )
    of_kind = (view.scene * NUM_KINDS + hit.kind).flatten()
    light = mazes.light.direct.index_select(0, of_kind).view(shape) * ~dark
    light = light + mazes.light.soft.index_select(0, of_kind).view(shape)
    upwards = (direction.z / view.length * 1.6).clamp(0.0, 1.0)
    sky = sky_colours(device).index_select(0, (upwards * (SKY_STEPS - 1)).int().flatten()).view(shape)
    return torch.where(hit.is_sky, sky, texels), torch.where(hit.is_sky, 1.0, light)


def render_mazes(mazes: MazeTensors, *, cameras: Tensor, image_size: int, samples_per_side: int = 2) -> Tensor:
    """Renders cameras [B, V, 5] of B mazes, [B, V, H, W, 3] uint8; see :func:`zoo.data.render.raycaster.render`.

    Each camera is in a free cell below the tops of the walls, or above them.
    """
    device = mazes.room_ahead.device
    num_scenes, num_views = cameras.shape[:2]
    num_cameras = num_scenes * num_views
    grid = ray_grid(image_size, samples_per_side=samples_per_side, device=device)
    length = (1.0 + grid.right * grid.right + grid.up * grid.up).sqrt()
    axes = exact_axes(cameras, device=device).flatten(2)
    positions = cameras[..., :3].detach().reshape(-1, 3).float().to(device)
    owner = torch.arange(num_scenes, dtype=torch.int32, device=device).repeat_interleave(num_views)
    frames = torch.empty(num_cameras, image_size, image_size, 3, dtype=torch.uint8, device=device)
    for part in camera_chunks(num_cameras, grid, rays_per_chunk=RAYS_PER_CHUNK.get(device.type, RAYS_PER_CHUNK["cpu"])):
        forward_axis, right_axis, up_axis = axes[:, :, part, None]
        direction = (
            f + r * grid.right + u * grid.up for f, r, u in zip(forward_axis, right_axis, up_axis, strict=True)
        )
        view = _View(
            owner[part, None],
            Vector(*positions[part].T[:, :, None]),
            Vector(*(off_zero(component) for component in direction)),
            length,
        )
        packed, light = _shade(mazes, view, _meet(mazes, view), angle=grid.sample_angle)
        light = light * (1.0 / samples_per_side**2)
        for channel in range(3):
            total = grid.sum_samples(((packed >> (8 * channel)) & 255) * light)
            frames[part, ..., channel] = (total + 0.5).clamp_max(255.0).to(torch.uint8)
    return frames.view(num_scenes, num_views, image_size, image_size, 3)
