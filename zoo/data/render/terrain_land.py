"""The land of a terrain: relief from value noise, water, sand, grass, rock and snow, light and shadows, on a grid.

A land is a pure function of one number. It covers ``[-HALF_LAND, HALF_LAND]`` in x and y with ``GRID_SIZE`` points each
way; row 0 is the south and column 0 the west. The water level is at height 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from zoo.data.render.rng import uniform
from zoo.data.render.terrain_objects import draw_objects, place_object

HALF_LAND = 3.5
GRID_SIZE = 512
CELL = 2.0 * HALF_LAND / GRID_SIZE

# Knots across the land and height, of each octave of the noise.
OCTAVES = ((4, 0.32), (8, 0.17), (16, 0.085), (32, 0.034), (64, 0.013))
WATER_SHARE = (0.04, 0.26)  # of the land

GRAIN = 0.11  # by which neighbouring places differ in brightness
WATER_DEEP, WATER_SHALLOW = (0.08, 0.25, 0.48), (0.24, 0.52, 0.62)
SAND, GRASS, DRY_GRASS = (0.85, 0.76, 0.52), (0.27, 0.52, 0.15), (0.60, 0.60, 0.26)
ROCK, SNOW = (0.47, 0.43, 0.40), (0.93, 0.95, 0.99)

AMBIENT, SKYLIGHT, SUNLIGHT = 0.50, 0.12, 0.55
SUN_HEIGHT = math.radians(40.0)
SHADOW_STEPS = tuple(round(1.0 + 1.6 * k) for k in range(24))  # grid points towards the sun, as far as shadows reach

Colour = tuple[float, float, float]


class Land(NamedTuple):
    """A land; arrays are [GRID_SIZE, GRID_SIZE] unless noted otherwise."""

    height: np.ndarray  # float32: of the surface, objects included
    ground: np.ndarray  # float32: of earth or water
    blocked: np.ndarray  # bool: by water or an object
    colour: np.ndarray  # float32, [3, GRID_SIZE, GRID_SIZE], 0 to 1, light included
    sun: tuple[float, float, float]  # unit vector towards it


def _generator(number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(number)))


def _draw_knots(rng: np.random.Generator) -> list[np.ndarray]:
    return [2.0 * rng.random((count + 1, count + 1)) - 1.0 for count, _ in OCTAVES]


def canonical(number: int) -> str:
    """Names a land by its coarsest relief in three steps; lands that agree in it share a name, and with it a split."""
    coarsest = _draw_knots(_generator(number))[0]
    return "".join("-0+"[int(1.5 * (knot + 1.0))] for knot in coarsest.flat)


def _spread(knots: np.ndarray) -> np.ndarray:
    """Returns smooth noise [GRID_SIZE, GRID_SIZE] float32 through the knots [n + 1, n + 1]."""
    count = knots.shape[0] - 1
    place = (np.arange(GRID_SIZE) + 0.5) / GRID_SIZE * count
    low = np.floor(place).astype(int)
    share = place - low
    share = (share * share * (3.0 - 2.0 * share)).astype(np.float32)
    knots = knots.astype(np.float32)
    rows = knots[low] + (knots[low + 1] - knots[low]) * share[:, None]
    rows = np.ascontiguousarray(rows.T)
    return np.ascontiguousarray((rows[low] + (rows[low + 1] - rows[low]) * share[:, None]).T)


def _plain(colour: Colour) -> np.ndarray:
    """Returns a colour for every place, [3, 1, 1]."""
    return np.array(colour, np.float32)[:, None, None]


def _mixed(colour: np.ndarray, amount: np.ndarray, other: Colour) -> np.ndarray:
    return colour + amount * (_plain(other) - colour)


def _ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((value - low) * (1.0 / (high - low))).clip(0.0, 1.0)


def slopes(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rise to the east and to the north, dimensionless, of heights on the grid."""
    padded = np.pad(height, 1, mode="edge")
    scale = np.float32(1.0 / (2.0 * CELL))
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) * scale, (padded[2:, 1:-1] - padded[:-2, 1:-1]) * scale


def _ground_colour(relief: np.ndarray, noises: list[np.ndarray], grain: np.ndarray) -> np.ndarray:
    """Returns the colour of earth and water, [3, GRID_SIZE, GRID_SIZE]."""
    east, north = slopes(relief)
    steepness = np.sqrt(east * east + north * north)
    ragged = relief + 0.05 * noises[3] + 0.03 * noises[4]
    colour = _mixed(_plain(GRASS), _ramp(noises[2] + 0.5 * noises[3], -0.3, 0.6), DRY_GRASS)
    colour = _mixed(colour, np.maximum(_ramp(steepness, 0.75, 1.05), _ramp(ragged, 0.32, 0.40)), ROCK)
    colour = _mixed(colour, _ramp(ragged, 0.41, 0.47) * _ramp(-steepness, -1.5, -1.1), SNOW)
    colour = _mixed(colour, _ramp(-ragged, -0.06, -0.03), SAND)
    colour = colour * (1.0 + 0.10 * noises[4] + 0.05 * noises[3] + GRAIN * grain)
    water = _mixed(_plain(WATER_SHALLOW), _ramp(-relief, 0.0, 0.16), WATER_DEEP)
    return np.where(relief < 0.0, water, colour)


def _shade(height: np.ndarray, sun: tuple[float, float, float]) -> np.ndarray:
    """Returns the brightness of every place: light of the sky, and of the sun where nothing hides it."""
    east, north = slopes(height)
    up = 1.0 / np.sqrt(1.0 + east * east + north * north)
    facing = ((sun[2] - sun[0] * east - sun[1] * north) * up).clip(0.0)
    across = math.hypot(sun[0], sun[1])
    dark = np.zeros_like(height)
    for step in SHADOW_STEPS:
        column, row = round(step * sun[0] / across), round(step * sun[1] / across)
        rise = math.hypot(column, row) * CELL * sun[2] / across
        inside = np.s_[max(-row, 0) : GRID_SIZE - max(row, 0), max(-column, 0) : GRID_SIZE - max(column, 0)]
        beyond = np.s_[max(row, 0) : GRID_SIZE - max(-row, 0), max(column, 0) : GRID_SIZE - max(-column, 0)]
        # Gradual: terrain that hides the sun by little gives half a shadow, which keeps edges from being ragged.
        hidden = (height[beyond] - height[inside] - rise) * (1.0 / (2.0 * CELL))
        np.maximum(dark[inside], hidden, out=dark[inside])
    return AMBIENT + SKYLIGHT * up + SUNLIGHT * facing * (1.0 - dark.clip(0.0, 1.0))


def build_land(number: int) -> Land:
    """Builds the land of a number."""
    rng = _generator(number)
    knots = _draw_knots(rng)
    share = uniform(rng, *WATER_SHARE)
    azimuth = uniform(rng, -math.pi, math.pi)
    sun = (
        math.cos(SUN_HEIGHT) * math.cos(azimuth),
        math.cos(SUN_HEIGHT) * math.sin(azimuth),
        math.sin(SUN_HEIGHT),
    )
    noises = [_spread(octave) for octave in knots]
    relief = np.zeros((GRID_SIZE, GRID_SIZE), np.float32)
    for noise, (_, scale) in zip(noises, OCTAVES, strict=True):
        relief += noise * np.float32(scale)
    relief -= np.partition(relief.ravel(), int(share * relief.size))[int(share * relief.size)]
    ground = np.maximum(relief, np.float32(0.0))
    grain = (2.0 * rng.random((GRID_SIZE, GRID_SIZE)) - 1.0).astype(np.float32)
    colour = _ground_colour(relief, noises, grain)
    height, blocked = ground.copy(), relief < 0.0
    for item in draw_objects(rng, ground=ground, wet=blocked, half_land=HALF_LAND):
        place_object(item, height=height, ground=ground, colour=colour, blocked=blocked, half_land=HALF_LAND)
    light = _shade(height, sun)
    return Land(height, ground, blocked, (colour * light).clip(0.0, 1.0), sun)
