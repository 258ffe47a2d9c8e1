"""Mazes as grids of cells: how they are drawn, which cells are free, and which mazes are the same.

A maze has 7 x 7 cells of width 1, centred on the origin, inside a ring of solid cells: 9 x 9 cells together. Rows count
along +y (row 0 is the southern side of the ring) and columns along +x; cell (row, column) covers
``column - 4.5 <= x < column - 3.5`` and likewise for y.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from zoo.config.settings import Settings, one_of
from zoo.data.render.rng import choose, uniform
from zoo.data.render.textures import ALL_TEXTURES, FLOOR_TEXTURES, WALL_TEXTURES

INNER_SIZE = 7
SIZE = INNER_SIZE + 2  # with the ring
HALF_WIDTH = SIZE / 2.0

SOLID, CORRIDOR = -1, 0  # rooms are 1 and 2

NUM_ROOMS = (1, 2)
ROOM_SIDES = (2, 3)
NUM_BRANCHES = (2, 3, 4)
FEWEST_CORRIDOR_CELLS = 10

PLACES_TRIED = 40
NUM_HUES = 12
PANEL_SHARE = 0.12  # of solid cells, those that have a texture of their own

WALL_HEIGHT = 0.65
EYE_HEIGHT = 0.36
MARGIN = 0.18  # between cameras and walls
LARGEST_PITCH = math.radians(15.0)

Cell = tuple[int, int]


class HuedTexture(Settings):
    """A texture whose hues are turned."""

    texture: Annotated[str, one_of(ALL_TEXTURES)]
    hue_turn: int = Field(ge=0, lt=NUM_HUES, description="twelfths of the colour circle by which colours are turned")


@dataclass(frozen=True)
class Maze:
    """The cells of a maze, their textures and the light."""

    zones: tuple[tuple[int, ...], ...]  # 9 rows of 9: -1 a solid cell, 0 of a corridor, 1 and 2 of the rooms
    walls: tuple[HuedTexture, ...]  # seen from the corridors and from each room
    floors: tuple[HuedTexture, ...]  # of the corridors and of each room
    panels: tuple[tuple[Cell, HuedTexture], ...]  # solid cells that have another texture on all their sides
    sun: float  # azimuth of the light in radians, counter-clockwise from +x

    @property
    def free(self) -> np.ndarray:
        """The cells that are not solid, [9, 9] bool."""
        return np.array(self.zones) != SOLID


def _place_room(rng: np.random.Generator, zones: np.ndarray, number: int) -> bool:
    """Opens a room that touches no other, not even at a corner; returns False if no place was found."""
    height, width = choose(rng, ROOM_SIDES), choose(rng, ROOM_SIDES)
    for _ in range(PLACES_TRIED):
        row, column = (1 + int(rng.random() * (INNER_SIZE - side + 1)) for side in (height, width))
        if (zones[row - 1 : row + height + 1, column - 1 : column + width + 1] == SOLID).all():
            zones[row : row + height, column : column + width] = number
            return True
    return False


def _open_corridor(rng: np.random.Generator, zones: np.ndarray, start: Cell, end: Cell) -> None:
    """Opens a corridor with one bend between two cells."""
    bend = choose(rng, ((start[0], end[1]), (end[0], start[1])))
    for a, b in ((start, bend), (bend, end)):
        way = zones[min(a[0], b[0]) : max(a[0], b[0]) + 1, min(a[1], b[1]) : max(a[1], b[1]) + 1]
        way[way == SOLID] = CORRIDOR


def _is_tidy(zones: np.ndarray) -> bool:
    """Whether rooms are rectangles and corridors one cell wide: no block of 2 x 2 free cells crosses a border."""
    blocks = np.stack([zones[:-1, :-1], zones[1:, :-1], zones[:-1, 1:], zones[1:, 1:]])
    free = (blocks != SOLID).all(0)
    return not (free & ((blocks != blocks[0]).any(0) | (blocks[0] == CORRIDOR))).any()


def _try_corridors(rng: np.random.Generator, zones: np.ndarray, *places: Cell) -> bool:
    """Opens corridors from place to place and returns True, or nothing and False if the maze would not be tidy."""
    before = zones.copy()
    for start, end in itertools.pairwise(places):
        _open_corridor(rng, zones, start, end)
    if not _is_tidy(zones):
        zones[:] = before
        return False
    return True


def _draw_zones(rng: np.random.Generator) -> np.ndarray:
    """Draws which cells are free, [9, 9] int, again until it is one maze of sufficient size."""

    def random_cell() -> Cell:
        return choose(rng, range(1, INNER_SIZE + 1)), choose(rng, range(1, INNER_SIZE + 1))

    num_rooms, num_branches = choose(rng, NUM_ROOMS), choose(rng, NUM_BRANCHES)
    while True:
        zones = np.full((SIZE, SIZE), SOLID)
        if not all(_place_room(rng, zones, number) for number in range(1, num_rooms + 1)):
            continue
        rooms = [[(int(a), int(b)) for a, b in np.argwhere(zones == number)] for number in range(1, num_rooms + 1)]
        if not all(_try_corridors(rng, zones, choose(rng, a), choose(rng, b)) for a, b in itertools.pairwise(rooms)):
            continue
        left = num_branches
        for _ in range(PLACES_TRIED):
            # Half of the branches come back to a room, which makes a ring; the others are dead ends.
            end = choose(rng, choose(rng, rooms)) if rng.random() < 0.5 else random_cell()
            left -= _try_corridors(rng, zones, choose(rng, choose(rng, rooms)), random_cell(), end)
            if not left:
                break
        if (zones == CORRIDOR).sum() >= FEWEST_CORRIDOR_CELLS:
            return zones


def canonical(zones: np.ndarray) -> str:
    """Names a maze by its free cells alone, however it is turned or mirrored; textures and light do not enter."""
    free = (zones != SOLID)[1:-1, 1:-1]
    turned = [np.rot90(side, k) for side in (free, free[::-1]) for k in range(4)]
    return min("".join("#."[int(cell)] for cell in view.flat) for view in turned)


def draw_maze(rng: np.random.Generator) -> tuple[Maze, str]:
    """Draws a maze and its canonical name; corridors and rooms get different wall textures."""
    zones = _draw_zones(rng)
    num_zones = int(zones.max()) + 1
    walls: list[HuedTexture] = []
    for _ in range(num_zones):
        used = {item.texture for item in walls}
        walls.append(_draw_texture(rng, tuple(name for name in WALL_TEXTURES if name not in used)))
    floors = tuple(_draw_texture(rng, tuple(FLOOR_TEXTURES)) for _ in range(num_zones))
    panels = tuple(
        ((row, column), _draw_texture(rng, tuple(WALL_TEXTURES)))
        for row in range(SIZE)
        for column in range(SIZE)
        if zones[row, column] == SOLID and rng.random() < PANEL_SHARE
    )
    rows, sun = tuple(map(tuple, zones.tolist())), uniform(rng, -math.pi, math.pi)
    return Maze(rows, tuple(walls), floors, panels, sun), canonical(zones)


def _draw_texture(rng: np.random.Generator, textures: tuple[str, ...]) -> HuedTexture:
    return HuedTexture(texture=choose(rng, textures), hue_turn=int(rng.random() * NUM_HUES))


def distance_to_walls(free: np.ndarray, *, x: float, y: float) -> float:
    """Returns how far a point is from the nearest solid cell, at most 1; 0 inside one."""
    row, column = np.nonzero(~free)
    left, below = column - HALF_WIDTH, row - HALF_WIDTH
    aside = np.maximum(left - x, x - left - 1.0).clip(0.0)
    ahead = np.maximum(below - y, y - below - 1.0).clip(0.0)
    return min(1.0, float(np.hypot(aside, ahead).min()))


def draw_cameras(rng: np.random.Generator, *, maze: Maze, num_views: int) -> np.ndarray:
    """Draws cameras [num_views, 5] evenly over the free cells, ``MARGIN`` away from walls, in any direction."""
    free = maze.free
    rows, columns = np.nonzero(free)
    cameras: list[tuple[float, ...]] = []
    while len(cameras) < num_views:
        cell = int(rng.random() * len(rows))
        x = float(columns[cell]) - HALF_WIDTH + rng.random()
        y = float(rows[cell]) - HALF_WIDTH + rng.random()
        if distance_to_walls(free, x=x, y=y) >= MARGIN:
            yaw, pitch = uniform(rng, -math.pi, math.pi), uniform(rng, -LARGEST_PITCH, LARGEST_PITCH)
            cameras.append((x, y, EYE_HEIGHT, yaw, pitch))
    return np.array(cameras)
