"""Lands as tensors, and their colour at any place, from near or from far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.terrain_land import CELL, GRID_SIZE, HALF_LAND, Land

NUM_LEVELS = 4  # of the coloured grid, each half as fine as the one before
LEVEL_SIDES = tuple(GRID_SIZE >> level for level in range(NUM_LEVELS))
LEVEL_STARTS = tuple(sum(side**2 for side in LEVEL_SIDES[:level]) for level in range(NUM_LEVELS + 1))


class LandTensors(NamedTuple):
    """S lands."""

    height: Tensor  # [S * N * N] float32
    colour: Tensor  # [S * T] int32: red + 256 green + 65536 blue, all levels of the grid
    sun: Tensor  # [3, S]: unit vectors towards it
    origin: Tensor  # [S, 3]: where the origin of the scene lies in its land


def _levels(colour: np.ndarray) -> np.ndarray:
    """Returns the packed colours of all levels of a grid [3, N, N], one after the other."""
    parts = []
    for level in range(NUM_LEVELS):
        if level:
            colour = colour[:, :, ::2] + colour[:, :, 1::2]
            colour = (colour[:, ::2] + colour[:, 1::2]) * np.float32(0.25)
        red, green, blue = np.round(colour * 255.0).astype(np.int32)
        parts.append((red + (green << 8) + (blue << 16)).ravel())
    return np.concatenate(parts)


def stack_lands(
    lands: Sequence[Land], *, origins: Sequence[tuple[float, float, float]], device: torch.device | str = "cpu"
) -> LandTensors:
    """Packs lands and where the origin of each scene lies in its land."""
    return LandTensors(
        torch.from_numpy(np.concatenate([land.height.ravel() for land in lands])).to(device),
        torch.from_numpy(np.concatenate([_levels(land.colour) for land in lands])).to(device),
        torch.tensor([land.sun for land in lands], dtype=torch.float32, device=device).T,
        torch.tensor(list(origins), dtype=torch.float32, device=device),
    )


def look_up(lands: LandTensors, *, scene: Tensor, x: Tensor, y: Tensor, footprint: Tensor) -> list[Tensor]:
    """Returns the colour of lands [P] (``scene``, int32) at places (x, y), three times [P], 0 to 255.

    ``footprint`` is the width of the patch that one sample covers. All are [P], in scene units.
    """
    level = (((footprint * (1.0 / CELL)).view(torch.int32) >> 23) - 126).clamp(0, NUM_LEVELS - 1)
    side = torch.tensor(LEVEL_SIDES, dtype=torch.int32, device=x.device).index_select(0, level)
    start = torch.tensor(LEVEL_STARTS, dtype=torch.int32, device=x.device).index_select(0, level)
    scale = side * (0.5 / HALF_LAND)
    last = side - 1.0
    column = torch.minimum(((x + HALF_LAND) * scale - 0.5).clamp_min(0.0), last)
    row = torch.minimum(((y + HALF_LAND) * scale - 0.5).clamp_min(0.0), last)
    west, south = column.floor(), row.floor()
    along, up = column - west, row - south
    corner = scene * LEVEL_STARTS[-1] + start + south.int() * side + west.int()
    # At the last column and row the share of the neighbour is 0.
    east, north = (along > 0).int(), side * (up > 0)
    weights = ((1.0 - along) * (1.0 - up), along * (1.0 - up), (1.0 - along) * up, along * up)
    corners = (corner, corner + east, corner + north, corner + north + east)
    channels = []
    for place, weight in zip(corners, weights, strict=True):
        packed = lands.colour.index_select(0, place)
        channels.append([((packed >> shift) & 255) * weight for shift in (0, 8, 16)])
    return [a + b + c + d for a, b, c, d in zip(*channels, strict=True)]
