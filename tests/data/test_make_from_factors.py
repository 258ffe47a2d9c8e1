"""Stores made from files of factors: exactly the scenes listed, from the data set's own cameras, or nothing at all."""

import json
from dataclasses import replace

import numpy as np
import pytest

import zoo
from zoo.data.make import make_dataset
from zoo.data.render.recipes import RECIPES
from zoo.data.store import SceneStore, read_meta
from zoo.errors import DataError
from zoo.files import sha256_of

ROOMS = "rooms_ring_camera"


def make_source(folder, recipe, *, count=10):
    make_dataset(recipe, folder=folder, num_scenes={"test": count}, image_size=8, num_views=2, workers=0)
    return folder / "test" / "factors.jsonl"


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("source") / "rooms", ROOMS)


def everything(store):
    scenes = np.arange(store.num_scenes)
    return store.read(scenes, np.tile(np.arange(store.num_views), (len(scenes), 1)))


@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if recipe.factor_class is not None])
def test_the_scenes_of_a_file_are_rendered_from_new_cameras_of_the_data_set(tmp_path, recipe):
    count = 1 if recipe == "terrain" else 3
    path = make_source(tmp_path / "a", recipe, count=count)
    make_dataset(recipe, folder=tmp_path / "b", factor_files={"train": path}, image_size=8, num_views=2, workers=0)
    store = SceneStore(tmp_path / "b", "train")
    assert (store.name, store.num_scenes, store.num_views) == (recipe, count, 2)
    listed = [json.loads(line) for line in path.read_text().splitlines()]
    found = store.read_factors(np.arange(count))
    if recipe == "terrain":  # its origin is the middle of the new path
        assert found[0]["origin"] != listed[0]["origin"]
        found = [document | {"origin": other["origin"]} for document, other in zip(found, listed, strict=True)]
    assert found == listed
    frames, cameras = everything(store)
    again = zoo.render_scene(store.read_factors(np.array([0]))[0], cameras[0], image_size=8)
    np.testing.assert_array_equal(again, frames[0])
    assert not np.array_equal(cameras, everything(SceneStore(tmp_path / "a", "test"))[1])
    extras = store.read_extras(np.arange(count), np.tile(np.arange(2), (count, 1)))
    assert set(extras) == set(RECIPES[recipe].extras(image_size=8))
    assert read_meta(tmp_path / "b").provenance == {
        "recipe": recipe,
        "version": RECIPES[recipe].version,
        "seed": 0,
        "factors": {"train": sha256_of(path)},
    }


def test_order_splits_seed_and_processes(tmp_path, rooms):
    lines = rooms.read_text().splitlines()
    (tmp_path / "one.json").write_text(f"[{lines[4]}]")
    # 30 scenes are pieces enough for several processes.
    (tmp_path / "many.jsonl").write_text("\n".join(lines[::-1] * 3))
    revisions = {}
    for name, workers, seed in (("a", 0, 1), ("b", 2, 1), ("c", 0, 2)):
        make_dataset(
            "rooms_free_camera_with_object_rotations",
            folder=tmp_path / name,
            factor_files={"test": tmp_path / "one.json", "train": tmp_path / "many.jsonl"},
            image_size=8,
            num_views=2,
            seed=seed,
            workers=workers,
        )
        revisions[name] = read_meta(tmp_path / name).revision
    assert revisions["a"] == revisions["b"] != revisions["c"]
    assert SceneStore(tmp_path / "a", "test").read_factors(np.array([0])) == [json.loads(lines[4])]
    train = SceneStore(tmp_path / "a", "train")
    assert train.read_factors(np.array([0, 29])) == [json.loads(lines[9]), json.loads(lines[0])]
    cameras = train.read_cameras(np.arange(30))
    assert len(np.unique(cameras.reshape(30, -1), axis=0)) == 30


def first_of(path, **changes):
    document = json.loads(path.read_text().splitlines()[0])
    document["objects"][0] |= changes
    return document


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        (ROOMS, {"shape": "cube"}, r"scenes\.json: scene 1: objects.0.shape: found 'cube'"),
        (ROOMS, {"position": [9.0, 0.0, 0.4]}, r"scenes\.json: scene 1: objects.0.position: found \[9.0"),
        ("mazes", {}, r"scenes\.json: scene 0: kind: found 'room', expected 'maze'"),
        ("functions_rbf", {}, r"scenes\.json: scene 0: functions_rbf: functions and pixels have no scene factors"),
        # Found when its cameras are drawn, after the scene before it was rendered.
        (ROOMS, {"shape": "box", "scale": [2.4, 2.4, 3.0], "position": [0.0, 0.0, 3.0]}, "scene 1: objects.0.position"),
    ],
)
def test_a_wrong_scene_is_named_and_nothing_is_written(tmp_path, rooms, recipe, changes, message):
    (tmp_path / "scenes.json").write_text(json.dumps([first_of(rooms), first_of(rooms, **changes)]))
    with pytest.raises(DataError, match=message) as caught:
        make_dataset(
            recipe, folder=tmp_path / "out", factor_files={"test": tmp_path / "scenes.json"}, image_size=8, workers=0
        )
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes.json"]


def test_objects_that_leave_no_room_for_free_cameras_are_refused(tmp_path, rooms):
    huge = first_of(rooms, shape="box", scale=[2.4, 2.4, 0.3], position=[0.0, 0.0, 0.3])
    (tmp_path / "scenes.json").write_text(json.dumps(huge))
    with pytest.raises(DataError, match="scene 0: objects: cover the floor"):
        make_dataset(
            "rooms_free_camera_no_object_rotations",
            folder=tmp_path / "out",
            factor_files={"test": tmp_path / "scenes.json"},
            image_size=8,
            workers=0,
        )


def test_a_room_that_is_too_narrow_for_the_ring_is_refused(tmp_path, rooms):
    document = first_of(rooms)
    document["room"]["width"] = 5.0
    (tmp_path / "scenes.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"scene 0: room\.width: found 5\.0, expected more than"):
        make_dataset(ROOMS, folder=tmp_path / "out", factor_files={"test": tmp_path / "scenes.json"}, workers=0)


def test_given_scenes_take_no_random_numbers_of_drawn_ones():
    recipe = replace(RECIPES[ROOMS], num_views=2)
    drawn = recipe.draw(seed=0, split="test", index=0)
    given = recipe.compose(recipe.factors_of(drawn.scene), seed=0, split="test", index=0)
    assert given.scene == drawn.scene
    assert not np.array_equal(given.cameras, drawn.cameras)
    np.testing.assert_array_equal(recipe.draw(seed=0, split="test", index=0).cameras, drawn.cameras)
