"""Rooms with more objects and cameras off the ring, with models that know them, ignore them, or see nothing."""

from dataclasses import dataclass

import numpy as np
import pytest
from analysis_inputs import make_inputs

from zoo.analysis.claims import conclude
from zoo.analysis.extrapolation import (
    HEIGHT,
    OBJECTS,
    RADIUS,
    RINGS,
    draw_unseen_rooms,
    ring_recipe,
    room_expectations,
    room_groups,
    room_panels,
    score_rooms,
)
from zoo.data.render.rooms import RING
from zoo.evaluation.views import ViewPrediction

SCENES, SIZE = 20, 8


@pytest.fixture(scope="module")
def rooms():
    return draw_unseen_rooms(
        ring_recipe("rooms_ring_camera"), num_scenes=SCENES, num_context=2, image_size=SIZE, seed=0
    )


@dataclass
class Oracle:
    """Predicts true images, if it is given what is asked for: of moved cameras, and of all objects that are in view."""

    rooms: object
    moves: bool = True
    counts: bool = True

    def predict(self, scene, cameras, *, context, samples, seed):
        index, number = next(
            (index, number)
            for index, versions in enumerate(self.rooms.by_objects)
            for number, version in enumerate(versions)
            if version is scene
        )
        versions = self.rooms.by_objects[index]
        if len(cameras) == 1:
            seen = scene if self.counts else versions[min(number, self.rooms.most - 1)]
            frames = seen.frames[-1:]
        elif self.moves:
            frames = np.concatenate([self.rooms.truth[name][index] for name in RINGS])
        else:
            frames = np.repeat(scene.frames[-1:], len(cameras), axis=0)
        mean = (frames / 255.0).astype(np.float32)
        return ViewPrediction(cameras, mean[None], mean, mean[..., 0], scene.frames[context])


def test_rooms_differ_in_their_objects_alone(rooms):
    assert rooms.most == 3 and [len(versions) for versions in rooms.by_objects] == [5] * SCENES
    for versions in rooms.by_objects:
        assert all(np.array_equal(scene.cameras, versions[0].cameras) for scene in versions)
        assert any(not np.array_equal(versions[2].frames, scene.frames) for scene in versions[3:])
    heights = rooms.moved[HEIGHT][:, :, 2]
    np.testing.assert_allclose(heights, np.tile(rooms.positions[HEIGHT], (SCENES, 1)), rtol=1e-6)
    radii = np.linalg.norm(rooms.moved[RADIUS][:, :, :2], axis=-1)
    np.testing.assert_allclose(radii, np.tile(rooms.positions[RADIUS], (SCENES, 1)), rtol=1e-5)
    # On the ring it is the last view of the rooms with as many objects as in training.
    place = RINGS[HEIGHT].index(RING)
    last = np.stack([versions[2].frames[-1] for versions in rooms.by_objects])
    np.testing.assert_array_equal(rooms.truth[HEIGHT][:, place], last)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {OBJECTS: True, HEIGHT: True, RADIUS: True}),
        ({"moves": False}, {OBJECTS: True, HEIGHT: False, RADIUS: False}),
        ({"counts": False}, {OBJECTS: False, HEIGHT: True, RADIUS: True}),
    ],
)
def test_a_model_that_ignores_a_change_is_found(rooms, array_scenes, options, expected):
    given = make_inputs({}, array_scenes())
    found = {"x": score_rooms(given, Oracle(rooms, **options), rooms)}
    claims = conclude(room_expectations(found, rooms))
    assert dict(zip(expected, (claim.holds for claim in claims), strict=True)) == expected
    panels = room_panels(found, rooms)
    assert [len(panel.trends) for panel in panels] == [2, 2, 2]
    if not options:
        assert max(errors.max() for errors in found["x"].errors.values()) < 1e-10
    groups = room_groups(found, rooms)
    assert groups[0].caption.startswith("number of objects 3") and groups[-1].images.shape == (4, 2, SIZE, SIZE, 3)


def test_data_without_ring_cameras_has_no_such_rooms():
    for name in ("mazes", "rooms_free_camera_no_object_rotations", "shepard_metzler_5_parts", "arrays"):
        assert ring_recipe(name) is None, name


def test_rooms_of_one_object_get_two_more():
    recipe = ring_recipe("rooms_one_object")
    rooms = draw_unseen_rooms(recipe, num_scenes=3, num_context=1, image_size=SIZE, seed=0)
    assert rooms.most == 1 and list(rooms.positions[OBJECTS]) == [1, 2, 3]
    assert rooms.known[OBJECTS].tolist() == [0, 0, 0]
