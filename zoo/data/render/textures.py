"""Procedural textures of walls and floors, computed once as small tiling images with mip levels.

Each tile covers ``TILE_WIDTH`` scene units. Looking a colour up in a finished image costs the ray-caster a handful
of operations, and the coarser levels keep a distant floor from flickering.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.render.rng import seeded

TILE_WIDTH = 1.75
TILE_SIZE = 128
NUM_LEVELS = 6

_OVERSAMPLING = 4
_EXPONENT_OF_ONE = 127  # as float32 stores it

Colour = tuple[float, float, float]
Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _noise(u: np.ndarray, v: np.ndarray, *, cells: tuple[int, int], seed: int) -> np.ndarray:
    """Returns smooth noise, 0 to 1, with ``cells`` random knots across and up the tile."""
    knots = seeded(seed).random(cells)
    x, y = u * cells[0], v * cells[1]
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    x, y = x - column, y - row
    x, y = x * x * (3.0 - 2.0 * x), y * y * (3.0 - 2.0 * y)
    left, right = column % cells[0], (column + 1) % cells[0]
    bottom, top = row % cells[1], (row + 1) % cells[1]
    below = knots[left, bottom] * (1.0 - x) + knots[right, bottom] * x
    above = knots[left, top] * (1.0 - x) + knots[right, top] * x
    return below * (1.0 - y) + above * y


def _clouds(u: np.ndarray, v: np.ndarray, *, cells: int, seed: int) -> np.ndarray:
    octaves = (_noise(u, v, cells=(cells << i, cells << i), seed=seed + i) * 0.5**i for i in range(3))
    return np.sum(list(octaves), axis=0) / 1.75


def _tinted(brightness: np.ndarray, colour: Colour) -> np.ndarray:
    return brightness[..., None] * np.array(colour)


def _mixed(amount: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns ``first`` where amount is 0 and ``second`` where it is 1."""
    return first * (1.0 - amount[..., None]) + second * amount[..., None]


def _staggered(u: np.ndarray, v: np.ndarray, *, across: int, up: int) -> tuple[np.ndarray, ...]:
    """Returns the place within a brick (0 to 1 each way) and a random number for each brick of a running bond."""
    row = np.floor(v * up)
    x = u * across + 0.5 * (row % 2)
    column = np.floor(x) % across
    tone = seeded(across * 100 + up).random((across, up))
    return x - np.floor(x), v * up - row, tone[column.astype(int), row.astype(int) % up]


def _edge(x: np.ndarray, width: float) -> np.ndarray:
    """Returns 1 within ``width`` of either end of the unit interval, else 0."""
    return ((x < width) | (x > 1.0 - width)).astype(float)


def _red_bricks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y, tone = _staggered(u, v, across=4, up=8)
    mortar = np.maximum(_edge(x, 0.035), _edge(y, 0.07))
    grain = 0.9 + 0.2 * _clouds(u, v, cells=16, seed=11)
    brick = _tinted((0.72 + 0.34 * tone) * grain, (0.83, 0.14, 0.11))
    return _mixed(mortar, brick, _tinted(grain, (0.80, 0.55, 0.48)))


def _green_boards(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    board = np.floor(u * 7)
    x = u * 7 - board
    tone = np.array([0.86, 1.0, 0.92, 1.06, 0.82, 0.97, 0.9])[board.astype(int) % 7]
    grain = 0.8 + 0.4 * _noise(u, v, cells=(56, 3), seed=21)
    planks = _tinted(tone * grain * (0.9 + 0.2 * x), (0.24, 0.70, 0.20))
    return _mixed(_edge(x, 0.06), planks, _tinted(grain, (0.05, 0.27, 0.07)))


def _cerise_diamonds(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = u * 4, v * 4
    a, b = x + y, x - y
    dark = (np.floor(a) + np.floor(b)) % 2
    line = np.maximum(_edge(a - np.floor(a), 0.05), _edge(b - np.floor(b), 0.05))
    cloth = 0.92 + 0.16 * _clouds(u, v, cells=8, seed=31)
    diamonds = _mixed(dark, _tinted(cloth, (0.88, 0.20, 0.46)), _tinted(cloth, (0.62, 0.07, 0.30)))
    return _mixed(line, diamonds, _tinted(cloth, (0.97, 0.62, 0.76)))


def _orange_stucco(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    clouds = _clouds(u, v, cells=6, seed=41)
    plaster = _mixed(clouds, _tinted(np.ones_like(u), (0.78, 0.33, 0.02)), _tinted(np.ones_like(u), (1.0, 0.68, 0.22)))
    stripe = ((v * 4) % 1.0 < 0.12).astype(float)
    return _mixed(stripe, plaster, _tinted(0.9 + 0.2 * clouds, (0.55, 0.20, 0.02)))


def _yellow_discs(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y, tone = _staggered(u, v, across=5, up=5 + 1)
    distance = np.hypot((x - 0.5) / 5, (y - 0.5) / 6)
    paper = 0.94 + 0.12 * _clouds(u, v, cells=8, seed=51)
    discs = (distance < 0.056).astype(float)
    rings = discs * (distance > 0.026)
    ground = _tinted(paper, (0.97, 0.86, 0.22))
    return _mixed(rings, ground, _tinted(paper * (0.9 + 0.2 * tone), (0.77, 0.52, 0.05)))


def _yellow_checks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    dark = (np.floor(u * 4) + np.floor(v * 4)) % 2
    stone = 0.9 + 0.2 * _clouds(u, v, cells=8, seed=61)
    return _mixed(dark, _tinted(stone, (0.93, 0.83, 0.45)), _tinted(stone, (0.76, 0.60, 0.22)))


def _white_tiles(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    tone = seeded(71).random((3, 3))
    column, row = np.floor(u * 3).astype(int), np.floor(v * 3).astype(int)
    gap = np.maximum(_edge(u * 3 - column, 0.035), _edge(v * 3 - row, 0.035))
    stone = 0.93 + 0.12 * _clouds(u, v, cells=6, seed=72)
    tiles = _tinted(stone * (0.84 + 0.14 * tone[column % 3, row % 3]), (0.93, 0.93, 0.92))
    return _mixed(gap, tiles, _tinted(stone, (0.55, 0.56, 0.58)))


def _blue_planks(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y, tone = _staggered(u, v, across=2, up=6)
    grain = 0.82 + 0.36 * _noise(u, v, cells=(4, 48), seed=81)
    planks = _tinted((0.8 + 0.4 * tone) * grain, (0.24, 0.40, 0.72))
    return _mixed(np.maximum(_edge(y, 0.05), _edge(x, 0.015)), planks, _tinted(grain, (0.09, 0.15, 0.33)))


WALL_TEXTURES: Mapping[str, Texture] = {
    "red": _red_bricks,
    "green": _green_boards,
    "cerise": _cerise_diamonds,
    "orange": _orange_stucco,
    "yellow": _yellow_discs,
}
FLOOR_TEXTURES: Mapping[str, Texture] = {
    "yellow floor": _yellow_checks,
    "white floor": _white_tiles,
    "blue floor": _blue_planks,
}
TEXTURES = {**WALL_TEXTURES, **FLOOR_TEXTURES}
ALL_TEXTURES = tuple(TEXTURES)


class TextureAtlas(NamedTuple):
    """All levels of some textures in one row of texels."""

    texels: Tensor  # [3, T] float32, or [T] int32 of packed colours
    start: Tensor  # [num_textures * NUM_LEVELS] int32: the first texel of each level
    size: Tensor  # [NUM_LEVELS] int32: texels across a level


def make_atlas(levels: Sequence[np.ndarray], *, device: torch.device) -> TextureAtlas:
    """Joins the levels [..., size * size] of textures, the ``NUM_LEVELS`` of the first texture first."""
    start = np.cumsum([0] + [level.shape[-1] for level in levels[:-1]])
    return TextureAtlas(
        torch.from_numpy(np.concatenate(levels, axis=-1)).to(device),
        torch.tensor(start, dtype=torch.int32, device=device),
        torch.tensor([TILE_SIZE >> level for level in range(NUM_LEVELS)], dtype=torch.int32, device=device),
    )


def texel_index(atlas: TextureAtlas, *, texture: Tensor, level: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Returns the index of the texel of textures at places (u, v) in tiles of width 1; u to the right, v upwards."""
    size = take(atlas.size, level)
    # A coordinate just below a whole number may round up to the far edge of the tile.
    column, row = (torch.minimum(((place - place.floor()) * size).int(), size - 1) for place in (u, v))
    return take(atlas.start, texture * NUM_LEVELS + level) + row * size + column


def take(table: Tensor, index: Tensor) -> Tensor:
    """Returns the entries of a table [T] at indices of any shape."""
    return table.index_select(0, index.flatten()).view(index.shape)


def _halved(image: np.ndarray) -> np.ndarray:
    side = image.shape[0] // 2
    return image.reshape(side, 2, side, 2, -1).mean(axis=(1, 3))


def mip_levels(texture: Texture) -> list[np.ndarray]:
    """Returns the levels of a texture, finest first, each [size, size, 3] with row 0 at the bottom, 0 to 1.

    Values are whole 255ths, so that the last bit of a sine or a power on another processor does not matter.
    """
    fine = TILE_SIZE * _OVERSAMPLING
    centres = (np.arange(fine) + 0.5) / fine
    image = texture(*np.meshgrid(centres, centres, indexing="xy")).clip(0.0, 1.0)
    while image.shape[0] > TILE_SIZE:
        image = _halved(image)
    levels = [image]
    for _ in range(NUM_LEVELS - 1):
        levels.append(_halved(levels[-1]))
    return [np.round(level * 255.0) / 255.0 for level in levels]


@functools.cache
def texture_atlas(device: torch.device) -> TextureAtlas:
    """Returns the atlas of ``ALL_TEXTURES`` on a device; it is made once per process."""
    levels = [level for texture in TEXTURES.values() for level in mip_levels(texture)]
    return make_atlas([level.reshape(-1, 3).T.astype(np.float32) for level in levels], device=device)


def look_up(atlas: TextureAtlas, *, texture: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
    """Returns the colour [3, P] of textures [P] (indices into ``ALL_TEXTURES``) at places (u, v) on surfaces.

    ``footprint`` is the width of the patch that one sample covers. All are [P], in scene units.
    """
    level = torch.zeros_like(texture)
    for finer in range(NUM_LEVELS - 1):
        level += footprint > TILE_WIDTH / TILE_SIZE * 2.0**finer
    index = texel_index(atlas, texture=texture, level=level, u=u * (1.0 / TILE_WIDTH), v=v * (1.0 / TILE_WIDTH))
    return atlas.texels.index_select(1, index)


def pack_colours(colours: np.ndarray) -> np.ndarray:
    """Returns colours [3, ...], 0 to 1, as int32 [...]: red + 256 green + 65536 blue."""
    red, green, blue = np.round(colours * 255.0).astype(np.int32)
    return red + (green << 8) + (blue << 16)


def mip_level(texels: Tensor, *, num_levels: int) -> Tensor:
    """Returns the levels [P] for samples ``texels`` [P] float32 wide: 0 up to one texel, one more for each doubling."""
    # The exponent of a float, read from its bits.
    return ((texels.view(torch.int32) >> 23) - (_EXPONENT_OF_ONE - 1)).clamp(0, num_levels - 1)
