"""The textures of walls and floors in every hue, packed so that a colour costs one memory access.

A tile covers one cell of a maze. Red, green and blue are eight bits each of one int32.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.maze_layout import NUM_HUES, HuedTexture
from zoo.data.render.textures import (
    ALL_TEXTURES,
    FLOOR_TEXTURES,
    NUM_LEVELS,
    TILE_SIZE,
    WALL_TEXTURES,
    mip_levels,
    texture_index,
)

_EXPONENT_OF_ONE = 127  # as float32 stores it
LUMA = np.array([0.299, 0.587, 0.114])


class HuedAtlas(NamedTuple):
    """All textures in all hues and all their levels in one row of texels."""

    texels: Tensor  # [T] int32: red + 256 green + 65536 blue
    per_texture: int  # texels of one texture in one hue
    size: Tensor  # [NUM_LEVELS] int32: texels across a level
    offset: Tensor  # [NUM_LEVELS] int32: offset of a level within its texture


def _coping(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The tops of walls: dark slabs, one per cell, so that a maze seen from above shows its grid."""
    border = np.minimum(np.minimum(u, 1.0 - u), np.minimum(v, 1.0 - v))
    tone = 0.30 + 0.05 * (border > 0.03) + 0.03 * (border > 0.10)
    return tone[..., None] * np.array([1.0, 1.04, 1.14])


def hued_index(item: HuedTexture) -> int:
    """Returns the number of a texture in a hue: in the order of ``ALL_TEXTURES``, each in all hues."""
    return texture_index(item.texture) * NUM_HUES + item.hue


def coping_index() -> int:
    """Returns the number of the texture of the tops of walls, the last one."""
    return len(ALL_TEXTURES) * NUM_HUES


def hue_turn(hue: int) -> np.ndarray:
    """Returns the matrix [3, 3] that turns colours about the grey axis and then restores their brightness."""
    angle = 2.0 * math.pi * hue / NUM_HUES
    third, skew = (1.0 - math.cos(angle)) / 3.0, math.sin(angle) / math.sqrt(3.0)
    turn = math.cos(angle) * np.eye(3) + third + skew * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    # The turn keeps the sum of the three channels, but luminance weighs them unequally.
    return turn + LUMA - LUMA @ turn


def _packed(level: np.ndarray, hue: int) -> np.ndarray:
    turned = (level[..., None, :] * hue_turn(hue)).sum(-1) if hue else level
    bytes_ = np.round(turned.clip(0.0, 1.0) * 255.0).astype(np.int32)
    return (bytes_[..., 0] + (bytes_[..., 1] << 8) + (bytes_[..., 2] << 16)).ravel()


@functools.cache
def hued_atlas(device: torch.device) -> HuedAtlas:
    """Returns the atlas on a device; it is made once per process."""
    parts = []
    for texture in (*WALL_TEXTURES.values(), *FLOOR_TEXTURES.values()):
        levels = mip_levels(texture)
        parts += [_packed(level, hue) for hue in range(NUM_HUES) for level in levels]
    parts += [_packed(level, 0) for level in mip_levels(_coping)]
    texels = np.concatenate(parts)
    size = np.array([TILE_SIZE >> level for level in range(NUM_LEVELS)], np.int32)
    offset = np.concatenate([[0], np.cumsum(size[:-1] ** 2)]).astype(np.int32)
    return HuedAtlas(
        torch.from_numpy(texels).to(device),
        int((size**2).sum()),
        torch.from_numpy(size).to(device),
        torch.from_numpy(offset).to(device),
    )


def look_up(atlas: HuedAtlas, *, number: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
    """Returns the packed colours [P] int32 of textures [P] (see ``hued_index``) at places (u, v) on surfaces.

    u goes to the right and v upwards; ``footprint`` is the width of the patch that one sample covers. All are [P], in
    scene units.
    """
    # The exponent of a float, read from its bits, is the level: 0 up to one texel, then one more for each doubling.
    level = ((footprint * float(TILE_SIZE)).view(torch.int32) >> 23) - (_EXPONENT_OF_ONE - 1)
    level = level.clamp(0, NUM_LEVELS - 1)
    size = atlas.size.index_select(0, level)
    start = number * atlas.per_texture + atlas.offset.index_select(0, level)
    column, row = (u - u.floor()) * size, (v - v.floor()) * size
    # A coordinate just below a whole number may round up to the far edge of the tile.
    last = size - 1
    column, row = torch.minimum(column.int(), last), torch.minimum(row.int(), last)
    return atlas.texels.index_select(0, start + row * size + column)
