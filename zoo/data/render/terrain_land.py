"""The land of a terrain: relief from value noise, water, sand, grass, rock and snow, objects, light and shadows, on a grid.

A land is a pure function of one number. It covers ``[-HALF_LAND, HALF_LAND]`` in x and y with ``GRID_SIZE`` points each
way; row 0 is the south and column 0 the west. The water level is at height 0. Firs, trees, boulders and coloured towers
raise the height field: everything under their outline is solid.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.render.rng import choose, seeded, uniform

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

Kind = Literal["fir", "tree", "boulder", "tower"]

# Number of places that are tried for each, over the whole land.
COUNTS: tuple[tuple[Kind, int], ...] = (("tower", 26), ("boulder", 60), ("tree", 150), ("fir", 170))

FIR_COLOUR = (0.11, 0.33, 0.16)
LEAF_COLOURS = ((0.20, 0.42, 0.10), (0.42, 0.55, 0.12), (0.80, 0.46, 0.10), (0.70, 0.18, 0.10), (0.88, 0.70, 0.20))
BOULDER_COLOUR = (0.52, 0.50, 0.48)

STEEPEST = 0.06  # by which the ground may differ under an object

# An object's colour reaches this far beyond its outline, so that its steep sides, which the grid cannot show, have it too.
SIDE = 0.016
CLEARANCE = 0.11  # between objects and paths

Colour = tuple[float, float, float]


class Land(NamedTuple):
    """A land; arrays are [GRID_SIZE, GRID_SIZE] unless noted otherwise."""

    height: np.ndarray  # float32: of the surface, objects included
    ground: np.ndarray  # float32: of earth or water
    blocked: np.ndarray  # bool: by water or an object
    colour: np.ndarray  # float32, [3, GRID_SIZE, GRID_SIZE], 0 to 1, light included
    sun: tuple[float, float, float]  # unit vector towards it


@dataclass(frozen=True)
class Terrain:
    """The land of a scene and its place in it."""

    number: int  # of the land, which follows from it
    origin: tuple[float, float, float]  # where the origin of the scene lies in the land, scene units
    land: Land = field(repr=False, compare=False)


class LandObject(NamedTuple):
    """One object on the land."""

    kind: Kind
    x: float
    y: float
    base: float  # height of the ground under it
    radius: float
    height: float
    colour: Colour


def _draw_knots(rng: np.random.Generator) -> list[np.ndarray]:
    return [2.0 * rng.random((count + 1, count + 1)) - 1.0 for count, _ in OCTAVES]


def canonical(number: int) -> str:
    """Names a land by its coarsest relief in three steps; lands that agree in it share a name, and with it a split."""
    coarsest = _draw_knots(seeded(number))[0]
    return "".join("-0+"[int(1.5 * (knot + 1.0))] for knot in coarsest.flat)


class LandParameters(NamedTuple):
    """The first numbers that are drawn of a land."""

    knots: list[np.ndarray]  # of each octave of the relief
    water_share: float  # of the land
    azimuth: float  # of the sun, radians, counter-clockwise from +x


def draw_parameters(rng: np.random.Generator) -> LandParameters:
    """Draws the parameters of a land from the generator of its number."""
    knots = _draw_knots(rng)
    share = uniform(rng, *WATER_SHARE)
    return LandParameters(knots, share, uniform(rng, -math.pi, math.pi))


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


def _draw_object(rng: np.random.Generator, kind: Kind, *, x: float, y: float, base: float) -> LandObject:
    tint = uniform(rng, 0.85, 1.15)
    if kind == "fir":
        height = uniform(rng, 0.20, 0.38)
        radius, colour = 0.30 * height, FIR_COLOUR
    elif kind == "tree":
        radius = uniform(rng, 0.06, 0.10)
        height, colour = radius * uniform(rng, 2.0, 2.6), choose(rng, LEAF_COLOURS)
    elif kind == "boulder":
        radius = uniform(rng, 0.03, 0.09)
        height, colour = radius * uniform(rng, 0.8, 1.3), BOULDER_COLOUR
    else:
        tint = 1.0
        colour = colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.75, 1.0), uniform(rng, 0.8, 1.0))
        radius, height = uniform(rng, 0.035, 0.06), uniform(rng, 0.30, 0.55)
    red, green, blue = (min(channel * tint, 1.0) for channel in colour)
    return LandObject(kind, x, y, base, radius, height, (red, green, blue))


def _draw_objects(rng: np.random.Generator, *, ground: np.ndarray, wet: np.ndarray) -> list[LandObject]:
    """Draws objects on dry, fairly level ground that do not touch."""
    scale = GRID_SIZE / (2.0 * HALF_LAND)
    objects: list[LandObject] = []
    for kind, count in COUNTS:
        for _ in range(count):
            x, y = uniform(rng, -HALF_LAND, HALF_LAND), uniform(rng, -HALF_LAND, HALF_LAND)
            row, column = int((y + HALF_LAND) * scale), int((x + HALF_LAND) * scale)
            item = _draw_object(rng, kind, x=x, y=y, base=float(ground[row, column]))
            reach = max(1, round(item.radius * scale))
            under = np.s_[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
            level = float(ground[under].max() - ground[under].min()) < STEEPEST
            apart = all(math.hypot(x - other.x, y - other.y) > item.radius + other.radius + SIDE for other in objects)
            if level and apart and not wet[under].any():
                objects.append(item)
    return objects


def place_object(item: LandObject, land: Land) -> None:
    """Adds an object to the height, the colour and the blocked places of a land, in place."""
    reach = math.ceil((item.radius + CLEARANCE) / CELL) + 1
    row, column = int((item.y + HALF_LAND) / CELL), int((item.x + HALF_LAND) / CELL)
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, GRID_SIZE))
    columns = np.arange(max(column - reach, 0), min(column + reach + 1, GRID_SIZE))
    here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    aside = np.abs((columns + 0.5) * CELL - HALF_LAND - item.x)[None, :]
    ahead = np.abs((rows + 0.5) * CELL - HALF_LAND - item.y)[:, None]
    away = np.maximum(aside, ahead) if item.kind == "tower" else np.sqrt(aside * aside + ahead * ahead)
    share = away / item.radius
    land.blocked[here] |= away < item.radius + CLEARANCE
    top = np.where(share <= 1.0, item.base + item.height * _outline(item.kind, share), land.ground[here])
    land.height[here] = np.maximum(land.height[here], top.astype(np.float32))
    colour = _plain(item.colour)
    if item.kind == "tower":  # a white cap
        colour = np.where(share < 0.75, np.float32(0.95), colour)
    under = land.colour[:, here[0], here[1]]
    under[:] = np.where(away < item.radius + SIDE, colour, under)


def _outline(kind: Kind, share: np.ndarray) -> np.ndarray:
    """Returns the height of an object, 0 to 1, at a share of its radius from its middle."""
    inside = share.clip(0.0, 1.0)
    if kind == "fir":
        return 1.0 - 0.84 * inside
    if kind == "tree":
        return 0.45 + 0.55 * np.sqrt(1.0 - inside * inside)
    if kind == "boulder":
        return np.sqrt(1.0 - inside * inside)
    return np.where(share < 0.6, 1.0, 0.88)


def build_land(number: int) -> Land:
    """Builds the land of a number."""
    rng = seeded(number)
    knots, share, azimuth = draw_parameters(rng)
    across = math.cos(SUN_HEIGHT)
    sun = (across * math.cos(azimuth), across * math.sin(azimuth), math.sin(SUN_HEIGHT))
    noises = [_spread(octave) for octave in knots]
    relief = np.zeros((GRID_SIZE, GRID_SIZE), np.float32)
    for noise, (_, scale) in zip(noises, OCTAVES, strict=True):
        relief += noise * np.float32(scale)
    relief -= np.partition(relief.ravel(), int(share * relief.size))[int(share * relief.size)]
    ground = np.maximum(relief, np.float32(0.0))
    grain = (2.0 * rng.random((GRID_SIZE, GRID_SIZE)) - 1.0).astype(np.float32)
    land = Land(ground.copy(), ground, relief < 0.0, _ground_colour(relief, noises, grain), sun)
    for item in _draw_objects(rng, ground=ground, wet=land.blocked):
        place_object(item, land)
    return land._replace(colour=(land.colour * _shade(land.height, sun)).clip(0.0, 1.0))
