"""Landmarks of a terrain: firs, trees, boulders and coloured towers.

An object raises the height field: everything under its outline is solid.
"""

from __future__ import annotations

import colorsys
import math
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.render.rng import choose, uniform

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


class LandObject(NamedTuple):
    """One object on the land."""

    kind: Kind
    x: float
    y: float
    base: float  # height of the ground under it
    radius: float
    height: float
    colour: tuple[float, float, float]


def _draw_object(rng: np.random.Generator, kind: Kind, *, x: float, y: float, base: float) -> LandObject:
    tint = uniform(rng, 0.85, 1.15)
    if kind == "fir":
        height = uniform(rng, 0.20, 0.38)
        return LandObject(kind, x, y, base, 0.30 * height, height, _tinted(FIR_COLOUR, tint))
    if kind == "tree":
        radius = uniform(rng, 0.06, 0.10)
        return LandObject(
            kind, x, y, base, radius, radius * uniform(rng, 2.0, 2.6), _tinted(choose(rng, LEAF_COLOURS), tint)
        )
    if kind == "boulder":
        radius = uniform(rng, 0.03, 0.09)
        return LandObject(kind, x, y, base, radius, radius * uniform(rng, 0.8, 1.3), _tinted(BOULDER_COLOUR, tint))
    colour = colorsys.hsv_to_rgb(rng.random(), uniform(rng, 0.75, 1.0), uniform(rng, 0.8, 1.0))
    return LandObject(kind, x, y, base, uniform(rng, 0.035, 0.06), uniform(rng, 0.30, 0.55), colour)


def _tinted(colour: tuple[float, float, float], tint: float) -> tuple[float, float, float]:
    return (min(colour[0] * tint, 1.0), min(colour[1] * tint, 1.0), min(colour[2] * tint, 1.0))


def draw_objects(
    rng: np.random.Generator, *, ground: np.ndarray, wet: np.ndarray, half_land: float
) -> list[LandObject]:
    """Draws objects on dry, fairly level ground that do not touch.

    ``ground`` [N, N] are heights, ``wet`` [N, N] is bool, ``half_land`` half the width of the land in scene units.
    """
    size = ground.shape[0]
    scale = size / (2.0 * half_land)
    objects: list[LandObject] = []
    for kind, count in COUNTS:
        for _ in range(count):
            x, y = uniform(rng, -half_land, half_land), uniform(rng, -half_land, half_land)
            row, column = int((y + half_land) * scale), int((x + half_land) * scale)
            item = _draw_object(rng, kind, x=x, y=y, base=float(ground[row, column]))
            reach = max(1, round(item.radius * scale))
            under = np.s_[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
            level = float(ground[under].max() - ground[under].min()) < STEEPEST
            apart = all(math.hypot(x - other.x, y - other.y) > item.radius + other.radius + SIDE for other in objects)
            if level and apart and not wet[under].any():
                objects.append(item)
    return objects


def place_object(
    item: LandObject,
    *,
    height: np.ndarray,
    ground: np.ndarray,
    colour: np.ndarray,
    blocked: np.ndarray,
    half_land: float,
) -> None:
    """Adds an object to the land: changes ``height`` and ``blocked``, [N, N], and ``colour``, [3, N, N]."""
    size = height.shape[0]
    cell = 2.0 * half_land / size
    reach = math.ceil((item.radius + CLEARANCE) / cell) + 1
    row, column = int((item.y + half_land) / cell), int((item.x + half_land) / cell)
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, size))
    columns = np.arange(max(column - reach, 0), min(column + reach + 1, size))
    here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    aside = np.abs((columns + 0.5) * cell - half_land - item.x)[None, :]
    ahead = np.abs((rows + 0.5) * cell - half_land - item.y)[:, None]
    away = np.maximum(aside, ahead) if item.kind == "tower" else np.sqrt(aside * aside + ahead * ahead)
    share = away / item.radius
    blocked[here] |= away < item.radius + CLEARANCE
    outline = _outline(item.kind, share)
    top = np.where(share <= 1.0, item.base + item.height * outline, ground[here])
    height[here] = np.maximum(height[here], top.astype(np.float32))
    own_colour = np.array(item.colour, np.float32)[:, None, None]
    if item.kind == "tower":  # a white cap
        own_colour = np.where(share < 0.75, np.float32(0.95), own_colour)
    colour[:, here[0], here[1]] = np.where(away < item.radius + SIDE, own_colour, colour[:, here[0], here[1]])


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
