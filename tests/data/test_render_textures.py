import itertools

import numpy as np
import pytest
import torch

from zoo.data.render.textures import (
    ALL_TEXTURES,
    FLOOR_TEXTURES,
    NUM_LEVELS,
    TEXTURES,
    TILE_SIZE,
    TILE_WIDTH,
    WALL_TEXTURES,
    look_up,
    mip_levels,
    texture_atlas,
)


@pytest.fixture(scope="module")
def levels():
    return {name: mip_levels(texture) for name, texture in TEXTURES.items()}


def look(name, u, v, footprint=0.0):
    u, v = torch.atleast_1d(torch.as_tensor(u)).float(), torch.atleast_1d(torch.as_tensor(v)).float()
    texture = torch.full(u.shape, ALL_TEXTURES.index(name))
    atlas = texture_atlas(torch.device("cpu"))
    return look_up(atlas, texture=texture, u=u, v=v, footprint=torch.full_like(u, footprint)).numpy()


def test_the_pool_is_that_of_the_paper():
    assert list(WALL_TEXTURES) == ["red", "green", "cerise", "orange", "yellow"]
    assert [name.split()[0] for name in FLOOR_TEXTURES] == ["yellow", "white", "blue"]
    assert (*WALL_TEXTURES, *FLOOR_TEXTURES) == ALL_TEXTURES


@pytest.mark.parametrize("name", ALL_TEXTURES)
def test_a_texture_has_a_pattern_and_tiles(name, levels):
    finest = levels[name][0]
    assert finest.shape == (TILE_SIZE, TILE_SIZE, 3)
    assert finest.min() >= 0.0 and finest.max() <= 1.0
    assert finest.std(axis=(0, 1)).max() > 0.03
    # Across the seam neighbours differ no more than they do elsewhere.
    for axis in (0, 1):
        steps = np.abs(np.roll(finest, -1, axis=axis) - finest).mean(axis=(1 - axis, 2))
        assert steps[-1] <= 1.5 * steps.max(initial=0.0, where=np.arange(TILE_SIZE) < TILE_SIZE - 1) + 0.01


def test_colours_are_as_named(levels):
    red, green, cerise, orange, yellow, tan, white, blue = (levels[name][-1].mean(axis=(0, 1)) for name in ALL_TEXTURES)
    assert red.argmax() == 0 and red[0] > 2 * max(red[1:])
    assert green.argmax() == 1 and green[1] > 2 * max(green[0], green[2])
    assert cerise[0] > cerise[2] > 1.5 * cerise[1]
    assert orange[0] > 1.5 * orange[1] > 2 * orange[2]
    assert yellow[0] > yellow[1] > 2 * yellow[2]
    assert tan[0] > tan[1] > 1.5 * tan[2]
    assert np.ptp(white) < 0.05 and white.mean() > 0.7
    assert blue.argmax() == 2 and blue[2] > 2 * blue[0]


def test_no_two_walls_share_a_pattern(levels):
    grey = {name: levels[name][1].mean(axis=2).ravel() for name in WALL_TEXTURES}
    correlation = np.corrcoef(np.stack(list(grey.values()))) - np.eye(len(grey))
    assert np.abs(correlation).max() < 0.4


def test_every_level_is_the_mean_of_the_finer_one(levels):
    for images in levels.values():
        assert len(images) == NUM_LEVELS
        for fine, coarse in itertools.pairwise(images):
            side = coarse.shape[0]
            mean = fine.reshape(side, 2, side, 2, 3).mean(axis=(1, 3))
            np.testing.assert_allclose(coarse, mean, atol=1.1 / 255)


@pytest.mark.parametrize("name", ALL_TEXTURES)
def test_look_up_reads_the_texel_at_the_place(name, levels):
    columns, rows = torch.arange(0, TILE_SIZE, 7), torch.arange(TILE_SIZE - 1, 0, -7)[:19]
    u, v = (columns + 0.5) * (TILE_WIDTH / TILE_SIZE), (rows + 0.5) * (TILE_WIDTH / TILE_SIZE)
    expected = levels[name][0][rows, columns].T
    np.testing.assert_allclose(look(name, u, v), expected, atol=1e-6)
    np.testing.assert_allclose(look(name, u - 3 * TILE_WIDTH, v + 2 * TILE_WIDTH), expected, atol=1e-6)


def test_a_wide_footprint_reads_a_coarse_level(levels):
    texel = TILE_WIDTH / TILE_SIZE
    for level in range(NUM_LEVELS):
        colour = look("red", 0.3, 0.9, footprint=texel * 2**level * 0.99)[:, 0]
        size = TILE_SIZE >> level
        row, column = int(0.9 / TILE_WIDTH * size), int(0.3 / TILE_WIDTH * size)
        np.testing.assert_allclose(colour, levels["red"][level][row, column], atol=1e-6)
    np.testing.assert_array_equal(look("red", 0.3, 0.9, footprint=100.0)[:, 0], colour)
