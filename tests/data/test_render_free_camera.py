import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from camera_projection import project

from zoo.data.render import rooms
from zoo.data.render.primitives import PRIMITIVES
from zoo.data.render.raycaster import render
from zoo.data.render.recipes import RECIPES
from zoo.data.render.scene import stack_scenes

NO_ROTATIONS = RECIPES["rooms_free_camera_no_object_rotations"]
WITH_ROTATIONS = RECIPES["rooms_free_camera_with_object_rotations"]
RECIPES_HERE = (NO_ROTATIONS, WITH_ROTATIONS)
DRAWN = {
    recipe.name: [recipe.draw(seed=0, split="train", index=index) for index in range(60)] for recipe in RECIPES_HERE
}


def every_camera(recipe):
    return torch.from_numpy(np.concatenate([drawn.cameras for drawn in DRAWN[recipe.name]])).double()


@pytest.mark.parametrize("recipe", RECIPES_HERE, ids=lambda recipe: recipe.name)
def test_cameras_are_at_free_places_in_the_room(recipe):
    nearest = math.inf
    for drawn in DRAWN[recipe.name]:
        for camera in drawn.cameras.tolist():
            assert max(abs(camera[0]), abs(camera[1])) <= rooms.ROOM_WIDTH / 2 - rooms.WALL_MARGIN + 1e-6
            for item in drawn.scene.objects:
                distance = math.hypot(camera[0] - item.centre[0], camera[1] - item.centre[1])
                gap = distance - PRIMITIVES[item.shape].half_width * max(item.scale[:2])
                nearest = min(nearest, gap)
                assert gap >= rooms.OBJECT_MARGIN - 1e-6
    assert nearest < rooms.OBJECT_MARGIN + 0.1


@pytest.mark.parametrize("width", [5.0, 12.0])
def test_cameras_use_the_whole_floor_of_a_room_of_another_width(width):
    scene = DRAWN[NO_ROTATIONS.name][0].scene
    scene = replace(scene, room=scene.room.model_copy(update={"width": width}))
    cameras = rooms.draw_free_cameras(np.random.default_rng(0), scene=scene, num_views=200)
    half = width / 2 - rooms.WALL_MARGIN
    assert 0.95 * half < np.abs(cameras[:, :2]).max() <= half


@pytest.mark.parametrize("recipe", RECIPES_HERE, ids=lambda recipe: recipe.name)
def test_cameras_are_spread_as_documented(recipe):
    cameras = every_camera(recipe)
    x, y, z, yaw, pitch = cameras.T
    half = rooms.ROOM_WIDTH / 2 - rooms.WALL_MARGIN
    for values, low, high in (
        (x, -half, half),
        (y, -half, half),
        (z, *rooms.FREE_HEIGHTS),
        (yaw, -math.pi, math.pi),
        (pitch, *rooms.FREE_PITCHES),
    ):
        counts = torch.histc(values, 4, low, high)
        assert counts.sum() >= len(cameras) - 2  # stored in single precision, an end point may round outwards
        assert counts.min() > 0.17 * len(cameras), counts
    target = torch.atan2(-y, -x)
    inwards = ((yaw - target).cos() > math.cos(math.radians(60.0))).double().mean().item()
    # A third of the evenly drawn yaws, and most of the aimed ones.
    assert 0.65 < inwards < 0.95


@pytest.mark.parametrize("recipe", RECIPES_HERE, ids=lambda recipe: recipe.name)
def test_most_views_show_an_object(recipe):
    seen = []
    for drawn in DRAWN[recipe.name]:
        places = torch.tensor([item.centre for item in drawn.scene.objects], dtype=torch.float64)
        cameras = torch.from_numpy(drawn.cameras).double()
        where = project(places, cameras=cameras[:, None], image_size=1)
        inside = ((where.coordinates > 0) & (where.coordinates < 1)).all(-1) & (where.depth > 0)
        seen += inside.any(-1).tolist()
    assert 0.6 < np.mean(seen) < 0.95


def test_objects_are_turned_in_one_of_the_two_only():
    assert {item.turn for drawn in DRAWN[NO_ROTATIONS.name] for item in drawn.scene.objects} == {0.0}
    turns = np.array([item.turn for drawn in DRAWN[WITH_ROTATIONS.name] for item in drawn.scene.objects])
    assert len(set(turns.tolist())) == len(turns) and turns.min() < -2.0 and turns.max() > 2.0
    for recipe in RECIPES_HERE:
        reach = [math.hypot(*item.centre[:2]) for drawn in DRAWN[recipe.name] for item in drawn.scene.objects]
        assert rooms.REACH < max(reach) <= rooms.FREE_OBJECT_REACH
        assert {len(drawn.scene.objects) for drawn in DRAWN[recipe.name]} == {1, 2, 3}


def test_a_room_as_before_is_drawn_with_the_defaults():
    generators = [np.random.Generator(np.random.PCG64(7)) for _ in range(2)]
    wide = rooms.draw_room(generators[0], reach=rooms.FREE_OBJECT_REACH)
    ring = rooms.draw_room(generators[1])
    assert wide.room == ring.room and wide.light == ring.light and wide.objects[0].shape == ring.objects[0].shape
    assert wide.objects[0].centre != ring.objects[0].centre


def test_the_published_sizes_can_be_rendered():
    for recipe, size in ((NO_ROTATIONS, 64), (WITH_ROTATIONS, 128)):
        assert f"{size} pixels" in recipe.description and recipe.num_views == 10
        drawn = recipe.draw(seed=0, split="test", index=0)
        cameras = torch.from_numpy(drawn.cameras[None, :1])
        assert render(stack_scenes([drawn.scene]), cameras=cameras, image_size=size).shape == (1, 1, size, size, 3)
