import hashlib
import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from camera_projection import project

from zoo.data.camera import camera_axes
from zoo.data.render import caption_grammar
from zoo.data.render.caption_grammar import (
    CAPTION_LENGTH,
    FAR,
    INVERSE,
    NEAR,
    NOUNS,
    PALETTE,
    PHRASES,
    Fact,
    colour_name,
    facts,
    inverse,
    paraphrases,
)
from zoo.data.render.primitives import PRIMITIVE_NAMES
from zoo.data.render.recipes import RECIPES
from zoo.data.render.rooms import draw_ring_cameras
from zoo.data.render.scene import Scene, SceneObject
from zoo.errors import DataError

RECIPE = RECIPES["captioned_rooms"]
SCENES = [RECIPE.draw(seed=0, split="train", index=index) for index in range(40)]
VIEWS = [(drawn, camera) for drawn in SCENES for camera in drawn.cameras]

SHAPE_OF_NOUN = {noun: shape for shape, nouns in NOUNS.items() for noun in nouns}
RELATION_OF_PHRASE = {phrase: relation for relation, phrases in PHRASES.items() for phrase in phrases}
OBJECT = rf"(?:an?|the) ({'|'.join(PALETTE)}) ({'|'.join(SHAPE_OF_NOUN)}|one)"
# The longest phrase first: "left of" is the end of "to the left of".
PHRASE = f"({'|'.join(sorted(map(re.escape, RELATION_OF_PHRASE), key=len, reverse=True))})"
DIRECT = re.compile(rf"(?:there is |you can see |we see )?{OBJECT}(?: is| stands| can be seen)? {PHRASE} {OBJECT}")
TURNED = re.compile(rf"{PHRASE} {OBJECT}(?: is| there is| you find) {OBJECT}")


def item(shape, colour, x, y):
    return SceneObject(shape, (x, y, 0.3), (0.3, 0.3, 0.3), 0.0, PALETTE[colour])


def parse(caption, scene):
    """Reads a caption back: the facts that it states, with every noun and colour checked against the scene."""
    colours = [colour_name(item) for item in scene.objects]
    found, shapes_told = [], set()
    assert caption.endswith(".")
    for sentence in caption[:-1].split(". "):
        assert sentence[0].isupper()
        text = sentence[0].lower() + sentence[1:]
        if match := DIRECT.fullmatch(text):
            first_colour, first_noun, phrase, second_colour, second_noun = match.groups()
        else:
            match = TURNED.fullmatch(text)
            assert match, sentence
            phrase, second_colour, second_noun, first_colour, first_noun = match.groups()
        for colour, noun in ((first_colour, first_noun), (second_colour, second_noun)):
            if noun != "one":
                assert scene.objects[colours.index(colour)].shape == SHAPE_OF_NOUN[noun]
                shapes_told.add(colour)
        fact = Fact(RELATION_OF_PHRASE[phrase], colours.index(first_colour), colours.index(second_colour))
        found.append(fact if fact.first > fact.second else inverse(fact))
    assert shapes_told == set(colours), "every object is named by its shape once"
    return found


def test_every_relation_has_several_phrases_and_no_phrase_two_relations():
    assert set(PHRASES) == set(INVERSE) and set(NOUNS) == set(PRIMITIVE_NAMES)
    assert all(len(set(phrases)) >= 6 for phrases in PHRASES.values())
    assert len(RELATION_OF_PHRASE) == sum(map(len, PHRASES.values()))
    assert len(SHAPE_OF_NOUN) == sum(map(len, NOUNS.values()))


def test_facts_are_true_in_the_image():
    """Left and right against projected columns, in front and behind against depths, near and far against distances."""
    counted = dict.fromkeys(PHRASES, 0)
    for drawn, camera in VIEWS:
        places = torch.tensor([item.centre for item in drawn.scene.objects], dtype=torch.float64)
        view = torch.from_numpy(camera).double()
        seen = project(places, cameras=view, image_size=64)
        horizontal = view.clone()
        horizontal[4] = 0.0
        depth = (places - view[:3]) @ camera_axes(horizontal).forward
        assert ((seen.coordinates[:, 0] > 0) & (seen.coordinates[:, 0] < 64) & (seen.depth > 0)).all()
        for relation, first, second in facts(drawn.scene, camera=camera):
            counted[relation] += 1
            right = (seen.coordinates[first, 0] - seen.coordinates[second, 0]).item()
            away = (depth[first] - depth[second]).item()
            apart = (places[first, :2] - places[second, :2]).norm().item()
            assert {
                "left": right < -2.0,
                "right": right > 2.0,
                "front": away < -0.2,
                "behind": away > 0.2,
                "near": apart < NEAR,
                "far": apart > FAR,
            }[relation], (relation, right, away, apart)
    assert min(counted.values()) > 50


def test_every_pair_is_related_and_no_fact_is_said_twice():
    for drawn, camera in VIEWS:
        said = facts(drawn.scene, camera=camera)
        assert 1 <= len(said) <= caption_grammar.MAX_FACTS and len(set(said)) == len(said)
        directed = {(fact.first, fact.second) for fact in said if fact.relation not in ("near", "far")}
        assert directed == {(b, a) for a, b in itertools.combinations(range(len(drawn.scene.objects)), 2)}


def test_relations_of_a_known_scene():
    """The camera stands at -x and looks along +x, so that +y is on its left."""
    scene = Scene((item("sphere", "red", 0.0, 0.0), item("box", "blue", 0.5, 2.0)), (0.0, 0.0, 4.0))
    camera = np.array([-3.0, 0.0, 1.0, 0.0, -0.3])
    assert facts(scene, camera=camera) == (Fact("left", 1, 0), Fact("far", 1, 0))
    opposite = np.array([3.0, 0.0, 1.0, math.pi, -0.3])
    assert facts(scene, camera=opposite) == (Fact("right", 1, 0), Fact("far", 1, 0))
    left = np.array([0.0, 3.0, 1.0, -math.pi / 2, -0.3])
    assert facts(scene, camera=left) == (Fact("front", 1, 0), Fact("far", 1, 0))
    diagonal = replace(scene, objects=(scene.objects[0], item("box", "blue", 0.6, -0.7)))
    assert facts(diagonal, camera=camera) == (Fact("right", 1, 0), Fact("near", 1, 0), Fact("behind", 1, 0))


def test_captions_state_all_facts_and_nothing_else():
    for drawn, camera in VIEWS:
        expected = set(facts(drawn.scene, camera=camera))
        for caption in paraphrases(drawn.scene, camera=camera, num=4):
            assert len(caption.encode()) <= CAPTION_LENGTH
            found = parse(caption, drawn.scene)
            assert set(found) == expected, caption
            assert len(found) == max(2, len(expected))


def test_a_caption_of_the_data_set_is_the_first_paraphrase():
    rendering = RECIPE.render(seed=0, scene_indices=[3, 0], split="train", image_size=4)
    encoded = rendering.extras["captions"]
    assert encoded.shape == (2, 10, CAPTION_LENGTH) and encoded.dtype == np.uint8
    for scene, cameras, rows in zip(rendering.scenes, rendering.cameras.numpy(), encoded, strict=True):
        texts = [row.tobytes().rstrip(b"\0").decode() for row in rows]
        assert texts == [paraphrases(scene, camera=camera, num=1)[0] for camera in cameras]
        assert len(set(texts)) == len(texts)
    assert RECIPE.extras(image_size=64)["captions"] == ("uint8", (CAPTION_LENGTH,), True)


def test_the_captions_of_a_seed_have_not_changed():
    """If this changes, the same seed no longer gives the same captions: raise the version of the recipe."""
    assert "|".join(row.tobytes().rstrip(b"\0").decode() for row in SCENES[0].extras["captions"][:3]) == (
        "Far from the cyan block there is a blue pill. On the left side of the blue pill you find the cyan one."
        "|We see a cyan box nearer than the blue capsule. The cyan box stands far away from the blue one."
        "|Nearer than the cyan cube you find a blue capsule. Far away from the blue capsule you find the cyan one."
    )
    text = b"".join(drawn.extras["captions"].tobytes() for drawn in SCENES)
    assert (RECIPE.version, hashlib.sha256(text).hexdigest()[:16]) == (1, "4bcedba7cfec9ca3")


def test_paraphrases_differ_and_more_of_them_append():
    drawn, camera = VIEWS[0]
    wordings = paraphrases(drawn.scene, camera=camera, num=50)
    assert len(set(wordings)) == 50
    assert paraphrases(drawn.scene, camera=camera, num=3) == wordings[:3]
    assert paraphrases(drawn.scene, camera=camera.astype(np.float64), num=3) == wordings[:3]
    assert paraphrases(drawn.scene, camera=camera, num=0) == []
    moved = camera + np.array([0, 0, 0.01, 0, 0], np.float32)
    assert paraphrases(drawn.scene, camera=moved, num=3) != wordings[:3]


def test_every_phrase_and_pattern_is_used():
    text = " ".join(caption for drawn, camera in VIEWS for caption in paraphrases(drawn.scene, camera=camera, num=2))
    for phrase in RELATION_OF_PHRASE:
        assert phrase in text.lower()
    for words in (
        "There is a",
        "We see a",
        "You can see a",
        "can be seen",
        " stands ",
        " you find ",
        " there is ",
        " one ",
    ):
        assert words in text
    assert "a orange" not in text and "an orange" in text.lower()


@pytest.mark.parametrize("shortest", ["phrases", "whole captions"])
def test_the_longest_caption_fits(shortest):
    """Three icosahedra in the longest colours, related in the longest way."""
    scene = Scene(tuple(item("icosahedron", colour, 0.0, 0.0) for colour in ("yellow", "orange", "purple")), (0, 0, 4))
    pairs = [(1, 0), (2, 0), (2, 1)]
    if shortest == "phrases":
        for said in itertools.combinations([Fact(relation, *pair) for relation in PHRASES for pair in pairs], 4):
            assert len(" ".join(caption_grammar._shortest(fact, scene) for fact in said)) <= CAPTION_LENGTH
    said = [Fact("front", *pair) for pair in pairs] + [Fact("right", 2, 1)]
    rng = np.random.Generator(np.random.PCG64(0))
    lengths = []
    for _ in range(200):
        caption = caption_grammar._caption(rng, scene, said)
        assert set(parse(caption, scene)) == set(said)
        lengths.append(len(caption))
    assert 240 < max(lengths) <= CAPTION_LENGTH


def test_rooms_hold_two_or_three_objects_of_different_colours():
    assert {len(drawn.scene.objects) for drawn in SCENES} == {2, 3}
    for drawn in SCENES:
        colours = [colour_name(item) for item in drawn.scene.objects]
        assert len(set(colours)) == len(colours)
        assert all(math.hypot(*item.centre[:2]) <= caption_grammar.OBJECT_REACH for item in drawn.scene.objects)
    assert {colour_name(item) for drawn in SCENES for item in drawn.scene.objects} == set(PALETTE)
    generator = np.random.Generator(np.random.PCG64(0))
    assert draw_ring_cameras(generator, num_views=2).shape == (2, 5)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ((item("box", "red", 0.0, 0.0),), "expected two objects or more"),
        ((item("box", "red", 0.0, 0.0), item("cone", "red", 1.0, 0.0)), "each in a colour of its own"),
        (
            (item("box", "red", 0.0, 0.0), replace(item("cone", "red", 1.0, 0.0), colour=(0.1, 0.2, 0.3))),
            r"colour \(0.1, 0.2, 0.3\) has no name, expected one of red, orange",
        ),
    ],
)
def test_a_scene_without_words_is_refused(objects, message):
    with pytest.raises(DataError, match=message):
        paraphrases(Scene(objects, (0.0, 0.0, 3.0)), camera=np.zeros(5), num=1)


def test_captions_survive_the_way_to_bytes_and_back():
    captions = ["a red sphere is left of the box.", "", "ein Würfel", "x" * CAPTION_LENGTH]
    encoded = caption_grammar.encode_captions(captions)
    assert encoded.shape == (4, 256) and encoded.dtype == np.uint8
    assert [row.tobytes().rstrip(b"\0").decode() for row in encoded] == captions
    assert caption_grammar.encode_captions([], 5).shape == (0, 5)
    assert caption_grammar.encode_captions(["ab"], 4).tolist() == [[97, 98, 0, 0]]


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (["fits", "does not"], r"captions\[1\]: takes 8 bytes, expected at most 4"),
        (["äöü"], r"captions\[0\]: takes 6 bytes"),
        (["a\0b"], r"captions\[0\]: holds the character with code 0"),
    ],
)
def test_a_caption_that_would_come_back_changed_is_refused(captions, message):
    with pytest.raises(DataError, match=message):
        caption_grammar.encode_captions(captions, 4)
