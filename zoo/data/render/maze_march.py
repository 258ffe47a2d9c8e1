"""Rays through a grid of cells, from line to line, until a wall, the floor or the sky ends them.

This is the digital differential analyser of Amanatides & Woo, "A fast voxel traversal algorithm" (Eurographics 1987),
for many rays at once. A ray costs the lines that it crosses, not the number of walls. Masks multiply rather than
select: on a CPU that is several times faster. Only operations that IEEE 754 rounds correctly appear.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.render.maze_layout import HALF_WIDTH, SIZE
from zoo.data.render.vectors import Vector

FAR = 1e9  # beyond every distance in a maze

# Rays that have ended are put aside after so many lines: putting aside costs about as much as three lines.
LINES_PER_ROUND = 4


class Arrival(NamedTuple):
    """Where rays ended; each [R]."""

    distance: Tensor  # along the direction, in units of its length; the wall, or else the limit that was given
    cell: Tensor  # int32: scene * 81 + row * 9 + column, of the solid cell that was hit or of the last free one
    along_x: Tensor  # bool: whether the last line crossed was one of constant x


class _RayState(NamedTuple):
    """Rays under way; each [R]."""

    next_x: Tensor  # distance to the next line of constant x
    next_y: Tensor
    width_x: Tensor  # distance between two such lines
    width_y: Tensor
    step_x: Tensor  # int32: added to the cell when such a line is crossed
    step_y: Tensor
    end: Tensor  # distance at which the ray ends, as far as is known
    cell: Tensor
    along_x: Tensor


def _cross_lines(state: _RayState, *, room_ahead: Tensor, lines: int) -> _RayState:
    """Takes every ray that has not ended over that many lines."""
    next_x, next_y, end, cell, along_x = state.next_x, state.next_y, state.end, state.cell, state.along_x
    turn = state.step_x - state.step_y
    for _ in range(lines):
        by_x = next_x < next_y
        distance = torch.minimum(next_x, next_y)
        going = distance < end
        cell = cell + (state.step_y + turn * by_x) * going
        along_x = torch.where(going, by_x, along_x)
        # A ray that has ended keeps its cell and sees only greater distances, so that nothing changes any more.
        end = torch.minimum(end, distance + room_ahead.index_select(0, cell))
        next_x = next_x + state.width_x * by_x
        next_y = next_y + state.width_y * ~by_x
    return state._replace(next_x=next_x, next_y=next_y, end=end, cell=cell, along_x=along_x)


def march(room_ahead: Tensor, *, x: Tensor, y: Tensor, cell: Tensor, direction: Vector, limit: Tensor) -> Arrival:
    """Follows rays through the cells of mazes.

    ``room_ahead`` [scenes * 81] is 0 for a solid cell and ``FAR`` for a free one; the outermost cells are solid. Each of
    the R rays starts at (x, y) in the free cell ``cell`` (int32, scene * 81 + row * 9 + column). Its direction has any
    length, with x and y off zero; it ends at the distance ``limit``, in units of that length, in any case.
    """
    right, ahead = (direction.x > 0).int(), (direction.y > 0).int()
    width_x, width_y = 1.0 / direction.x.abs(), 1.0 / direction.y.abs()
    # From the lower border of the cell upwards, or the rest of it.
    within_x = (x + HALF_WIDTH) - (x + HALF_WIDTH).floor()
    within_y = (y + HALF_WIDTH) - (y + HALF_WIDTH).floor()
    state = _RayState(
        next_x=(right - within_x).abs() * width_x,
        next_y=(ahead - within_y).abs() * width_y,
        width_x=width_x,
        width_y=width_y,
        step_x=2 * right - 1,
        step_y=SIZE * (2 * ahead - 1),
        end=limit,
        cell=cell,
        along_x=torch.zeros_like(cell, dtype=torch.bool),
    )
    state = _cross_lines(state, room_ahead=room_ahead, lines=LINES_PER_ROUND)
    end, place, along_x = state.end.clone(), state.cell, state.along_x
    going = (torch.minimum(state.next_x, state.next_y) < state.end).nonzero().squeeze(1)
    rays = going
    while going.numel():
        state = _RayState(*(part.index_select(0, going) for part in state))
        state = _cross_lines(state, room_ahead=room_ahead, lines=LINES_PER_ROUND)
        end[rays], place[rays], along_x[rays] = state.end, state.cell, state.along_x
        going = (torch.minimum(state.next_x, state.next_y) < state.end).nonzero().squeeze(1)
        rays = rays.index_select(0, going)
    return Arrival(end, place, along_x)
