"""Paths over a terrain: random, on dry and open ground, within a square; and the cameras along them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from zoo.data.render.rng import uniform
from zoo.data.render.terrain_land import CELL, GRID_SIZE, HALF_LAND, Land

EXTENT = 1.0
EYE_HEIGHT = 0.12

NUM_STEPS = 500
STEP = 0.011  # scene units
KEEP_WITHIN = 0.94 * EXTENT
START_WITHIN = 0.6 * EXTENT
LARGEST_TURN = 0.16  # radians per step, unless the way is blocked
STEEPEST = 0.8

# Directions that are tried in turn where the way is blocked.
DETOURS = (0.0, *(sign * math.pi / 12.0 * k for k in range(1, 10) for sign in (1, -1)))
ENOUGH = 0.8 * EXTENT
MOST_TRIES = 6

LARGEST_GLANCE = math.radians(50.0)  # to either side of the path
PITCHES = (math.radians(-16.0), math.radians(6.0))


class CameraPath(NamedTuple):
    """The cameras of a path and its place in the land."""

    origin: tuple[float, float, float]  # the middle of the path, in the land
    cameras: np.ndarray  # [V, 5], relative to the origin


def _cell(x: float, y: float) -> tuple[int, int]:
    row, column = int((y + HALF_LAND) / CELL), int((x + HALF_LAND) / CELL)
    return min(max(row, 0), GRID_SIZE - 1), min(max(column, 0), GRID_SIZE - 1)


def _is_free(land: Land, x: float, y: float) -> bool:
    return max(abs(x), abs(y)) <= KEEP_WITHIN and not land.blocked[_cell(x, y)]


def _is_passable(land: Land, x: float, y: float, new_x: float, new_y: float) -> bool:
    if not _is_free(land, new_x, new_y):
        return False
    rise = float(land.ground[_cell(new_x, new_y)] - land.ground[_cell(x, y)])
    return abs(rise) <= STEEPEST * (STEP + CELL)


def _draw_start(rng: np.random.Generator, land: Land) -> tuple[float, float]:
    """Draws a free place in the middle of the land; the very middle if there is none."""
    low, high = _cell(-START_WITHIN, -START_WITHIN)[0], _cell(START_WITHIN, START_WITHIN)[0]
    rows, columns = np.nonzero(~land.blocked[low:high, low:high])
    if not len(rows):
        return 0.0, 0.0
    chosen = int(rng.random() * len(rows))
    return (int(columns[chosen]) + low + 0.5) * CELL - HALF_LAND, (int(rows[chosen]) + low + 0.5) * CELL - HALF_LAND


def _draw_places(rng: np.random.Generator, land: Land) -> np.ndarray:
    """Draws places and headings [NUM_STEPS, 3]; where the way is blocked on all sides the path turns on the spot."""
    x, y = _draw_start(rng, land)
    heading = uniform(rng, -math.pi, math.pi)
    bend = 0.0
    path = np.zeros((NUM_STEPS, 3))
    for place in path:
        place[:] = (x, y, heading)
        # The bend changes slowly, so that the path winds instead of trembling.
        bend = 0.9 * bend + uniform(rng, -0.35, 0.35) * LARGEST_TURN
        heading += max(-LARGEST_TURN, min(LARGEST_TURN, bend))
        side = 1.0 if rng.random() < 0.5 else -1.0
        for detour in DETOURS:
            wanted = heading + side * detour
            new_x, new_y = x + STEP * math.cos(wanted), y + STEP * math.sin(wanted)
            if _is_passable(land, x, y, new_x, new_y):
                x, y, heading = new_x, new_y, wanted
                break
        else:
            heading += side * LARGEST_TURN
    return path


def _smoothed_height(land: Land, path: np.ndarray) -> np.ndarray:
    """Returns the height of the ground along a path, [NUM_STEPS], without the steps of the grid."""
    raw = np.array([float(land.ground[_cell(x, y)]) for x, y, _ in path])
    padded = np.pad(raw, 6, mode="edge")
    mean = sum(padded[shift : shift + len(raw)] for shift in range(13)) / 13.0
    return np.maximum(mean, raw - 0.25 * EYE_HEIGHT)


def draw_path(rng: np.random.Generator, *, land: Land, num_views: int) -> CameraPath:
    """Draws a path, the widest of a few tries, and cameras spread evenly along it.

    Its length does not depend on the number of cameras. The origin of the scene is the middle of the path's extent and
    of its heights, so that x and y of all cameras lie within ``[-EXTENT, EXTENT]``.
    """
    paths = []
    for _ in range(MOST_TRIES):
        paths.append(_draw_places(rng, land))
        if _span(paths[-1]) >= ENOUGH:
            break
    path = max(paths, key=_span)
    places = np.column_stack([path[:, :2], _smoothed_height(land, path) + EYE_HEIGHT])
    middle = (places.min(axis=0) + places.max(axis=0)) / 2.0
    cameras = np.zeros((num_views, 5))
    for k, camera in enumerate(cameras):
        step = int((k + 0.5) * NUM_STEPS / num_views)
        glance = LARGEST_GLANCE * (uniform(rng, -1.0, 1.0) + uniform(rng, -1.0, 1.0)) / 2.0
        camera[:3] = places[step] - middle
        camera[3] = math.remainder(path[step, 2] + glance, 2.0 * math.pi)
        camera[4] = uniform(rng, *PITCHES)
    return CameraPath((float(middle[0]), float(middle[1]), float(middle[2])), cameras)


def _span(path: np.ndarray) -> float:
    """Returns the shorter side of the rectangle that a path keeps to, scene units."""
    return float((path[:, :2].max(axis=0) - path[:, :2].min(axis=0)).min())
