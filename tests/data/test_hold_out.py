"""Combinations of factors that are kept out of training: where such objects are, and that nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from zoo.data import built_in
from zoo.data.factors.scene_factors import Combination, has_any, parse_combinations
from zoo.data.make import make_dataset
from zoo.data.render.recipes import RECIPES
from zoo.data.store import SceneStore, read_meta
from zoo.errors import DataError

NAMES = [name for name, recipe in RECIPES.items() if recipe.factor_class is not None]
WITH_OBJECTS = {
    "rooms_ring_camera": "shape=cone,colour=red",
    "rooms_one_object": "shape=cylinder,colour=green",
    "rooms_free_camera_no_object_rotations": "colour=blue,shape=sphere",
    "rooms_free_camera_with_object_rotations": "shape=box,wall=green",
    "captioned_rooms": "shape=capsule,colour=pink",
    "shepard_metzler_5_parts": "colour=cyan",
    "shepard_metzler_7_parts": "colour=purple",
    "digit_cube": "face=+x,digit=7",
    "printed_cube": "face=-y,digit=3",
    "jaco": "colour=green",
    "jaco_front": "colour=blue",
}


def with_hold_out(name, *texts):
    recipe = RECIPES[name]
    found = parse_combinations(texts, recipe_name=name, factor_class=recipe.factor_class)
    return replace(recipe, hold_out=found, num_views=2)


def objects_of(recipe, split, index):
    return recipe.factors_of(recipe.draw(seed=0, split=split, index=index).scene).labels()


def test_the_data_sets_with_objects_are_those_tested():
    assert set(WITH_OBJECTS) == {name for name in NAMES if RECIPES[name].factor_class.label_values}


@pytest.mark.parametrize("name", WITH_OBJECTS)
def test_training_has_no_such_object_and_every_even_test_scene_has_one(name):
    recipe = with_hold_out(name, WITH_OBJECTS[name])
    share = 5 if name.startswith("jaco") else 1  # an arm takes long to draw
    for split, count in (("train", 30 // share), ("validation", 10 // share), ("test", 10 // share)):
        for index in range(count):
            expected = split == "test" and index % 2 == 0
            assert has_any(objects_of(recipe, split, index), recipe.hold_out) == expected, (split, index)
    plain = replace(RECIPES[name], num_views=2)
    if name in ("shepard_metzler_7_parts", "shepard_metzler_5_parts"):
        # Common enough that some scenes of the plain data set have one.
        assert any(has_any(objects_of(plain, "train", index), recipe.hold_out) for index in range(30))


def test_the_values_alone_are_seen_in_training():
    recipe = with_hold_out("rooms_ring_camera", "shape=cone,colour=red")
    seen = [labels for index in range(150) for labels in objects_of(recipe, "train", index)]
    assert any(labels["shape"] == "cone" for labels in seen) and any(labels["colour"] == "red" for labels in seen)


def test_scenes_that_fit_anyway_keep_every_bit():
    plain, held = replace(RECIPES["rooms_ring_camera"], num_views=2), with_hold_out("rooms_ring_camera", "shape=cone")
    same, drawn_again = 0, 0
    for index in range(40):
        one, other = (recipe.draw(seed=0, split="train", index=index) for recipe in (plain, held))
        if has_any(plain.factors_of(one.scene).labels(), held.hold_out):
            assert one.scene != other.scene
            drawn_again += 1
        else:
            assert one.scene == other.scene
            np.testing.assert_array_equal(one.cameras, other.cameras)
            same += 1
    assert same > 10 and drawn_again > 5


def test_several_combinations_are_all_held_out():
    recipe = with_hold_out("shepard_metzler_5_parts", "colour=red", "colour=blue")
    assert not {"red", "blue"} & {labels["colour"] for i in range(20) for labels in objects_of(recipe, "train", i)}
    for index in (0, 2, 4):
        assert {"red", "blue"} & {labels["colour"] for labels in objects_of(recipe, "test", index)}


def test_values_must_belong_to_one_object():
    red_cone = Combination((("colour", "red"), ("shape", "cone")))
    assert has_any([{"shape": "cone", "colour": "red"}], [red_cone])
    assert not has_any([{"shape": "cone", "colour": "blue"}, {"shape": "box", "colour": "red"}], [red_cone])


def test_it_is_recorded_in_a_normal_form_and_part_of_the_data_set(tmp_path):
    settings = {"num_scenes": {"train": 12, "test": 2}, "image_size": 8, "num_views": 2}
    combinations = ("colour=red", " colour = blue ", "colour=red")
    for name, workers in (("a", 0), ("b", 2)):
        make_dataset(
            "shepard_metzler_5_parts", folder=tmp_path / name, workers=workers, hold_out=combinations, **settings
        )
    make_dataset("shepard_metzler_5_parts", folder=tmp_path / "plain", workers=0, **settings)
    metas = {name: read_meta(tmp_path / name) for name in ("a", "b", "plain")}
    assert metas["a"].provenance["hold_out"] == ["colour=red", "colour=blue"]
    assert "hold_out" not in metas["plain"].provenance
    assert metas["a"].revision == metas["b"].revision != metas["plain"].revision
    found = SceneStore(tmp_path / "a", "train").read_factors(np.arange(12))
    assert not {"red", "blue"} & {block["hue"] for document in found for block in document["blocks"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rooms_ring_camera", "shap=cone", "has no factor 'shap'; did you mean 'shape'"),
        ("rooms_ring_camera", "shape=cones", "shape: unknown value 'cones'; did you mean 'cone'"),
        ("rooms_ring_camera", "colour=crimson", "colour: unknown value 'crimson'"),
        ("rooms_ring_camera", "shape=cone,shape=box", "'shape' is given twice"),
        ("rooms_ring_camera", "cone", "found 'cone', expected name=value, for example shape=box,colour=red"),
        ("rooms_ring_camera", "", "found '', expected name=value"),
        ("rooms_ring_camera", "shape=", "found 'shape=', expected name=value"),
        ("shepard_metzler_5_parts", "shape=box", "has no factor 'shape'"),
        ("shepard_metzler_5_parts", "colour=orange", "unknown value 'orange'"),
        ("mazes", "shape=box", "mazes has no objects with named factors"),
        ("functions_rbf", "shape=box", "functions_rbf has no objects with named factors"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message) as caught:
        make_dataset(name, folder=tmp_path / "s", num_scenes={"test": 1}, hold_out=[text], workers=0)
    assert str(caught.value).startswith(f"hold_out: {text}") and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_leaves_no_scene_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(built_in, "MOST_DRAWS", 200)
    with pytest.raises(
        DataError, match="has too few scenes of train 0: none in 200 draws fits colour=red, colour=yellow"
    ):
        make_dataset(
            "shepard_metzler_5_parts",
            folder=tmp_path / "s",
            num_scenes={"train": 1},
            hold_out=[f"colour={hue}" for hue in ("red", "yellow", "green", "cyan", "blue", "purple", "pink")],
            workers=0,
        )
    assert list(tmp_path.iterdir()) == []
