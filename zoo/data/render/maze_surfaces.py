"""Mazes as tensors: which cells are free, the textures of their surfaces in every hue, light and shadows.

The light comes from the sky, and from a sun low enough for shadows and high enough to reach every cell. A tile of a
texture covers one cell. Colours are packed into one int32 each, so that a look-up costs one memory access.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.render import textures
from zoo.data.render.maze_layout import HALF_WIDTH, NUM_HUES, SIZE, WALL_HEIGHT, HuedTexture, Maze
from zoo.data.render.maze_march import FAR
from zoo.data.render.shading import SKY_HORIZON, SKY_ZENITH

# The kinds of surfaces: sides of solid cells, named by the direction that they face, the floor, tops of solid cells.
NORMALS = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1))
NUM_KINDS = len(NORMALS)
FLOOR, TOP = 4, 5

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
LUMA = np.array([0.299, 0.587, 0.114])
COPING = len(textures.ALL_TEXTURES) * NUM_HUES  # the number of the texture of the tops of walls, the last one


class MazeTensors(NamedTuple):
    """S mazes."""

    room_ahead: Tensor  # [S * 81] float32: 0 for a solid cell, FAR for a free one
    texture: Tensor  # [S * 81 * 6] int32: of each kind of surface in a cell
    soft: Tensor  # [S * 6]: of each kind of surface in the shade
    direct: Tensor  # [S * 6]: added by the sun
    sun: Tensor  # [2, S]: x and y of the horizontal direction to the sun, length 1, off zero


def _textures(maze: Maze) -> np.ndarray:
    """Returns the texture of each kind of surface in each cell, [9, 9, 6]."""
    zones = np.array(maze.zones)
    walls, floors = (np.array([hued_index(item) for item in items]) for items in (maze.walls, maze.floors))
    own = np.full((SIZE, SIZE), -1)
    for cell, item in maze.panels:
        own[cell] = hued_index(item)
    numbers = np.zeros((SIZE, SIZE, NUM_KINDS), np.int32)
    for kind, (x, y, _) in enumerate(NORMALS[:4]):
        # A wall has the texture of the free cell that it faces.
        facing = np.roll(zones, (-y, -x), axis=(0, 1)).clip(0)
        numbers[..., kind] = np.where(own >= 0, own, walls[facing])
    numbers[..., FLOOR] = floors[zones.clip(0)]
    numbers[..., TOP] = COPING
    return numbers


def stack_mazes(mazes: Sequence[Maze], *, device: torch.device | str = "cpu") -> MazeTensors:
    """Packs mazes for the renderer."""
    room = np.array([np.where(maze.free, FAR, 0.0) for maze in mazes], np.float32)
    texture = np.array([_textures(maze) for maze in mazes])
    normals = np.array(NORMALS, float)
    sun = np.array([(math.cos(maze.sun), math.sin(maze.sun)) for maze in mazes])
    sun = np.where(np.abs(sun) < 1e-6, 1e-6, sun)
    across = (sun[:, None] * normals[:, :2]).sum(-1) * math.cos(SUN_HEIGHT)
    direct = SUNLIGHT * (across + normals[:, 2] * math.sin(SUN_HEIGHT)).clip(0.0)
    soft = np.broadcast_to(AMBIENT + SKYLIGHT * normals[:, 2], direct.shape)
    light = (array.astype(np.float32) for array in (soft.ravel(), direct.ravel(), sun.T))
    return MazeTensors(*(torch.tensor(array, device=device) for array in (room.ravel(), texture.ravel(), *light)))


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
    beside_is_free, beyond_is_free = (
        textures.take(room_ahead, torch.minimum(cell.clamp_min(0), last)) > 0 for cell in (beside, beyond)
    )
    return ((first < reach) & ~beside_is_free) | ((second < reach) & ~beyond_is_free)


@functools.cache
def sky_colours(device: torch.device) -> Tensor:
    """Returns packed colours [SKY_STEPS] int32 of the sky, from the horizon to where it no longer changes."""
    amount = np.linspace(0.0, 1.0, SKY_STEPS)
    colours = [low * (1.0 - amount) + high * amount for low, high in zip(SKY_HORIZON, SKY_ZENITH, strict=True)]
    return torch.from_numpy(textures.pack_colours(np.array(colours))).to(device)


def _coping(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The tops of walls: dark slabs, one per cell, so that a maze seen from above shows its grid."""
    border = np.minimum(np.minimum(u, 1.0 - u), np.minimum(v, 1.0 - v))
    tone = 0.30 + 0.05 * (border > 0.03) + 0.03 * (border > 0.10)
    return tone[..., None] * np.array([1.0, 1.04, 1.14])


def hued_index(item: HuedTexture) -> int:
    """Returns the number of a texture in a hue: in the order of ``ALL_TEXTURES``, each in all hues."""
    return textures.ALL_TEXTURES.index(item.texture) * NUM_HUES + item.hue_turn


def hue_turn(hue: int) -> np.ndarray:
    """Returns the matrix [3, 3] that turns colours about the grey axis and then restores their brightness."""
    angle = 2.0 * math.pi * hue / NUM_HUES
    third, skew = (1.0 - math.cos(angle)) / 3.0, math.sin(angle) / math.sqrt(3.0)
    turn = math.cos(angle) * np.eye(3) + third + skew * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    # The turn keeps the sum of the three channels, but luminance weighs them unequally.
    return turn + LUMA - LUMA @ turn


def _packed(level: np.ndarray, hue: int) -> np.ndarray:
    turned = (level[..., None, :] * hue_turn(hue)).sum(-1) if hue else level
    return textures.pack_colours(np.moveaxis(turned.clip(0.0, 1.0), -1, 0)).ravel()


@functools.cache
def hued_atlas(device: torch.device) -> textures.TextureAtlas:
    """Returns the atlas of all textures in all hues on a device; it is made once per process."""
    parts = []
    for texture in textures.TEXTURES.values():
        levels = textures.mip_levels(texture)
        parts += [_packed(level, hue) for hue in range(NUM_HUES) for level in levels]
    parts += [_packed(level, 0) for level in textures.mip_levels(_coping)]
    return textures.make_atlas(parts, device=device)


def look_up(atlas: textures.TextureAtlas, *, number: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
    """Returns the packed colours [P] int32 of textures [P] (see ``hued_index``) at places (u, v) on surfaces.

    ``footprint`` is the width of the patch that one sample covers. All are [P], in scene units.
    """
    level = textures.mip_level(footprint * float(textures.TILE_SIZE), num_levels=textures.NUM_LEVELS)
    return textures.take(atlas.texels, textures.texel_index(atlas, texture=number, level=level, u=u, v=v))
