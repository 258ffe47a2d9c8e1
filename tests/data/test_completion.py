"""Images as functions of the position of a pixel."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from zoo.data.completion import COMPLETIONS, pixel_positions
from zoo.data.render.digit_cube import split_of_digit
from zoo.data.render.recipes import RECIPES
from zoo.errors import DataError

NAMES = [recipe.name for recipe in COMPLETIONS]
SIDES = {"completion_digits": (8, 1), "completion_rooms": (32, 3)}


def made(name, indices=range(3), *, views=None, **options):
    recipe = replace(RECIPES[name], num_views=views or RECIPES[name].num_views)
    return recipe.render(**{"seed": 0, "scene_indices": indices, "split": "train", "image_size": 0} | options)


def test_pixels_lie_row_by_row_from_the_upper_left():
    positions = pixel_positions(3)
    expected = [(-1, -1), (0, -1), (1, -1), (-1, 0), (0, 0), (1, 0), (-1, 1), (0, 1), (1, 1)]
    np.testing.assert_array_equal(positions, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_all_pixels_of_an_image_are_its_points(name):
    side, channels = SIDES[name]
    points = made(name)
    assert points.frames.shape == (3, side * side, 0, 0, 3)
    inputs, values = points.extras["inputs"], points.extras["values"]
    np.testing.assert_array_equal(inputs, np.broadcast_to(pixel_positions(side), inputs.shape))
    assert values.shape == (3, side * side, channels) and values.dtype == np.float32
    assert values.min() >= 0.0 and 0.9 < values.max() <= 1.0
    for key, extra in RECIPES[name].extras(image_size=0).items():
        assert points.extras[key].shape[2:] == extra.shape and extra.per_view


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_a_function_of_seed_split_and_index(name):
    first, alone = made(name), made(name, [2])
    np.testing.assert_array_equal(first.extras["values"][2], alone.extras["values"][0])
    for other in (made(name, seed=1), made(name, split="test")):
        for index in range(3):
            assert not np.array_equal(other.extras["values"][index], first.extras["values"][index])


@pytest.mark.parametrize("name", NAMES)
def test_fewer_points_are_pixels_chosen_at_random(name):
    whole, some = made(name), made(name, views=20)
    kept = []
    for scene in range(3):
        places = {tuple(place): index for index, place in enumerate(whole.extras["inputs"][scene].tolist())}
        chosen = [places[tuple(place)] for place in some.extras["inputs"][scene].tolist()]
        assert len(set(chosen)) == 20
        np.testing.assert_array_equal(some.extras["values"][scene], whole.extras["values"][scene][chosen])
        kept.append(tuple(chosen))
    assert len(set(kept)) == 3


def test_more_points_than_pixels_are_refused():
    with pytest.raises(DataError, match="completion_digits: num_views: 65 points wanted, an image has 64 pixels"):
        made("completion_digits", views=65)


def test_digits_are_those_of_scikit_learn_each_once_before_any_repeats():
    pixels = load_digits(return_X_y=True)[0] / 16.0
    shown = made("completion_digits", range(30), split="test")
    for number, values in zip(shown.scenes, shown.extras["values"], strict=True):
        np.testing.assert_allclose(values[:, 0], pixels[number], rtol=1e-6)
    recipe = RECIPES["completion_digits"]
    everything = [recipe.digit(seed=0, split="test", index=index) for index in range(400)]
    assert tuple(everything[:30]) == shown.scenes
    count = len(set(everything))
    assert 140 < count < 220  # about a tenth of all
    assert len(set(everything[:count])) == count
    assert everything[count:] == everything[: 400 - count]


def test_a_digit_belongs_to_one_split():
    for split in ("train", "validation", "test"):
        assert {split_of_digit(number) for number in made("completion_digits", range(40), split=split).scenes} == {
            split
        }
