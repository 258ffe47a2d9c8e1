"""The light in a maze: from the sky, and from a sun low enough for shadows and high enough to reach every cell."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.maze_layout import HALF_WIDTH, SIZE, Maze
from zoo.data.render.shading import SKY_HORIZON, SKY_ZENITH

WALL_HEIGHT = 0.65

# The kinds of surfaces: sides of solid cells, named by the direction that they face, the floor, tops of solid cells.
NORMALS = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1))
WEST, EAST, SOUTH, NORTH, FLOOR, TOP = range(6)
NUM_KINDS = len(NORMALS)

AMBIENT = 0.58  # light from everywhere
SKYLIGHT = 0.16  # more of it for surfaces that face up
SUNLIGHT = 0.48
# A shadow is shorter than a cell, so that it crosses one line of each direction at most.
SUN_HEIGHT = math.radians(50.0)
SHADOW_LENGTH = 1.0 / math.tan(SUN_HEIGHT)  # per unit of height

# Shadows are looked for from points moved this part of the way back to the camera, where it is certain that the place
# is in a free cell.
STEP_BACK = 1e-3

SKY_STEPS = 256


class MazeLight(NamedTuple):
    """The light of S mazes."""

    soft: Tensor  # [S * 6]: of each kind of surface in the shade
    direct: Tensor  # [S * 6]: added by the sun
    sun: Tensor  # [2, S]: x and y of the horizontal direction to the sun, length 1, off zero


def stack_lights(mazes: Sequence[Maze], *, device: torch.device | str = "cpu") -> MazeLight:
    """Packs the light of mazes."""
    normals = np.array(NORMALS, float)
    sun = np.array([(math.cos(maze.sun), math.sin(maze.sun)) for maze in mazes])
    sun = np.where(np.abs(sun) < 1e-6, 1e-6, sun)
    across = (sun[:, None] * normals[:, :2]).sum(-1) * math.cos(SUN_HEIGHT)
    direct = SUNLIGHT * (across + normals[:, 2] * math.sin(SUN_HEIGHT)).clip(0.0)
    soft = np.broadcast_to(AMBIENT + SKYLIGHT * normals[:, 2], direct.shape)
    arrays = (soft.ravel(), direct.ravel(), np.ascontiguousarray(sun.T))
    return MazeLight(*(torch.tensor(array, dtype=torch.float32, device=device) for array in arrays))


def in_shadow(room_ahead: Tensor, *, x: Tensor, y: Tensor, z: Tensor, scene: Tensor, sun: Tensor) -> Tensor:
    """Returns where solid cells hide the sun, [C, R] bool.

    ``room_ahead`` [S * 81] is 0 for a solid cell; (x, y, z) [C, R] are places in free cells of the mazes ``scene``
    [C, 1] int32; ``sun`` [2, C, 1] is the horizontal direction to the sun.
    """
    reach = (WALL_HEIGHT - z) * SHADOW_LENGTH
    column, row = (x + HALF_WIDTH).floor(), (y + HALF_WIDTH).floor()
    east, north = (sun[0] > 0).int(), (sun[1] > 0).int()
    next_x = (east - (x + HALF_WIDTH - column)).abs() * (1.0 / sun[0].abs())
    next_y = (north - (y + HALF_WIDTH - row)).abs() * (1.0 / sun[1].abs())
    step_x, step_y = 2 * east - 1, SIZE * (2 * north - 1)
    cell = scene * SIZE**2 + (row * SIZE + column).int()
    beside = cell + step_y + (step_x - step_y) * (next_x < next_y)
    beyond = cell + step_x + step_y
    last = SIZE**2 - 1 + scene * SIZE**2
    first, second = torch.minimum(next_x, next_y), torch.maximum(next_x, next_y)
    blocked = (first < reach) & (_look(room_ahead, beside, last) == 0)
    return blocked | ((second < reach) & (_look(room_ahead, beyond, last) == 0))


def _look(room_ahead: Tensor, cell: Tensor, last: Tensor) -> Tensor:
    return room_ahead.index_select(0, torch.minimum(cell.clamp_min(0), last).flatten()).view(cell.shape)


@functools.cache
def sky_colours(device: torch.device) -> Tensor:
    """Returns packed colours [SKY_STEPS] int32 of the sky, from the horizon to where it no longer changes."""
    amount = np.linspace(0.0, 1.0, SKY_STEPS)[:, None]
    colours = np.array(SKY_HORIZON) * (1.0 - amount) + np.array(SKY_ZENITH) * amount
    levels = np.round(colours * 255.0).astype(np.int32)
    return torch.from_numpy(levels[:, 0] + (levels[:, 1] << 8) + (levels[:, 2] << 16)).to(device)
