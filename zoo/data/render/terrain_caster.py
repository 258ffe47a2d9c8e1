"""Images of terrains, by profiles of the land rather than by marching every ray.

A camera without roll sees the land in vertical planes. In one plane, let ``r`` be the way ahead and ``h(r)`` the height
of the land over the camera. A ray of slope m ends where the line ``m r`` first meets the land: at the first r whose
*horizon* ``max over r' <= r of h(r') / r'`` reaches m. The horizon only grows, so that a binary search finds the place.
An image of n x n samples costs about 1.25 n planes of some 250 heights and n^2 searches of 8 steps, where marching
would take some hundred steps a ray. (Height maps drawn front to back along lines of sight: Wright & Hsieh,
"A voxel-based, forward projection algorithm for rendering surface and volumetric data", Visualization 1992.)

The planes lie densely rather than exactly where the rays are: to the side, a silhouette is exact to less than a sample.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.camera import IMAGE_HALF_WIDTH
from zoo.data.render.sampling import ray_grid, render_chunks
from zoo.data.render.shading import SKY_HORIZON, SKY_ZENITH
from zoo.data.render.terrain_land import CELL, GRID_SIZE, HALF_LAND, Land
from zoo.data.render.textures import mip_level, pack_colours, take
from zoo.errors import DataError

NUM_LEVELS = 4  # of the coloured grid, each half as fine as the one before
LEVEL_SIDES = tuple(GRID_SIZE >> level for level in range(NUM_LEVELS))
LEVEL_STARTS = tuple(sum(side**2 for side in LEVEL_SIDES[:level]) for level in range(NUM_LEVELS + 1))

NEAREST, FARTHEST = 0.04, 2.6  # scene units ahead of the camera; the fog is complete at the far end
NUM_DEPTHS = 255  # one less than a power of two suits the search
PLANES_PER_SAMPLE = 1.25

LARGEST_PITCH = math.radians(30.0)

SUN_GLOW = (0.30, 0.24, 0.10)


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
        parts.append(pack_colours(colour).ravel())
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
    """Returns the colour of lands (``scene``, int32) at places (x, y), three times [...], 0 to 255.

    ``footprint`` is the width of the patch that one sample covers. All are [...], in scene units.
    """
    level = mip_level(footprint * (1.0 / CELL), num_levels=NUM_LEVELS)
    side, start = (
        take(torch.tensor(table, dtype=torch.int32, device=x.device), level) for table in (LEVEL_SIDES, LEVEL_STARTS)
    )
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
        packed = take(lands.colour, place)
        channels.append([((packed >> shift) & 255) * weight for shift in (0, 8, 16)])
    return [a + b + c + d for a, b, c, d in zip(*channels, strict=True)]


@functools.cache
def depths(device: torch.device) -> Tensor:
    """Returns the distances ahead at which the land is looked up, [NUM_DEPTHS] float32: closer together nearby."""
    # Steps of a + b r with a / b fixed so that near steps are about as wide as the grid is fine.
    start, end = NEAREST + 0.7, FARTHEST + 0.7
    exact = start * (end / start) ** (np.arange(NUM_DEPTHS) / (NUM_DEPTHS - 1)) - 0.7
    # Whole 4096ths: the last bit of a power on another processor does not matter.
    return torch.from_numpy((np.round(exact * 4096.0) / 4096.0).astype(np.float32)).to(device)


class _View(NamedTuple):
    """C cameras with R rays each."""

    scene: Tensor  # [C, 1] int32
    position: Tensor  # [3, C, 1], in the land
    ahead: Tensor  # [2, C, 1]: the horizontal direction that the camera faces, length 1
    aside: Tensor  # [2, C, 1]: the horizontal direction to its right
    widest: Tensor  # [C, 1]: the largest way to the side for one step ahead
    side: Tensor  # [C, R]: of each ray, to the right for one step ahead
    slope: Tensor  # [C, R]: of each ray, upwards for one step ahead


def _reach(lands: LandTensors, view: _View, *, num_planes: int) -> Tensor:
    """Returns how far ahead rays meet the land, [C, R]; infinite where they do not."""
    device = view.slope.device
    depth = depths(device)
    # The land in P planes of each camera, [C, P, NUM_DEPTHS].
    lateral = (2.0 * torch.arange(num_planes, device=device) + 1.0) * (1.0 / num_planes) - 1.0
    lateral = lateral * view.widest
    x, y = (
        ((position + HALF_LAND)[..., None] + depth * (ahead + aside * lateral)[..., None]) * (1.0 / CELL)
        for position, ahead, aside in zip(view.position[:2], view.ahead, view.aside, strict=True)
    )
    column, row = x.clamp(0.0, GRID_SIZE - 1.0).int(), y.clamp(0.0, GRID_SIZE - 1.0).int()
    height = take(lands.height, view.scene[..., None] * GRID_SIZE**2 + row * GRID_SIZE + column)
    slopes = (height - view.position[2][..., None]) * (1.0 / depth)
    horizons = slopes.cummax(-1).values.flatten()
    slopes = slopes.flatten()
    # The search of every ray in its plane.
    plane = ((view.side / view.widest + 1.0) * (0.5 * num_planes)).int().clamp(0, num_planes - 1)
    camera = torch.arange(view.slope.shape[0], dtype=torch.int32, device=device)[:, None]
    first = (camera * num_planes + plane) * NUM_DEPTHS
    passed = torch.zeros_like(first)
    step = (NUM_DEPTHS + 1) // 2
    while step:
        below = take(horizons, first + passed + (step - 1)) < view.slope
        passed = passed + step * below
        step //= 2
    after = passed.clamp_max(NUM_DEPTHS - 1)
    before = (after - 1).clamp_min(0)
    near, far = take(depth, before), take(depth, after)
    # Between two looks the land is taken for straight: how far is it over the ray at one, under it at the other?
    under = (view.slope - take(slopes, first + before)) * near
    over = (take(slopes, first + after) - view.slope) * far
    share = (under / (under + over).clamp_min(1e-9)).clamp(0.0, 1.0)
    reach = near + (far - near) * share
    return torch.where(passed == NUM_DEPTHS, torch.inf, reach)


def _cast(lands: LandTensors, view: _View, *, angle: float, num_planes: int) -> list[Tensor]:
    """Returns the colour of rays, three times [C, R], 0 to 255."""
    reach = _reach(lands, view, num_planes=num_planes)
    length = (1.0 + view.side * view.side).sqrt()
    fog = (reach * length * (1.0 / FARTHEST)).clamp_max(1.0)
    fog = fog * fog
    seen = reach.clamp_max(FARTHEST)
    x, y = (
        position + seen * (ahead + aside * view.side)
        for position, ahead, aside in zip(view.position[:2], view.ahead, view.aside, strict=True)
    )
    land = look_up(
        lands,
        scene=view.scene,
        x=x,
        y=y,
        # Seen at a slant a sample covers a strip: wide enough to calm the distance, narrow enough to show it.
        footprint=seen * (2.0 * angle),
    )
    whole = (length * length + view.slope * view.slope).sqrt()
    sun = lands.sun[:, view.scene]
    towards = sun[0] * (view.ahead[0] + view.aside[0] * view.side) + sun[1] * (
        view.ahead[1] + view.aside[1] * view.side
    )
    glow = ((towards + sun[2] * view.slope) / whole).clamp_min(0.0)
    for _ in range(4):
        glow = glow * glow
    upwards = (view.slope / whole * 1.8).clamp(0.0, 1.0)
    colour = []
    for horizon, zenith, shine, near in zip(SKY_HORIZON, SKY_ZENITH, SUN_GLOW, land, strict=True):
        sky = 255.0 * (horizon + (zenith - horizon) * upwards + shine * glow).clamp_max(1.0)
        colour.append(near + (sky - near) * fog)
    return colour


def render_lands(lands: LandTensors, *, cameras: Tensor, image_size: int) -> Tensor:
    """Renders cameras [B, V, 5] of B lands, [B, V, H, W, 3] uint8; see :func:`zoo.data.render.raycaster.render`.

    Cameras are above the ground; their pitch is at most 30 degrees either way (DataError).
    """
    device = lands.height.device
    grid = ray_grid(image_size, device=device)
    num_planes = math.ceil(PLANES_PER_SAMPLE * image_size * grid.samples_per_side)
    # On the host and in double precision, number by number: sines may differ between devices.
    angles = cameras[..., 3:].detach().double().cpu().reshape(-1, 2).tolist()
    if any(abs(pitch) > LARGEST_PITCH for _, pitch in angles):
        raise DataError(f"cameras: a pitch beyond {LARGEST_PITCH:.3f} radians; terrains are seen along the ground")
    turns = torch.tensor(
        [(math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)) for yaw, pitch in angles], device=device
    ).T[:, :, None]
    places = (cameras[..., :3].detach().float().to(device) + lands.origin[:, None]).view(-1, 3).T[:, :, None]

    def cast(part: slice, scene: Tensor) -> list[Tensor]:
        cos_yaw, sin_yaw, cos_pitch, sin_pitch = turns[:, part]
        forwards = cos_pitch - grid.up * sin_pitch
        view = _View(
            scene,
            places[:, part],
            ahead=torch.stack([cos_yaw, sin_yaw]),
            aside=torch.stack([sin_yaw, -cos_yaw]),
            widest=IMAGE_HALF_WIDTH / (cos_pitch - IMAGE_HALF_WIDTH * sin_pitch.abs()),
            side=grid.right / forwards,
            slope=(sin_pitch + grid.up * cos_pitch) / forwards,
        )
        return _cast(lands, view, angle=grid.sample_angle, num_planes=num_planes)

    return render_chunks(cast, num_scenes=cameras.shape[0], num_views=cameras.shape[1], grid=grid)
