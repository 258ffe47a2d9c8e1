import hashlib
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from camera_projection import project

from zoo.data.built_in import BUCKETS, NUM_BUCKETS
from zoo.data.render import rooms, shepard_metzler
from zoo.data.render.primitives import PRIMITIVE_NAMES, PRIMITIVES
from zoo.data.render.recipes import RECIPES
from zoo.data.render.rng import choose, scene_generator, stable_hash, uniform
from zoo.data.source import SPLITS

# Functions and pixels have tests of their own: test_functions.py and test_completion.py.
NAMES = [name for name, recipe in RECIPES.items() if recipe.has_images]
BLOCKS = [name for name in NAMES if name.startswith("shepard")]


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def names_of(recipe, split, count, seed=0):
    return {recipe.draw(seed=seed, split=split, index=index).name for index in range(count)}


def small(recipe, indices=range(3), **options):
    options = {"seed": 0, "split": "train", "image_size": 16} | options
    return recipe.render(scene_indices=indices, **options)


def test_the_catalogue_is_complete_and_read_only():
    assert {name: RECIPES[name].num_views for name in NAMES} == {
        "rooms_ring_camera": 10,
        "rooms_one_object": 10,
        "rooms_free_camera_no_object_rotations": 10,
        "rooms_free_camera_with_object_rotations": 10,
        "shepard_metzler_5_parts": 15,
        "shepard_metzler_7_parts": 15,
        "digit_cube": 12,
        "printed_cube": 12,
        "captioned_rooms": 10,
        "jaco": 11,
        "jaco_front": 11,
        "mazes": 300,
        "terrain": 100,
    }
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    with pytest.raises(TypeError):
        RECIPES["mine"] = RECIPES["rooms_ring_camera"]


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_is_a_function_of_seed_split_and_index(name):
    recipe = RECIPES[name]
    first = small(recipe)
    assert first.frames.shape == (3, recipe.num_views, 16, 16, 3) and first.frames.dtype == torch.uint8
    assert first.cameras.shape == (3, recipe.num_views, 5) and first.cameras.dtype == torch.float32
    alone = small(recipe, [2])
    assert torch.equal(first.frames[2], alone.frames[0])
    assert torch.equal(first.cameras[2], alone.cameras[0])
    assert first.scenes[2] == alone.scenes[0]
    mixed = small(recipe, [7, 0])
    assert torch.equal(mixed.frames[1], first.frames[0])
    for other in (small(recipe, seed=1), small(recipe, split="test"), small(recipe, split="validation")):
        for index in range(3):
            assert not torch.equal(first.frames[index], other.frames[index])
            assert not torch.equal(first.cameras[index], other.cameras[index])
    images = [frame.numpy().tobytes() for frame in first.frames.flatten(0, 1)]
    assert len(set(images)) == len(images)


# The names of the first 20 training scenes, and what their first image looks like. If these change, the same seed no
# longer gives the same scenes: raise the version of the recipe.
GOLDEN = {
    "rooms_ring_camera": (1, "888175fe981f7af4", (180.91, 165.04, 160.21)),
    "rooms_one_object": (1, "48dd6fb2b09e30b7", (98.88, 104.71, 133.72)),
    "rooms_free_camera_no_object_rotations": (1, "f4e910ebdc76fe7b", (186.84, 171.87, 97.12)),
    "rooms_free_camera_with_object_rotations": (1, "386bc2aa9739e463", (178.29, 149.01, 147.42)),
    "shepard_metzler_5_parts": (1, "dcc811d01b447388", (131.02, 126.88, 144.91)),
    "shepard_metzler_7_parts": (1, "a06d8a07e8ad8140", (133.84, 132.53, 131.03)),
    "digit_cube": (1, "c2ea5cf0207197fd", (155.64, 136.54, 129.52)),
    "printed_cube": (1, "5b4d0e346e4d13c0", (113.15, 119.47, 141.94)),
    "captioned_rooms": (1, "3d777ee0f5a785f2", (98.58, 131.81, 154.57)),
    "jaco": (1, "859a747357bb7ed2", (111.89, 103.49, 150.10)),
    "jaco_front": (1, "9ebc03452dc577b0", (122.13, 123.20, 148.81)),
    "mazes": (1, "cfc85a7588548207", (103.66, 115.03, 181.67)),
    "terrain": (1, "a046b5e49facaed6", (121.08, 95.83, 96.77)),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_scenes_of_a_seed_have_not_changed(name):
    recipe = RECIPES[name]
    drawn = [recipe.draw(seed=0, split="train", index=index) for index in range(20)]
    digest = hashlib.sha256("\n".join(item.name for item in drawn).encode()).hexdigest()[:16]
    version, expected_digest, expected_colour = GOLDEN[name]
    colour = small(recipe, [0], image_size=32).frames[0, 0].double().mean((0, 1)).tolist()
    assert (recipe.version, digest) == (version, expected_digest), colour
    assert colour == pytest.approx(expected_colour, abs=0.2)


def test_buckets_cover_everything_once():
    assert list(BUCKETS) == list(SPLITS)
    assert sorted(bucket for split in SPLITS for bucket in BUCKETS[split]) == list(range(NUM_BUCKETS))


@pytest.mark.parametrize("name", NAMES)
def test_every_scene_lies_in_a_bucket_of_its_split(name):
    count = 3 if name == "terrain" else 25  # a land takes long to grow; test_render_terrain.py looks at names alone
    for split in SPLITS:
        for seed in (0, 1):
            for scene in names_of(RECIPES[name], split, count, seed=seed):
                assert stable_hash(scene) % NUM_BUCKETS in BUCKETS[split]


def test_splits_share_no_scene_even_where_there_are_few_to_choose_from():
    """Three blocks make about 600 objects: independent draws of 400 could not help meeting."""
    tiny = replace(RECIPES["shepard_metzler_5_parts"], draw_scene=partial(shepard_metzler.draw_object, num_parts=3))
    found = {split: names_of(tiny, split, 400) | names_of(tiny, split, 100, seed=1) for split in SPLITS}
    assert len(found["train"]) > 150
    assert len(names_of(tiny, "train", 400) & names_of(tiny, "train", 400, seed=1)) > 50
    assert not found["train"] & found["test"]
    assert not found["train"] & found["validation"]
    assert not found["validation"] & found["test"]


def test_turned_blocks_count_as_the_same_object_and_mirrored_ones_do_not():
    blocks = (((0, 0, 0), 1), ((1, 0, 0), 2), ((1, 1, 0), 3), ((1, 1, 1), 4), ((1, 1, 2), 5))
    name = shepard_metzler.canonical(blocks)
    for turn in shepard_metzler.ROTATIONS:
        turned = tuple((tuple((turn @ cell + [3, -2, 7]).tolist()), colour) for cell, colour in blocks)
        assert shepard_metzler.canonical(turned) == name
    assert len(shepard_metzler.ROTATIONS) == 24
    assert shepard_metzler.canonical(blocks[::-1]) == name
    assert shepard_metzler.canonical(tuple(((-x, y, z), c) for (x, y, z), c in blocks)) != name
    assert shepard_metzler.canonical((*blocks[:-1], (blocks[-1][0], 6))) != name


def test_a_room_turned_by_a_quarter_counts_as_the_same():
    for seed in range(20):
        scene = rooms.draw_room(generator(seed))
        turned = replace(
            scene,
            objects=tuple(replace(i, centre=(-i.centre[1], i.centre[0], i.centre[2])) for i in reversed(scene.objects)),
        )
        assert rooms.canonical(turned) == rooms.canonical(scene)
        moved = replace(scene.objects[0], centre=(scene.objects[0].centre[0] + 0.5, *scene.objects[0].centre[1:]))
        assert rooms.canonical(replace(scene, objects=(moved, *scene.objects[1:]))) != rooms.canonical(scene)


@pytest.mark.parametrize("length", [5, 7])
def test_blocks_are_a_self_avoiding_walk(length):
    rng = generator()
    directions = set()
    for _ in range(200):
        walk = np.array(shepard_metzler.random_walk(rng, length=length))
        steps = np.diff(walk, axis=0)
        assert (np.abs(steps).sum(1) == 1).all()
        assert len({tuple(cell) for cell in walk.tolist()}) == length
        directions |= {tuple(step) for step in steps.tolist()}
    assert len(directions) == 6


def test_blocks_take_all_seven_colours_and_fill_the_grid():
    blocks = shepard_metzler.draw_blocks(generator(), num_parts=7)
    scene = shepard_metzler.build([cell for cell, _ in blocks], colours=[(1.0, 0.0, 0.0)] * 7)
    centres = np.array([item.centre for item in scene.objects])
    cells = np.array([cell for cell, _ in blocks])
    width = shepard_metzler.LONGEST / 7
    np.testing.assert_allclose(np.diff(centres, axis=0), np.diff(cells, axis=0) * width)
    np.testing.assert_allclose(centres.min(0) + centres.max(0), 0.0, atol=1e-12)
    assert {item.scale for item in scene.objects} == {(width / 2,) * 3}
    drawn = {colour for seed in range(20) for _, colour in shepard_metzler.draw_blocks(generator(seed), num_parts=7)}
    assert drawn == set(range(7))
    assert len(set(shepard_metzler.COLOURS)) == 7


@pytest.mark.parametrize("num_parts", [5, 7])
def test_the_longest_object_fits_into_the_image(num_parts):
    cells = [(k, 0, 0) for k in range(num_parts)]
    scene = shepard_metzler.build(cells, colours=[(1.0, 0.0, 0.0)] * num_parts)
    half = shepard_metzler.LONGEST / num_parts / 2
    corners = torch.tensor(
        [
            (item.centre[0] + a * half, item.centre[1] + b * half, item.centre[2] + c * half)
            for item in scene.objects
            for a in (-1, 1)
            for b in (-1, 1)
            for c in (-1, 1)
        ],
        dtype=torch.float64,
    )
    cameras = torch.from_numpy(shepard_metzler.draw_cameras(generator(), num_views=500))
    seen = project(corners, cameras=cameras[:, None], image_size=1).coordinates
    assert seen.min() > 0.0 and seen.max() < 1.0
    assert seen.max() > 0.9


@pytest.mark.parametrize("name", BLOCKS)
def test_block_cameras_look_at_the_centre_from_all_round(name):
    cameras = torch.from_numpy(shepard_metzler.draw_cameras(generator(), num_views=1000))
    torch.testing.assert_close(cameras[:, :3].norm(dim=-1), torch.full((1000,), 3.0, dtype=torch.float64))
    seen = project(torch.zeros(3, dtype=torch.float64), cameras=cameras, image_size=2)
    torch.testing.assert_close(seen.coordinates, torch.ones(1000, 2, dtype=torch.float64))
    assert (seen.depth > 0).all()
    assert cameras[:, 4].abs().max() <= math.radians(75.0) + 1e-9
    assert cameras[:, 4].min() < -1.2 and cameras[:, 4].max() > 1.2
    assert cameras[:, 3].min() < -3.0 and cameras[:, 3].max() > 3.0


def test_ring_cameras_are_on_a_ring_and_look_at_the_middle():
    cameras = torch.from_numpy(rooms.draw_ring_cameras(generator(), num_views=200))
    radius = cameras[:, :2].norm(dim=-1)
    torch.testing.assert_close(radius, torch.full((200,), rooms.RING.radius, dtype=torch.float64))
    assert rooms.RING.radius < rooms.ROOM_WIDTH / 2
    assert cameras[:, 2].unique().numel() == 1 and cameras[:, 4].unique().numel() == 1
    target = torch.tensor([0.0, 0.0, rooms.RING.target_height], dtype=torch.float64)
    seen = project(target, cameras=cameras, image_size=2).coordinates
    torch.testing.assert_close(seen, torch.ones(200, 2, dtype=torch.float64))
    assert (cameras[:, 4] < 0).all()


def test_rooms_follow_the_recipe():
    scenes = [rooms.draw_room(generator(seed)) for seed in range(300)]
    assert {len(scene.objects) for scene in scenes} == {1, 2, 3}
    assert {scene.room.wall for scene in scenes} == {"red", "green", "cerise", "orange", "yellow"}
    assert len({scene.room.floor for scene in scenes}) == 3
    assert {item.shape for scene in scenes for item in scene.objects} == set(PRIMITIVE_NAMES)
    assert len({scene.light for scene in scenes}) == 300
    for scene in scenes:
        places = []
        for item in scene.objects:
            x, y, z = item.centre
            solid = PRIMITIVES[item.shape]
            assert z == pytest.approx(solid.half_height * item.scale[2])  # it stands on the floor
            places.append((x, y, solid.half_width * max(item.scale[:2])))
            assert max(item.colour) - min(item.colour) >= 0.5  # well saturated
        for k, (x, y, radius) in enumerate(places):
            assert math.hypot(x, y) + radius < rooms.RING.radius - 0.5
            for a, b, other in places[:k]:
                assert math.hypot(x - a, y - b) > radius + other


def test_random_numbers_are_uniform_and_keyed_by_all_arguments():
    rng = generator()
    counts = np.bincount([choose(rng, range(6)) for _ in range(6000)], minlength=6)
    assert counts.shape == (6,) and (abs(counts - 1000) < 150).all()
    draws = [uniform(rng, -2.0, 3.0) for _ in range(1000)]
    assert -2.0 <= min(draws) < -1.9 and 2.9 < max(draws) < 3.0
    base = {"recipe": "a", "version": 1, "seed": 0, "split": "train", "index": 0}
    changes = [{}, {"recipe": "b"}, {"version": 2}, {"seed": 1}, {"split": "test"}, {"index": 1}]
    assert len({scene_generator(**base | change).random() for change in changes}) == len(changes)
    assert stable_hash("scene") == 0x4F48F7207CEBF926
