"""One scene: from a store, from a recipe, of own images; and seen from other cameras."""

import numpy as np
import pytest

from zoo.data.make import make_dataset
from zoo.data.scene import Scene
from zoo.data.store_writer import StoreWriter
from zoo.errors import DataError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms") / "store"
    return make_dataset(
        "rooms_ring_camera", folder=folder, num_scenes={"train": 1, "test": 2}, image_size=16, num_views=4, workers=0
    )


def test_a_scene_of_a_store_is_that_of_its_recipe(store):
    read = Scene.load(f"{store}:1")
    drawn = Scene.load("rooms_ring_camera:1", image_size=16)
    np.testing.assert_array_equal(read.frames, drawn.frames[:4])
    np.testing.assert_array_equal(read.cameras, drawn.cameras[:4])
    assert read.image_size == 16 and read.num_views == 4 and drawn.num_views == 10


def test_a_folder_without_an_index_is_its_first_scene(store):
    np.testing.assert_array_equal(Scene.load(store).frames, Scene.load(f"{store}:0").frames)
    assert not np.array_equal(Scene.load(store).frames, Scene.load(store, split="train").frames)


def test_a_folder_may_have_a_colon_in_its_name(store, tmp_path):
    place = tmp_path / "rooms:2"
    place.symlink_to(store)
    np.testing.assert_array_equal(Scene.load(f"{place}:1").frames, Scene.load(f"{store}:1").frames)


@pytest.mark.parametrize("name", ["rooms_ring_camera", "shepard_metzler_5_parts", "captioned_rooms", "mazes", "jaco"])
def test_its_own_cameras_show_what_its_images_show(name):
    scene = Scene.load(f"{name}:3", image_size=8)
    np.testing.assert_array_equal(scene.render(scene.cameras[2:4]), scene.frames[2:4])


def test_a_scene_of_a_store_is_rendered_from_other_cameras(store):
    read, drawn = Scene.load(f"{store}:1"), Scene.load("rooms_ring_camera:1", image_size=16)
    np.testing.assert_array_equal(read.render(drawn.cameras[6:7]), drawn.frames[6:7])


def test_a_scene_with_held_out_combinations_is_rendered_from_its_factors(tmp_path):
    place = make_dataset(
        "rooms_ring_camera",
        folder=tmp_path / "store",
        num_scenes={"test": 2},
        image_size=8,
        num_views=2,
        workers=0,
        hold_out=["shape=cone"],
    )
    for index in range(2):
        scene = Scene.load(f"{place}:{index}")
        np.testing.assert_array_equal(scene.render(scene.cameras), scene.frames)


def test_what_a_store_shows_is_not_known_without_its_recipe(tmp_path):
    frames, cameras = np.zeros((1, 2, 8, 8, 3), np.uint8), np.zeros((1, 2, 5), np.float32)
    for number, provenance in enumerate(({}, {"recipe": "rooms_ring_camera", "version": 999, "seed": 0})):
        with StoreWriter(
            tmp_path / str(number), name="rooms_ring_camera", image_size=8, num_views=2, provenance=provenance
        ) as writer:
            writer.add("test", frames, cameras)
        assert Scene.load(tmp_path / str(number)).render(cameras[0]) is None


def test_own_images():
    images, cameras = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8), np.zeros((3, 5))
    scene = Scene.from_images(list(images), cameras, name="kitchen")
    np.testing.assert_array_equal(scene.frames, images)
    assert scene.cameras.dtype == np.float32 and scene.render(cameras) is None


@pytest.mark.parametrize(
    ("images", "cameras", "message"),
    [
        (np.zeros((2, 8, 6, 3), np.uint8), np.zeros((2, 5)), "found uint8 [2, 8, 6, 3], expected square ones"),
        (np.zeros((2, 8, 8, 3)), np.zeros((2, 5)), "found float64"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((3, 5)), "cameras: found [3, 5], expected [2, 5]"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 5), np.nan), "x of camera [0] is nan"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)], np.zeros((2, 5)), "found shapes"),
    ],
)
def test_own_images_that_do_not_fit(images, cameras, message):
    with pytest.raises(DataError, match="kitchen") as error:
        Scene.from_images(images, cameras, name="kitchen")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("rooms_ring_camra:1", "did you mean 'rooms_ring_camera'"),
        ("functions_rbf:1", "its scenes have no images"),
        ("rooms_ring_camera:-1", "found '-1', expected DATA:INDEX"),
        ("rooms_ring_camera:", "found '', expected DATA:INDEX"),
        ("rooms_ring_camera:1.5", "found '1.5'"),
    ],
)
def test_scenes_that_do_not_exist(place, message):
    with pytest.raises(DataError) as error:
        Scene.load(place)
    assert message in str(error.value)


def test_scenes_beyond_the_end_of_a_store(store):
    with pytest.raises(DataError, match="scene 2 is out of range, expected 0 to 1"):
        Scene.load(f"{store}:2")
