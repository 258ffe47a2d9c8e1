"""What a store holds beside images and cameras: captions, maps, the points of functions."""

import json

import numpy as np
import pytest

from zoo.data.convert import convert
from zoo.data.inspection import inspect_scenes, verify_store
from zoo.data.opening import open_splits
from zoo.data.source import ExtraShape
from zoo.data.store import SceneStore
from zoo.data.store_writer import StoreWriter
from zoo.errors import DataError

VIEWS, SIZE, COUNT = 4, 8, 7
SHAPES = {
    "captions": ExtraShape("uint8", (5,), per_view=True),
    "height": ExtraShape("float32", (), per_view=True),
    "digits": ExtraShape("int64", (3,), per_view=False),
}


def scenes(count=COUNT, *, seed=0, size=SIZE):
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, 256, (count, VIEWS, size, size, 3), dtype=np.uint8),
        generator.normal(size=(count, VIEWS, 5)).clip(-1.5, 1.5).astype(np.float32),
        {
            "captions": generator.integers(0, 256, (count, VIEWS, 5), dtype=np.uint8),
            "height": generator.normal(size=(count, VIEWS)).astype(np.float32),
            "digits": generator.integers(0, 10, (count, 3)),
        },
    )


def write(folder, content, *, shapes=SHAPES, size=SIZE):
    with StoreWriter(
        folder, name="toy", image_size=size, num_views=VIEWS, provenance={}, extras=shapes, scenes_per_shard=3
    ) as writer:
        writer.add("train", *content)
    return folder


def test_extras_come_back_by_view_and_by_scene(tmp_path):
    content = scenes()
    source = SceneStore(write(tmp_path / "s", content), "train")
    assert source.extras == SHAPES
    chosen, views = np.array([6, 0, 3]), np.array([[1, 0], [3, 3], [2, 1]])
    found = source.read_extras(chosen, views)
    assert np.array_equal(found["captions"], content[2]["captions"][chosen[:, None], views])
    assert np.array_equal(found["height"], content[2]["height"][chosen[:, None], views])
    assert np.array_equal(found["digits"], content[2]["digits"][chosen])
    assert {name: array.dtype.name for name, array in found.items()} == {
        "captions": "uint8",
        "height": "float32",
        "digits": "int64",
    }
    assert verify_store(tmp_path / "s") == 3 + 1 + 3


def test_scenes_may_be_added_one_by_one(tmp_path):
    frames, cameras, extras = scenes()
    with StoreWriter(
        tmp_path / "s", name="toy", image_size=SIZE, num_views=VIEWS, provenance={}, extras=SHAPES, scenes_per_shard=3
    ) as writer:
        for index in range(COUNT):
            one = {name: array[index] for name, array in extras.items()}
            writer.add("train", frames[index], cameras[index], one)
    together = SceneStore(write(tmp_path / "t", (frames, cameras, extras)), "train")
    assert SceneStore(tmp_path / "s", "train").revision == together.revision


def test_the_revision_depends_on_every_extra(tmp_path):
    frames, cameras, extras = scenes()
    before = SceneStore(write(tmp_path / "a", (frames, cameras, extras)), "train").revision
    for name, array in extras.items():
        changed = {**extras, name: array + 1}
        after = SceneStore(write(tmp_path / name, (frames, cameras, changed)), "train").revision
        assert after != before, name


def test_data_without_images(tmp_path):
    frames, cameras, extras = scenes(size=0)
    source = SceneStore(write(tmp_path / "s", (frames, cameras, extras), size=0), "train")
    assert source.image_size == 0
    found, _ = source.read(np.arange(3), np.zeros((3, 2), dtype=np.int64))
    assert found.shape == (3, 2, 0, 0, 3)
    assert np.array_equal(
        source.read_extras(np.arange(3), np.zeros((3, 1), dtype=np.int64))["digits"], extras["digits"][:3]
    )
    facts = inspect_scenes(tmp_path / "s", verify=True)
    assert facts["splits"]["train"]["num_scenes"] == COUNT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda extras: extras.pop("digits"), "extras: 'digits' is missing"),
        (lambda extras: extras.update(more=np.zeros(COUNT)), "extras: 'more' is not declared"),
        (lambda extras: extras.update(digits=extras["digits"][:, :2]), r"extras.digits: the shape is \(7, 2\)"),
        (lambda extras: extras.update(digits=extras["digits"].astype(np.int32)), "extras.digits: the type is int32"),
        (lambda extras: extras["height"].__setitem__((0, 0), np.nan), r"extras\.height: the value at \[0, 0\] is nan"),
    ],
)
def test_wrong_extras_are_refused_and_nothing_is_left(tmp_path, change, message):
    frames, cameras, extras = scenes()
    change(extras)
    with pytest.raises(DataError, match=message):
        write(tmp_path / "s", (frames, cameras, extras))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_extra_is_found(tmp_path):
    folder = write(tmp_path / "s", scenes())
    path = folder / "train" / "extra-captions.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"extra-captions\.npy: SHA-256"):
        verify_store(folder)
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"extra-captions\.npy: has"):
        SceneStore(folder, "train")


@pytest.mark.parametrize("name", ["../evil", "a/b", "A", "", "-"])
def test_names_of_extras_follow_a_pattern(tmp_path, name):
    folder = write(tmp_path / "s", scenes())
    meta = json.loads((folder / "meta.json").read_text())
    meta["extras"][name] = meta["extras"].pop("digits")
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match=r"meta\.json: extras"):
        SceneStore(folder, "train")


def test_a_store_is_converted_with_all_it_holds(tmp_path):
    content = scenes()
    folder = write(tmp_path / "s", content)
    convert(folder, tmp_path / "t", to="store", max_scenes=5)
    source = open_splits(tmp_path / "t")["train"]
    found = source.read_extras(np.arange(5), np.broadcast_to(np.arange(VIEWS), (5, VIEWS)))
    assert all(np.array_equal(found[name], array[:5]) for name, array in content[2].items())


def test_extras_that_a_format_cannot_hold_are_refused(tmp_path):
    folder = write(tmp_path / "s", scenes())
    with pytest.raises(DataError, match="has captions, digits, height, for which DeepMind's format has no room"):
        convert(folder, tmp_path / "t", to="tfrecord")
    assert not (tmp_path / "t").exists()


def test_maps_are_not_resized_behind_the_models_back(tmp_path):
    frames, cameras, _ = scenes()
    shapes = {"map": ExtraShape("uint8", (SIZE, SIZE, 3), per_view=False)}
    folder = write(tmp_path / "s", (frames, cameras, {"map": frames[:, 0]}), shapes=shapes)
    with pytest.raises(DataError, match=r"image_size: the images of .* cannot be resized"):
        convert(folder, tmp_path / "t", to="store", image_size=4)
