"""The easy set of the digit cubes: nothing but four digits differs, and every digit always looks the same."""

import dataclasses
import math

import numpy as np
import torch

from zoo.data.render.digit_cube import (
    HALF_WIDTH,
    NEAR_RING,
    NUM_LABELS,
    NUM_SIDES,
    handwritten_digits,
    printed_digits,
    visible_face,
)
from zoo.data.render.recipes import RECIPES
from zoo.data.render.rooms import ROOM_WIDTH

RECIPE = RECIPES["printed_cube"]


def drawn(count, split="train"):
    return [RECIPE.draw(seed=0, split=split, index=index) for index in range(count)]


def test_there_is_one_image_for_each_digit():
    chosen = printed_digits()
    labels, pixels = handwritten_digits().labels, handwritten_digits().pixels
    assert labels[list(chosen)].tolist() == list(range(NUM_LABELS))
    for label, digit in enumerate(chosen):
        own = pixels[labels == label]
        distances = ((own - own.mean(0)) ** 2).sum(axis=(1, 2))
        assert ((pixels[digit] - own.mean(0)) ** 2).sum() == distances.min()


def test_scenes_differ_in_their_four_digits_alone():
    scenes = [item.scene for item in drawn(30)]
    first = scenes[0]
    for scene in scenes:
        assert (scene.room, scene.light) == (first.room, first.light)
        (cube,), (other,) = scene.objects, first.objects
        assert dataclasses.replace(cube, faces=()) == dataclasses.replace(other, faces=())
        assert cube.faces[NUM_SIDES] == bytes(len(cube.faces[0]))
    assert len({scene.digits for scene in scenes}) > 25
    assert {digit for scene in scenes for digit in scene.digits} == set(printed_digits())


def test_no_cube_of_training_is_tested_on_from_whichever_side_one_begins():
    def turns(split):
        return {
            item.scene.digits[first:] + item.scene.digits[:first] for item in drawn(200, split) for first in range(4)
        }

    assert not turns("train") & turns("test")


def test_the_labels_are_those_of_the_sides():
    for item in drawn(5):
        assert item.extras["digits"].tolist() == [printed_digits().index(digit) for digit in item.scene.digits]
        assert item.extras["cube_turn"] == 0.0
    assert RECIPE.extras(image_size=16)["digits"].shape == (NUM_SIDES,)


def test_cameras_are_close_outside_the_cube_and_inside_the_room():
    cameras = np.concatenate([item.cameras for item in drawn(20)])
    radius = np.hypot(cameras[:, 0], cameras[:, 1])
    np.testing.assert_allclose(radius, NEAR_RING.radius, rtol=1e-5)
    np.testing.assert_allclose(cameras[:, 2], NEAR_RING.height, rtol=1e-6)
    assert HALF_WIDTH * math.sqrt(2) < NEAR_RING.radius < ROOM_WIDTH / 2
    inward = np.remainder(cameras[:, 3] - np.arctan2(cameras[:, 1], cameras[:, 0]), 2 * math.pi)
    np.testing.assert_allclose(inward, math.pi, atol=1e-4)


def test_a_digit_looks_the_same_on_every_cube():
    """Frontal views of one digit on the same side of two cubes, from the same camera, show the same ink."""
    items = drawn(40)
    one, other = next((a, b) for a in items for b in items if a is not b and a.scene.digits[0] == b.scene.digits[0])
    camera = torch.tensor([[NEAR_RING.radius, 0.0, NEAR_RING.height, math.pi, -0.17]])
    assert visible_face(camera, torch.zeros(1)).item() == 0
    fixed = dataclasses.replace(
        RECIPE, num_views=1, draw_cameras=lambda rng, *, scene, num_views: camera.numpy(), draw_scene=RECIPE.draw_scene
    )
    images = [
        fixed.render(seed=0, scene_indices=[items.index(item)], split="train", image_size=32).frames[0, 0]
        for item in (one, other)
    ]
    # The middle of the image is the side in front; at its rims begin the neighbours.
    assert torch.equal(images[0][6:26, 6:26], images[1][6:26, 6:26])
    assert images[0][6:26, 6:26].float().std() > 30
