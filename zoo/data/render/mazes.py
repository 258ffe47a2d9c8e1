"""Mazes: cameras look around in one or two rooms joined by corridors under an open sky; and the maze from above.

The data set ``mazes`` of Eslami et al., Science 360:1204, 2018: a grid of 7 x 7 cells, rooms two or three cells wide,
random textures of walls and floors, 300 images taken at random places and in random directions. The published
images are 84 pixels wide. Mazes, textures and light are our own; the layouts of the three splits share none, however
turned or mirrored, so that a model is tested in mazes whose shape it has not seen.

The map is one more image of the same maze by the same camera model: a camera high above the middle that looks
straight down. North (+y) is up and east (+x) is right. A model can be queried for it at ``map_camera``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.built_in import BuiltIn, DrawnScene, Rendering, stack_cameras
from zoo.data.camera import IMAGE_HALF_WIDTH
from zoo.data.factors.maze_factors import MazeFactors
from zoo.data.render import maze_surfaces
from zoo.data.render.maze_layout import HALF_WIDTH, INNER_SIZE, SIZE, WALL_HEIGHT, Maze, draw_cameras, draw_maze
from zoo.data.render.maze_march import march
from zoo.data.render.sampling import exact_axes, ray_grid, render_chunks
from zoo.data.render.textures import take
from zoo.data.render.vectors import Vector, off_zero
from zoo.data.source import MAP, MAP_CAMERA, ExtraShape, Split, map_shapes

# The map shows the tops of the walls out to half of the ring round the cells.
MAP_HALF_WIDTH = (INNER_SIZE + 1) / 2.0
CAMERA_ABOVE = (0.0, 0.0, WALL_HEIGHT + MAP_HALF_WIDTH / IMAGE_HALF_WIDTH, math.pi / 2.0, -math.pi / 2.0)

SMALLEST_DIRECTION = 1e-6


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


def _meet(mazes: maze_surfaces.MazeTensors, view: _View) -> _Hit:
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
    on_top = take(mazes.room_ahead, cell) == 0
    limit = ((WALL_HEIGHT * ~downwards - z) / direction.z) * ~on_top
    arrival = march(
        mazes.room_ahead,
        x=x.expand(shape).flatten(),
        y=y.expand(shape).flatten(),
        cell=cell.expand(shape).flatten(),
        direction=direction.flatten(),
        limit=limit.flatten(),
    )
    end = arrival.cell.view(shape)
    solid = take(mazes.room_ahead, end) == 0
    wall = torch.where(arrival.along_x.view(shape), (direction.x < 0).int(), 2 + (direction.y < 0).int())
    kind = torch.where(solid, torch.where(on_top, maze_surfaces.TOP, wall), maze_surfaces.FLOOR)
    is_sky = ~downwards & (~solid | on_top)
    return _Hit(arrival.distance.view(shape) + start, end, kind.int(), is_sky)


def _shade(mazes: maze_surfaces.MazeTensors, view: _View, hit: _Hit, *, angle: float) -> tuple[Tensor, Tensor]:
    """Returns the packed colours int32 and the brightness of rays, [C, R] each."""
    direction = view.direction
    device = direction.x.device
    x, y, z = (p + hit.distance * d for p, d in zip(view.position, direction, strict=True))
    across_x = hit.kind < 2
    upright = hit.kind < maze_surfaces.FLOOR
    slant = torch.where(upright, torch.where(across_x, direction.x, direction.y), direction.z).abs()
    # Seen at a slant a sample covers a long strip; 0.2 keeps the far floor from dissolving into one colour.
    footprint = hit.distance * (view.length * angle) / (slant / view.length).clamp_min(0.2).sqrt()
    texels = maze_surfaces.look_up(
        maze_surfaces.hued_atlas(device),
        number=take(mazes.texture, hit.cell * maze_surfaces.NUM_KINDS + hit.kind),
        # A tile begins where its cell does.
        u=torch.where(across_x, y, x) + HALF_WIDTH,
        v=torch.where(upright, z, y + HALF_WIDTH),
        footprint=footprint,
    )
    back = hit.distance * (1.0 - maze_surfaces.STEP_BACK)
    dark = maze_surfaces.in_shadow(
        mazes.room_ahead,
        x=view.position.x + back * direction.x,
        y=view.position.y + back * direction.y,
        z=z,
        scene=view.scene,
        sun=mazes.sun[:, view.scene],
    )
    of_kind = view.scene * maze_surfaces.NUM_KINDS + hit.kind
    light = take(mazes.direct, of_kind) * ~dark + take(mazes.soft, of_kind)
    upwards = (direction.z / view.length * 1.6).clamp(0.0, 1.0)
    sky = take(maze_surfaces.sky_colours(device), (upwards * (maze_surfaces.SKY_STEPS - 1)).int())
    return torch.where(hit.is_sky, sky, texels), torch.where(hit.is_sky, 1.0, light)


def render_mazes(mazes: maze_surfaces.MazeTensors, *, cameras: Tensor, image_size: int) -> Tensor:
    """Renders cameras [B, V, 5] of B mazes, [B, V, H, W, 3] uint8; see :func:`zoo.data.render.raycaster.render`.

    Each camera is in a free cell below the tops of the walls, or above them.
    """
    device = mazes.room_ahead.device
    grid = ray_grid(image_size, device=device)
    length = (1.0 + grid.right * grid.right + grid.up * grid.up).sqrt()
    axes = exact_axes(cameras, device=device).flatten(2)
    positions = cameras[..., :3].detach().reshape(-1, 3).float().to(device)

    def cast(part: slice, scene: Tensor) -> Iterator[Tensor]:
        direction = (f + r * grid.right + u * grid.up for f, r, u in zip(*axes[:, :, part, None], strict=True))
        view = _View(
            scene,
            Vector(*positions[part].T[:, :, None]),
            Vector(*(off_zero(component, SMALLEST_DIRECTION) for component in direction)),
            length,
        )
        packed, light = _shade(mazes, view, _meet(mazes, view), angle=grid.sample_angle)
        return (((packed >> shift) & 255) * light for shift in (0, 8, 16))

    return render_chunks(cast, num_scenes=cameras.shape[0], num_views=cameras.shape[1], grid=grid)


@dataclass(frozen=True)
class Mazes(BuiltIn):
    """The data set; extras are ``map`` [H, W, 3] uint8 and ``map_camera`` [5] float32 of every maze."""

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of the map and of its camera."""
        return map_shapes(image_size)

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws maze ``index`` of a split with its cameras."""
        maze, name, rng = self.draw_content(draw_maze, seed=seed, split=split, index=index)
        return self.with_cameras(maze, rng=rng)._replace(name=name)

    def with_cameras(self, scene: Maze, *, rng: np.random.Generator) -> DrawnScene:
        """See :meth:`BuiltIn.with_cameras`."""
        return DrawnScene(scene, "", draw_cameras(rng, maze=scene, num_views=self.num_views).astype(np.float32))

    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Renders drawn mazes and their maps."""
        mazes, cameras = tuple(item.scene for item in drawn), stack_cameras(drawn)
        above = torch.tensor(CAMERA_ABOVE, dtype=torch.float32).expand(len(mazes), 1, 5)
        tensors = maze_surfaces.stack_mazes(mazes, device=device)
        frames = render_mazes(tensors, cameras=cameras, image_size=image_size)
        maps = render_mazes(tensors, cameras=above, image_size=image_size)
        extras = {MAP: maps[:, 0].cpu().numpy(), MAP_CAMERA: above[:, 0].numpy().copy()}
        return Rendering(frames, cameras, mazes, extras)


MAZES = Mazes(
    name="mazes",
    num_views=300,
    description="rooms and corridors of a 7 x 7 maze seen from inside, and its map",
    factor_class=MazeFactors,
)
