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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zoo.data.built_in import BuiltIn, DrawnScene, Rendering, stack_cameras
from zoo.data.camera import FIELD_OF_VIEW_DEGREES
from zoo.data.render.maze_caster import render_mazes, stack_mazes
from zoo.data.render.maze_layout import INNER_SIZE, draw_cameras, draw_named_maze
from zoo.data.render.maze_light import WALL_HEIGHT
from zoo.data.source import MAP, MAP_CAMERA, ExtraShape, Split

# The map shows the tops of the walls out to half of the ring round the cells.
MAP_HALF_WIDTH = (INNER_SIZE + 1) / 2.0
CAMERA_ABOVE = (
    0.0,
    0.0,
    WALL_HEIGHT + MAP_HALF_WIDTH / math.tan(math.radians(FIELD_OF_VIEW_DEGREES) / 2.0),
    math.pi / 2.0,
    -math.pi / 2.0,
)


@dataclass(frozen=True)
class Mazes(BuiltIn):
    """The data set; extras are ``map`` [H, W, 3] uint8 and ``map_camera`` [5] float32 of every maze."""

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the types and shapes of the map and of its camera."""
        return {
            MAP: ExtraShape("uint8", (image_size, image_size, 3), per_view=False),
            MAP_CAMERA: ExtraShape("float32", (5,), per_view=False),
        }

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws maze ``index`` of a split with its cameras."""
        maze, name, rng = self.draw_content(draw_named_maze, seed=seed, split=split, index=index)
        return DrawnScene(maze, name, draw_cameras(rng, maze=maze, num_views=self.num_views).astype(np.float32))

    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Renders drawn mazes and their maps."""
        mazes, cameras = tuple(item.scene for item in drawn), stack_cameras(drawn)
        above = torch.tensor(CAMERA_ABOVE, dtype=torch.float32).expand(len(mazes), 1, 5)
        tensors = stack_mazes(mazes, device=device)
        frames = render_mazes(tensors, cameras=cameras, image_size=image_size)
        maps = render_mazes(tensors, cameras=above, image_size=image_size)
        extras = {MAP: maps[:, 0].cpu().numpy(), MAP_CAMERA: above[:, 0].numpy().copy()}
        return Rendering(frames, cameras, mazes, extras)


MAZES = Mazes(
    name="mazes",
    num_views=300,
    description="rooms and corridors of a 7 x 7 maze seen from inside, and its map",
)
