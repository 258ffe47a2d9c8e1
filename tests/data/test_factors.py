"""Factor documents: scenes of every built-in data set come back from them, and what is wrong with one is named."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

import zoo
from zoo.data.factors.hues import HUES, hue_of
from zoo.data.factors.parsing import KINDS, parse_factors, read_factor_file
from zoo.data.render import shepard_metzler
from zoo.data.render.caption_grammar import PALETTE
from zoo.data.render.digit_cube import handwritten_digits, printed_digits
from zoo.data.render.primitives import PRIMITIVE_NAMES
from zoo.data.render.recipes import RECIPES
from zoo.errors import DataError

NAMES = [name for name, recipe in RECIPES.items() if recipe.has_images]
SIZE = 16


def rendered(name, *, count, split="test"):
    recipe = replace(RECIPES[name], num_views=3)
    return recipe, recipe.render(seed=3, scene_indices=range(count), split=split, image_size=SIZE)


@pytest.fixture(scope="module")
def documents():
    """Returns a function that gives one document of a data set, as JSON values, to be changed at will."""
    made = {}

    def document(name):
        if name not in made:
            drawn = RECIPES[name].draw(seed=3, split="test", index=0)
            made[name] = json.loads(RECIPES[name].factors_of(drawn.scene).model_dump_json())
        return copy.deepcopy(made[name])

    return document


@pytest.mark.parametrize("name", NAMES)
def test_images_from_factors_are_those_of_the_scene_bit_for_bit(name):
    recipe, rendering = rendered(name, count=1 if name == "terrain" else 4)
    for scene, cameras, frames in zip(rendering.scenes, rendering.cameras, rendering.frames, strict=True):
        document = json.loads(recipe.factors_of(scene).model_dump_json())
        factors = parse_factors(document, origin="x")
        recipe.check_factors(factors)
        assert factors.scene() == scene
        assert json.loads(type(factors).of(factors.scene()).model_dump_json()) == document
        found = zoo.render_scene(document, cameras.numpy(), image_size=SIZE)
        assert found.dtype == np.uint8 and found.shape == (3, SIZE, SIZE, 3)
        np.testing.assert_array_equal(found, frames.numpy())


def test_every_data_set_with_images_has_factors_and_no_other_one():
    assert {name for name, recipe in RECIPES.items() if recipe.factor_class is not None} == set(NAMES)
    for recipe in RECIPES.values():
        if recipe.factor_class is not None:
            assert KINDS[recipe.factor_class.model_fields["kind"].default] is recipe.factor_class


def test_data_sets_travel_to_other_processes():
    for name, recipe in RECIPES.items():
        assert pickle.loads(pickle.dumps(recipe)).name == name


def test_functions_have_none_and_say_so(documents):
    recipe = RECIPES["functions_rbf"]
    drawn = recipe.draw(seed=0, split="test", index=0)
    assert recipe.factors_of(drawn.scene) is None
    with pytest.raises(DataError, match="functions_rbf: functions and pixels have no scene factors"):
        recipe.check_factors(parse_factors(documents("rooms_ring_camera"), origin="x"))


def test_a_change_of_one_factor_changes_the_images(documents):
    cameras = RECIPES["rooms_ring_camera"].draw(seed=3, split="test", index=0).cameras[:2]
    before = zoo.render_scene(documents("rooms_ring_camera"), cameras, image_size=SIZE)
    changed = documents("rooms_ring_camera")
    changed["objects"][0] |= {"colour": [0.0, 1, 0.0], "hue": None}  # 1 stands for 1.0
    assert (zoo.render_scene(changed, cameras, image_size=SIZE) != before).any()
    changed = documents("rooms_ring_camera")
    changed["room"]["wall"] = next(name for name in ("red", "green") if name != changed["room"]["wall"])
    assert (zoo.render_scene(changed, cameras, image_size=SIZE) != before).any()


def test_named_hues_are_the_colours_of_captions():
    assert set(PALETTE) == set(HUES)
    assert all(hue_of(colour) == name for name, colour in PALETTE.items())
    names = [hue_of(colour) for colour in shepard_metzler.COLOURS]
    assert names == ["red", "yellow", "green", "cyan", "blue", "purple", "pink"]
    assert hue_of((1.0, 0.0, 0.05)) == "red" and hue_of((0.95, 0.95, 0.95)) == hue_of((0.0, 0.0, 0.0)) == "grey"


def test_factors_say_what_there_is_in_words(documents):
    room = documents("rooms_ring_camera")
    assert room["version"] == 1 and room["kind"] == "room"
    assert {item["shape"] for item in room["objects"]} <= set(PRIMITIVE_NAMES)
    assert all(item["hue"] == hue_of(tuple(item["colour"])) for item in room["objects"])
    cube = documents("digit_cube")
    assert [face["face"] for face in cube["faces"]] == ["+x", "+y", "-x", "-y", "top"]
    labels = RECIPES["digit_cube"].draw(seed=3, split="test", index=0).extras["digits"]
    assert [face["digit"] for face in cube["faces"]] == labels.tolist()
    blocks = documents("shepard_metzler_7_parts")["blocks"]
    assert len(blocks) == 7 and blocks[0]["cell"] == [0, 0, 0]
    assert len(documents("jaco")["joints"]) == 9
    assert len(documents("mazes")["cells"]) == 9
    assert 0.04 <= documents("terrain")["water_share"] <= 0.26


def test_derived_fields_may_be_left_out(documents):
    cube = documents("digit_cube")
    expected = parse_factors(cube, origin="x").scene()
    assert parse_factors(cube | {"hue": None, "ink_hue": None}, origin="x").scene() == expected
    for face in cube["faces"]:
        del face["image"]
    printed = parse_factors(cube, origin="x").scene().digits
    assert printed == tuple(
        printed_digits()[int(label)] for label in handwritten_digits().labels[list(expected.digits)]
    )
    land = documents("terrain")
    assert parse_factors({key: land[key] for key in ("version", "kind", "land")}, origin="x").land == land["land"]


def put(document, path, value):
    """Returns a document with another value at a dotted path; a value of ... removes the key."""
    *way, last = path.split(".")
    place = document
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    last = int(last) if isinstance(place, list) else last
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


ROOM, BLOCKS, CUBE, ARM, MAZE, LAND = (
    "rooms_ring_camera",
    "shepard_metzler_5_parts",
    "digit_cube",
    "jaco",
    "mazes",
    "terrain",
)
WRONG = [
    (ROOM, "version", 2, "version: found 2 (int), expected 1"),
    (ROOM, "version", ..., "version: this key is missing"),
    (ROOM, "kind", ..., "kind: this key is missing; expected one of room, shepard_metzler"),
    (ROOM, "kind", "rom", "kind: found 'rom', expected one of room,"),
    (ROOM, "kind", 3, "kind: found 3, expected one of"),
    (ROOM, "lights", [0, 0, 4], "lights: unknown key 'lights'; did you mean 'light'?"),
    (ROOM, "objects", [], "objects: found [] (list), expected"),
    (ROOM, "objects.0.shape", "cubes", "objects.0.shape: found 'cubes' (str), expected one of box, sphere"),
    (ROOM, "objects.0.shape", "con", "did you mean 'cone'"),
    (ROOM, "objects.0.colour.1", 1.5, "objects.0.colour.1: found 1.5 (float), expected less than or equal to 1"),
    (ROOM, "objects.0.colour.1", "0.5", "objects.0.colour.1: found '0.5' (str), expected a valid number"),
    (ROOM, "objects.0.colour.1", True, "objects.0.colour.1: found True (bool), expected a valid number"),
    (ROOM, "objects.0.colour", ..., "objects.0.colour: this key is missing"),
    (ROOM, "objects.0.hue", "grey", "objects.0.hue: found 'grey', expected"),
    (ROOM, "objects.0.scale.2", 0, "objects.0.scale.2: found 0 (int), expected greater than 0"),
    (ROOM, "objects.0.position", [3.4, 0.0, 1.0], "objects.0.position: found [3.4, 0.0, 1.0], expected x and y within"),
    (ROOM, "objects.0.position.2", -1.0, "above the floor"),
    (ROOM, "objects.0.tilt", [1.0, 1.0, 0.0, 0.0], "objects.0.tilt: found [1.0, 1.0, 0.0, 0.0], expected length 1"),
    (ROOM, "room.wall", "blue floor", "room.wall: found 'blue floor' (str), expected one of red, green"),
    (ROOM, "light.0", float("nan"), "holds a value that JSON has no form for"),
    (ROOM, "light", {1, 2}, "holds a value that JSON has no form for"),
    (BLOCKS, "blocks.2.cell", [9, 9, 9], "blocks.2.cell: found [9, 9, 9], expected a cell beside"),
    (BLOCKS, "blocks.4.cell", [0, 0, 0], "blocks.4.cell: found [0, 0, 0], expected a cell without a block"),
    (BLOCKS, "blocks.1.hue", "orange", "blocks.1.hue: found 'orange', expected"),
    (CUBE, "faces.1.face", "top", "faces.1.face: found 'top', expected '+y'"),
    (CUBE, "faces.0.image", 1797, "faces.0.image: found 1797 (int), expected less than 1797"),
    (CUBE, "ink_hue", "gren", "ink_hue: found 'gren' (str), expected"),
    (CUBE, "room.width", 1.0, "room.width: found 1.0, expected a room that holds the cube"),
    (ARM, "joints.1", 6.0, "joints.1: found 6.0, expected 1.8326 to 4.4506 radians"),
    (ARM, "joints", [0.0] * 8, "joints: found"),
    (ARM, "target.position.0", 3.5, "target.position: found [3.5,"),
    (MAZE, "cells.0", "####.####", "cells.0: found '####.####', expected solid cells (#) all round"),
    (MAZE, "cells.4", "#..x....#", "cells.4: found '#..x....#', expected 9 of the characters #.12"),
    (MAZE, "cells", ["#########"] * 9, "cells: found solid cells alone, expected one free cell or more"),
    (MAZE, "walls", [], "walls: found 0 surfaces, expected"),
    (MAZE, "panels", [{"row": 9, "column": 0, "surface": {"texture": "red", "hue_turn": 0}}], "panels.0.row: found 9"),
    (LAND, "water_share", 0.5, "water_share: found 0.5, expected 0."),
    (LAND, "land", 2**53, "land: found 9007199254740992 (int), expected less than"),
]


@pytest.mark.parametrize(("name", "path", "value", "message"), WRONG)
def test_what_is_wrong_is_named_with_its_origin(documents, name, path, value, message):
    with pytest.raises(DataError) as caught:
        parse_factors(put(documents(name), path, value), origin="mine.json: scene 7")
    assert str(caught.value).startswith("mine.json: scene 7: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_digit_that_its_image_does_not_show_is_refused(documents):
    cube = documents(CUBE)
    right = cube["faces"][2]["digit"]
    with pytest.raises(DataError, match=f"faces.2.digit: found {(right + 1) % 10}, expected {right}, which image"):
        parse_factors(put(cube, "faces.2.digit", (right + 1) % 10), origin="x")


@pytest.mark.parametrize(
    ("recipe", "document", "message"),
    [
        ("mazes", ROOM, "kind: found 'room', expected 'maze', the scenes of mazes"),
        ("shepard_metzler_7_parts", BLOCKS, "blocks: found 5 blocks, expected 7"),
        ("printed_cube", CUBE, "faces: found 5 faces, expected 4"),
        ("captioned_rooms", ROOM, "objects: the colour .* has no name, expected one of red, orange"),
    ],
)
def test_factors_of_another_data_set_are_refused(documents, recipe, document, message):
    with pytest.raises(DataError, match=message):
        RECIPES[recipe].check_factors(parse_factors(documents(document), origin="x"))


@pytest.mark.parametrize(
    ("cameras", "options", "message"),
    [
        (np.zeros((2, 4)), {}, r"cameras: the shape is \(2, 4\), expected \(V, 5\)"),
        (np.zeros((0, 5)), {}, r"cameras: the shape is \(0, 5\)"),
        (np.full((1, 5), np.nan), {}, "cameras: the x of camera"),
        (np.array([[3.6, 0, 1, 0, 0]]), {}, "room.width: found 7.0, expected more than 7.2"),
        (np.zeros((1, 5)), {"image_size": 0}, "image_size: 0 is not a positive number"),
    ],
)
def test_cameras_that_see_nothing_are_refused(documents, cameras, options, message):
    with pytest.raises(DataError, match=message):
        zoo.render_scene(documents(ROOM), cameras, **options)


def test_a_terrain_is_not_seen_from_above(documents):
    with pytest.raises(DataError, match="cameras: a pitch beyond"):
        zoo.render_scene(documents(LAND), np.array([[0.0, 0.0, 1.0, 0.0, -1.0]]))


def test_the_formats_of_files_hold_the_same(tmp_path, documents):
    scenes = [documents(ROOM), documents(BLOCKS)]
    texts = {
        "a.jsonl": "".join(json.dumps(scene) + "\n" for scene in scenes) + "\n",
        "a.json": json.dumps(scenes, indent=1),
        "a.yaml": json.dumps(scenes),
        "a.yml": "- " + json.dumps(scenes[0]) + "\n- " + json.dumps(scenes[1]),
    }
    found = []
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        found.append(read_factor_file(tmp_path / name))
    assert all(item == found[0] for item in found) and len(found[0]) == 2
    (tmp_path / "one.json").write_text(json.dumps(scenes[1]))
    assert read_factor_file(tmp_path / "one.json") == found[0][1:]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", r"a\.csv: the name ends in '\.csv', expected one of \.jsonl, \.json"),
        ("a.json", "[]", r"a\.json: lists no scene"),
        ("a.jsonl", "\n\n", r"a\.jsonl: lists no scene"),
        ("a.json", "[1]", r"a\.json: scene 0: found int, expected a mapping"),
        ("a.json", "{", r"a\.json: is not valid JSON"),
        ("a.json", '{"kind": NaN}', "found NaN, expected a finite number"),
        ("a.json", '{"kind": 1, "kind": 2}', "the key 'kind' is given twice"),
        ("a.json", "[" * 100_000, r"a\.json: is not valid JSON"),
        ("a.jsonl", '{"kind": "room", "version": 1}\n{"kind":', r"a\.jsonl: line 2: is not valid JSON"),
        ("a.yaml", "- !!python/object/apply:os.system [ls]", r"a\.yaml: line 1: YAML tags"),
        ("a.yaml", "a: [", r"a\.yaml: line"),
        ("a.yaml", "#" * 1_100_000, r"a\.yaml: has 1100000 characters"),
    ],
)
def test_files_that_list_no_scenes_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_factor_file(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read: No such file"):
        read_factor_file(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is not a text file in UTF-8"):
        read_factor_file(tmp_path / "b.json")
