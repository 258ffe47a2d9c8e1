"""Factors in scene stores: written with the rest, read by scene, verified, and not part of the revision."""

import json
import pickle
import shutil

import numpy as np
import pytest

from zoo.data.convert import convert
from zoo.data.inspection import inspect_scenes, verify_store
from zoo.data.make import make_dataset
from zoo.data.opening import open_splits
from zoo.data.render.recipes import RECIPES
from zoo.data.store import SceneStore
from zoo.data.store_writer import StoreWriter
from zoo.errors import DataError

RECIPE = "shepard_metzler_5_parts"
COUNTS = {"train": 10, "test": 3}


def write(folder, batches, *, num_views=2):
    frames, cameras = np.zeros((2, num_views, 4, 4, 3), np.uint8), np.zeros((2, num_views, 5), np.float32)
    with StoreWriter(folder, name="toy", image_size=4, num_views=num_views, provenance={}) as writer:
        for split, factors in batches:
            writer.add(split, frames, cameras, factors=factors)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    return make_dataset(RECIPE, folder=folder, num_scenes=COUNTS, image_size=8, num_views=3, seed=5, workers=0)


@pytest.fixture
def copied(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def without_factors(folder):
    """Makes a store one of an earlier version."""
    meta = json.loads((folder / "meta.json").read_text())
    for name in meta.pop("factors"):
        (folder / name).unlink()
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def test_a_store_has_the_factors_of_every_scene_in_any_order(made):
    for split, count in COUNTS.items():
        store = SceneStore(made, split)
        assert store.has_factors
        for scene in (count - 1, 0, 1, 1):
            (found,) = store.read_factors(np.array([scene]))
            drawn = RECIPES[RECIPE].draw(seed=5, split=split, index=scene)
            assert found == json.loads(RECIPES[RECIPE].factors_of(drawn.scene).model_dump_json())
        assert len(store.read_factors(np.arange(count))) == count
        lines = (made / split / "factors.jsonl").read_text().splitlines()
        assert store.read_factors(np.array([2, 0])) == [json.loads(lines[2]), json.loads(lines[0])]
    with pytest.raises(DataError, match="scene 10 is out of range"):
        SceneStore(made, "train").read_factors(np.array([10]))


def test_factors_change_neither_the_revision_nor_the_arrays(made, copied):
    before = SceneStore(made, "train").revision
    without_factors(copied)
    assert SceneStore(copied, "train").revision == before == "1b09e93ea5419943"  # of the code that wrote no factors
    assert verify_store(made) == verify_store(copied) + 2


def test_a_store_of_an_earlier_version_names_the_command_that_makes_its_factors(copied):
    store = SceneStore(without_factors(copied), "test")
    assert not store.has_factors
    command = (
        f"gqn-zoo data make {RECIPE} -o FOLDER --train 10 --validation 1 --test 3 --image-size 8 --views 3 --seed 5"
    )
    with pytest.raises(DataError, match=f"has no scene factors: it was made by an earlier version; '{command}'"):
        store.read_factors(np.array([0]))
    facts = inspect_scenes(copied, verify=True)
    assert facts["factors"] is False and facts["verified"]


def test_stores_whose_scenes_have_none_say_why(tmp_path):
    make_dataset("functions_rbf", folder=tmp_path / "f", num_scenes={"test": 2}, num_views=4, workers=0)
    with pytest.raises(DataError, match=r"has no scene factors: functions and pixels \(functions_rbf\) have none"):
        SceneStore(tmp_path / "f", "test").read_factors(np.array([0]))
    write(tmp_path / "own", [("test", None)])
    assert "factors" not in json.loads((tmp_path / "own" / "meta.json").read_text())
    with pytest.raises(
        DataError, match="it was not rendered by a built-in data set; 'gqn-zoo data make NAME -o FOLDER'"
    ):
        SceneStore(tmp_path / "own", "test").read_factors(np.array([0]))


def test_factors_come_with_all_scenes_or_with_none(tmp_path):
    pair = [{"a": 1}, {"a": 2}]
    for name, batches, message in (
        ("later", [("train", pair), ("test", None)], "factors: are missing, unlike for the scenes before"),
        ("earlier", [("train", None), ("train", pair)], "factors: are given, unlike for the scenes before"),
        ("few", [("train", pair[:1])], "factors: found 1 documents, expected 2"),
    ):
        with pytest.raises(DataError, match=message):
            write(tmp_path / name, batches)
    assert list(tmp_path.iterdir()) == []
    store = SceneStore(write(tmp_path / "s", [("train", pair), ("train", pair[::-1])]), "train")
    assert store.read_factors(np.arange(4)) == [*pair, *pair[::-1]]


def test_a_store_that_read_factors_is_pickled_without_them(made):
    store = SceneStore(made, "train")
    unused = len(pickle.dumps(store))
    expected = store.read_factors(np.array([9]))
    assert len(pickle.dumps(store)) == unused
    assert pickle.loads(pickle.dumps(store)).read_factors(np.array([9])) == expected


def test_an_inspection_counts_and_verifies_them(made):
    facts = inspect_scenes(made, verify=True)
    assert facts["factors"] is True
    assert facts["splits"]["train"]["num_files"] == 3
    sizes = [path.stat().st_size for path in made.rglob("*") if path.is_file() and path.name != "meta.json"]
    assert facts["bytes"] == sum(sizes)


def change_digest(folder):
    """Makes the digests of the factors match the files again."""
    from zoo.files import sha256_of

    meta = json.loads((folder / "meta.json").read_text())
    meta["factors"] = {name: sha256_of(folder / name) for name in meta["factors"]}
    (folder / "meta.json").write_text(json.dumps(meta))


def test_damage_is_found(copied):
    path = copied / "train" / "factors.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"version":1', '"version":7', 1))
    with pytest.raises(DataError, match=r"train/factors\.jsonl: SHA-256 is"):
        verify_store(copied)
    change_digest(copied)
    with pytest.raises(DataError, match=r"train/factors\.jsonl: scene 0: version: found 7 \(int\), expected 1"):
        verify_store(copied)
    for damaged, message in (
        (text[: text.rindex("\n", 0, -1) + 1], "has 9 lines, expected 10; the file is damaged"),
        (text[:-1], "has 9 lines, expected 10"),
        (text.replace("{", "[", 1), "line 1: is not JSON"),
        (text.replace("{", "[" * 100_000, 1), "line 1: is not JSON"),
        ("", "is empty; the file is damaged"),
    ):
        path.write_text(damaged)
        with pytest.raises(DataError, match=message):
            SceneStore(copied, "train").read_factors(np.array([0]))
    path.unlink()
    with pytest.raises(DataError, match=r"factors\.jsonl: cannot be read"):
        SceneStore(copied, "train").read_factors(np.array([0]))
    for verify in (True, False):
        with pytest.raises(DataError, match=r"factors\.jsonl: (is missing|cannot be read)"):
            inspect_scenes(copied, verify=verify)


def test_a_list_of_other_files_is_refused(copied):
    meta = json.loads((copied / "meta.json").read_text())
    meta["factors"].popitem()
    (copied / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="factors: are not one file of every split"):
        SceneStore(copied, "train")


def test_conversion_keeps_factors_in_a_store_and_drops_them_in_records(made, tmp_path):
    convert(made, tmp_path / "small", to="store", image_size=4, max_scenes=2)
    for split in COUNTS:
        found = SceneStore(tmp_path / "small", split).read_factors(np.arange(2))
        assert found == SceneStore(made, split).read_factors(np.arange(2))
    convert(made, tmp_path / "records", to="tfrecord")
    assert set(open_splits(tmp_path / "records")) >= set(COUNTS)
    assert inspect_scenes(tmp_path / "records")["factors"] is False
    convert(tmp_path / "records", tmp_path / "back", to="store")
    assert not SceneStore(tmp_path / "back", "test").has_factors
