"""Terrains: a path over open land with lakes, hills, trees and towers, for localising where an image was taken.

Rosenbaum et al., "Learning models for visual 3D localization with implicit mapping" (2018), let an agent move at random
over Minecraft landscapes and asked from where an image was seen; a path had 100 images, 32 pixels wide. The
landscape here is our own: smooth relief, seen through fog that hides its end.

Coordinates are relative to the middle of the path. x and y of every camera lie within ``[-EXTENT, EXTENT]``, so that a
grid over that square holds all possible places; z is relative to the middle of the heights of the cameras, so
that 0 is a fair guess for a place that has not been visited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from zoo.data.built_in import BuiltIn, DrawnScene, Rendering, stack_cameras
from zoo.data.factors.terrain_factors import TerrainFactors
from zoo.data.render.rng import uniform
from zoo.data.render.scene import Triple
from zoo.data.render.terrain_caster import LandTensors, look_up, render_lands, stack_lands
from zoo.data.render.terrain_land import CELL, GRID_SIZE, HALF_LAND, Land, Terrain, build_land, canonical
from zoo.data.source import MAP, ExtraShape, Split

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


def _cell(x: float, y: float) -> tuple[int, int]:
    row, column = int((y + HALF_LAND) / CELL), int((x + HALF_LAND) / CELL)
    return min(max(row, 0), GRID_SIZE - 1), min(max(column, 0), GRID_SIZE - 1)


def _is_passable(land: Land, x: float, y: float, new_x: float, new_y: float) -> bool:
    new = _cell(new_x, new_y)
    if max(abs(new_x), abs(new_y)) > KEEP_WITHIN or land.blocked[new]:
        return False
    return abs(float(land.ground[new] - land.ground[_cell(x, y)])) <= STEEPEST * (STEP + CELL)


def _draw_start(rng: np.random.Generator, land: Land) -> tuple[float, float]:
    """Draws a free place in the middle of the land; the very middle if there is none."""
    low, high = _cell(-START_WITHIN, -START_WITHIN)[0], _cell(START_WITHIN, START_WITHIN)[0]
    free = np.argwhere(~land.blocked[low:high, low:high])
    if not len(free):
        return 0.0, 0.0
    row, column = free[int(rng.random() * len(free))].tolist()
    return (column + low + 0.5) * CELL - HALF_LAND, (row + low + 0.5) * CELL - HALF_LAND


def _draw_places(rng: np.random.Generator, land: Land) -> np.ndarray:
    """Draws places and headings [NUM_STEPS, 3]; where the way is blocked on all sides the path turns on the spot."""
    x, y = _draw_start(rng, land)
    heading = uniform(rng, -math.pi, math.pi)
    bend = 0.0
    path = []
    for _ in range(NUM_STEPS):
        path.append((x, y, heading))
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
    return np.array(path)


def _smoothed_height(land: Land, path: np.ndarray) -> np.ndarray:
    """Returns the height of the ground along a path, [NUM_STEPS], without the steps of the grid."""
    raw = np.array([float(land.ground[_cell(x, y)]) for x, y, _ in path])
    padded = np.pad(raw, 6, mode="edge")
    mean = sum(padded[shift : shift + len(raw)] for shift in range(13)) / 13.0
    return np.maximum(mean, raw - 0.25 * EYE_HEIGHT)


def _span(path: np.ndarray) -> float:
    """Returns the shorter side of the rectangle that a path keeps to, scene units."""
    return float((path[:, :2].max(axis=0) - path[:, :2].min(axis=0)).min())


def draw_path(rng: np.random.Generator, *, land: Land, num_views: int) -> tuple[Triple, np.ndarray]:
    """Draws the origin of a path, the widest of a few tries, and cameras [V, 5] spread evenly along it, relative to that.

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
    cameras = []
    for k in range(num_views):
        step = int((k + 0.5) * NUM_STEPS / num_views)
        glance = LARGEST_GLANCE * (uniform(rng, -1.0, 1.0) + uniform(rng, -1.0, 1.0)) / 2.0
        yaw = math.remainder(path[step, 2] + glance, 2.0 * math.pi)
        cameras.append((*(places[step] - middle), yaw, uniform(rng, *PITCHES)))
    return tuple(middle.tolist()), np.array(cameras)


@dataclass(frozen=True)
class Terrains(BuiltIn):
    """The data set; its extra is ``map`` [H, W, 3] uint8, see :func:`draw_map`."""

    def extras(self, *, image_size: int) -> Mapping[str, ExtraShape]:
        """Returns the type and shape of the map."""
        return {MAP: ExtraShape("uint8", (image_size, image_size, 3), per_view=False)}

    def draw(self, *, seed: int, split: Split, index: int) -> DrawnScene:
        """Draws terrain ``index`` of a split with the cameras of its path."""
        number, name, rng = self.draw_content(_draw_number, seed=seed, split=split, index=index)
        terrain = Terrain(number, (0.0, 0.0, 0.0), build_land(number))
        return self.with_cameras(terrain, rng=rng)._replace(name=name)

    def with_cameras(self, scene: Terrain, *, rng: np.random.Generator) -> DrawnScene:
        """Returns the land with a new path, whose middle is the new origin of the scene."""
        origin, cameras = draw_path(rng, land=scene.land, num_views=self.num_views)
        return DrawnScene(replace(scene, origin=origin), "", cameras.astype(np.float32))

    def render_drawn(self, drawn: Sequence[DrawnScene], *, image_size: int, device: torch.device | str) -> Rendering:
        """Renders drawn terrains and their maps."""
        terrains, cameras = tuple(item.scene for item in drawn), stack_cameras(drawn)
        lands = stack_lands([item.land for item in terrains], origins=[item.origin for item in terrains], device=device)
        frames = render_lands(lands, cameras=cameras, image_size=image_size)
        maps = draw_map(lands, image_size=image_size)
        return Rendering(frames, cameras, terrains, {MAP: maps.cpu().numpy()})


def draw_map(lands: LandTensors, *, image_size: int) -> Tensor:
    """Draws lands from straight above, without perspective: the square ``[-EXTENT, EXTENT]`` in x and y of each scene.

    North (+y) is up and east (+x) is right: (x, y) is at column ``(x / EXTENT + 1) / 2 * image_size`` and row
    ``(1 - y / EXTENT) / 2 * image_size``, in continuous pixels.

    Returns:
        [B, H, W, 3] uint8 on the device of the lands.
    """
    device = lands.height.device
    num_scenes = lands.origin.shape[0]
    pixel = 2.0 * EXTENT / image_size
    place = ((torch.arange(image_size, device=device) + 0.5) * pixel - EXTENT).float()
    x, y = torch.broadcast_tensors(
        lands.origin[:, 0, None, None] + place, lands.origin[:, 1, None, None] - place[:, None]
    )
    scene = torch.arange(num_scenes, dtype=torch.int32, device=device)[:, None, None]
    colour = look_up(lands, scene=scene, x=x, y=y, footprint=torch.full_like(x, pixel))
    return (torch.stack(colour, dim=-1) + 0.5).to(torch.uint8)


def _draw_number(rng: np.random.Generator) -> tuple[int, str]:
    number = int(rng.random() * 2**53)
    return number, canonical(number)


TERRAIN = Terrains(
    name="terrain",
    num_views=100,
    description="a path over open land with lakes, hills, trees and towers, and its map",
    factor_class=TerrainFactors,
)
