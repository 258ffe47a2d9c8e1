"""Mazes: an agent looks round in one or two rooms that corridors join, under an open sky; and the maze seen from above.

The data set ``mazes`` of Eslami et al., Science 360:1204, 2018: a grid of 7 x 7 cells, rooms two or three cells wide,
random textures of walls and floors, 300 images taken at random places and in random directions. The published
images are 84 pixels wide. Mazes, textures and light are our own; the layouts of the three splits share none, however
turned or mirrored, so that a model is tested in mazes of a shape that it never walked.

The map is one more image of the same maze by the same camera model: a camera high above the middle that looks
straight down. North (+y) is up and east (+x) is right. It can be asked of a model as a query at ``map_camera``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, Rendering
from zoo.data.camera import FIELD_OF_VIEW_DEGREES
from zoo.data.render.maze_caster import render_mazes, stack_mazes
from zoo.data.render.maze_layout import INNER_SIZE, Maze, canonical, draw_cameras, draw_maze
from zoo.data.render.maze_light import WALL_HEIGHT
from zoo.data.render.textures import FLOOR_TEXTURES, WALL_TEXTURES
from zoo.data.source import ExtraShape, Split

EYE_HEIGHT = 0.36
MARGIN = 0.18  # between cameras and walls
LARGEST_PITCH = math.radians(15.0)

# The map shows the tops of the walls out to half of the ring round the cells.
MAP_HALF_WIDTH = (INNER_SIZE + 1) / 2.0
MAP_CAMERA = (
    0.0,
    0.0,
    WALL_HEIGHT + MAP_HALF_WIDTH / math.tan(math.radians(FIELD_OF_VIEW_DEGREES) / 2.0),
    math.pi / 2.0,
    -math.pi / 2.0,
)


class DrawnMaze(NamedTuple):
    """A maze before it is rendered."""

    scene: Maze
    name: str  # canonical
    cameras: np.ndarray  # [V, 5] float32


@dataclass(frozen=True)
class Mazes(BuiltIn):
    """The data set; extras are ``map`` [H, W, 3] uint8 and ``map_camera`` [5] float32 of every maze."""

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of the map and of its camera."""
        return {
            "map": ExtraShape("uint8", (image_size, image_size, 3), per_view=False),
            "map_camera": ExtraShape("float32", (5,), per_view=False),
        }

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnMaze:
        """Draws maze ``index`` of a split with its cameras."""
        maze, name, rng = self.draw_content(_draw_named, seed=seed, split=split, index=index)
        cameras = draw_cameras(
            rng,
            maze=maze,
            num_views=self.num_views,
            eye_height=EYE_HEIGHT,
            margin=MARGIN,
            largest_pitch=LARGEST_PITCH,
        )
        return DrawnMaze(maze, name, cameras.astype(np.float32))

    def render(
        self,
        *,
        seed: int,
        scene_indices: Sequence[int],
        split: Split,
        image_size: int,
        device: torch.device | str = "cpu",
        samples_per_side: int = 2,
    ) -> Rendering:
        """Renders mazes of a split; see :meth:`zoo.data.built_in.BuiltIn.render`."""
        drawn = [self.draw(seed=seed, split=split, index=int(index)) for index in scene_indices]
        mazes = tuple(item.scene for item in drawn)
        cameras = torch.from_numpy(np.stack([item.cameras for item in drawn]))
        above = torch.tensor(MAP_CAMERA, dtype=torch.float32).expand(len(mazes), 1, 5)
        tensors = stack_mazes(mazes, device=device)
        frames, maps = (
            render_mazes(tensors, cameras=part, image_size=image_size, samples_per_side=samples_per_side)
            for part in (cameras, above)
        )
        extras = {"map": maps[:, 0].cpu().numpy(), "map_camera": above[:, 0].numpy().copy()}
        return Rendering(frames, cameras, mazes, extras)


def _draw_named(rng: np.random.Generator) -> tuple[Maze, str]:
    maze = draw_maze(rng, wall_textures=tuple(WALL_TEXTURES), floor_textures=tuple(FLOOR_TEXTURES))
    return maze, canonical(np.array(maze.zones))


MAZES = Mazes(
    name="mazes",
    version=1,
    num_views=300,
    description="rooms and corridors of a 7 x 7 maze as somebody inside sees them, and its map",
)
