"""Shepard-Metzler objects: a few coloured unit blocks in a row that turns at random, as used for mental rotation.

The blocks are a self-avoiding random walk on a three-dimensional grid; each has one of seven colours. The camera moves
on a sphere round the object and looks at its centre. (Shepard & Metzler, Science 171:701, 1971; the data sets
``shepard_metzler_5_parts`` and ``shepard_metzler_7_parts`` of Eslami et al., Science 360:1204, 2018.)
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from zoo.data.render.rng import choose, uniform
from zoo.data.render.scene import Scene, SceneObject, Triple

CAMERA_RADIUS = 3.0
LARGEST_PITCH = math.radians(75.0)  # the yaw loses its meaning at the poles
LONGEST = 2.4  # scene units; an object whose blocks all lie in one line is this long and just fits into the image
# Each of the three sides that it reaches, and of those that it does not, has its own brightness.
LIGHT = (2.9, 0.9, 3.2)

NUM_COLOURS = 7
COLOURS = tuple(colorsys.hsv_to_rgb(i / NUM_COLOURS, 0.80, 0.97) for i in range(NUM_COLOURS))

Cell = tuple[int, int, int]
Block = tuple[Cell, int]

STEPS: tuple[Cell, ...] = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
# The 24 turns that take the grid onto itself, [24, 3, 3].
ROTATIONS = np.round(Rotation.create_group("O").as_matrix()).astype(int)


@dataclass(frozen=True)
class BlockScene(Scene):
    """A chain of blocks."""

    cells: tuple[Cell, ...] = ()  # of the blocks, in the order of the objects


def random_walk(rng: np.random.Generator, *, length: int) -> list[Cell]:
    """Returns the cells of a walk that visits no cell twice; a walk that traps itself starts again."""
    while True:
        walk: list[Cell] = [(0, 0, 0)]
        while len(walk) < length:
            x, y, z = walk[-1]
            free = [cell for a, b, c in STEPS if (cell := (x + a, y + b, z + c)) not in walk]
            if not free:
                break
            walk.append(choose(rng, free))
        else:
            return walk


def draw_blocks(rng: np.random.Generator, *, num_parts: int) -> tuple[Block, ...]:
    """Draws an object: the cell and the colour of each block."""
    return tuple((cell, choose(rng, range(NUM_COLOURS))) for cell in random_walk(rng, length=num_parts))


def canonical(blocks: tuple[Block, ...]) -> str:
    """Names an object regardless of how it is turned or shifted and from which end its walk began."""
    cells = np.array([cell for cell, _ in blocks]) @ ROTATIONS.transpose(0, 2, 1)
    cells -= cells.min(axis=1, keepdims=True)
    colours = [colour for _, colour in blocks]
    return str(
        min(sorted((*cell, colour) for cell, colour in zip(turned, colours, strict=True)) for turned in cells.tolist())
    )


def build(cells: Sequence[Cell], *, colours: Sequence[Triple]) -> BlockScene:
    """Returns the scene that shows blocks in these cells and colours, the middle of their extent at the origin."""
    places = np.array(cells, float)
    width = LONGEST / len(cells)
    places = (places - (places.min(axis=0) + places.max(axis=0)) / 2.0) * width
    half = width / 2.0
    objects = tuple(
        SceneObject("box", (x, y, z), (half, half, half), 0.0, colour)
        for (x, y, z), colour in zip(places.tolist(), colours, strict=True)
    )
    return BlockScene(objects, LIGHT, cells=tuple(cells))


def draw_object(rng: np.random.Generator, *, num_parts: int) -> tuple[Scene, str]:
    """Draws the scene of an object and its canonical name."""
    blocks = draw_blocks(rng, num_parts=num_parts)
    scene = build([cell for cell, _ in blocks], colours=[COLOURS[colour] for _, colour in blocks])
    return scene, canonical(blocks)


def draw_cameras(rng: np.random.Generator, *, num_views: int, scene: Scene | None = None) -> np.ndarray:
    """Draws cameras [num_views, 5] spread evenly over the sphere (less its poles), looking at the origin."""
    cameras = []
    for _ in range(num_views):
        around = uniform(rng, -math.pi, math.pi)
        height = uniform(rng, -math.sin(LARGEST_PITCH), math.sin(LARGEST_PITCH))
        sideways = math.sqrt(1.0 - height * height)
        place = (CAMERA_RADIUS * part for part in (sideways * math.cos(around), sideways * math.sin(around), height))
        cameras.append((*place, math.remainder(around + math.pi, 2.0 * math.pi), -math.asin(height)))
    return np.array(cameras)
