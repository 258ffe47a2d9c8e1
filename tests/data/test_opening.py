"""Either format is recognized, described and, on request, read through."""

import numpy as np
import pytest

from zoo.data.convert import DeepMindWriter
from zoo.data.deepmind import DeepMindScenes
from zoo.data.inspection import inspect_scenes
from zoo.data.opening import open_scenes, open_splits
from zoo.data.store import SceneStore
from zoo.data.store_writer import StoreWriter
from zoo.errors import DataError

SIZE, VIEWS = 6, 2


def make_scenes(count):
    rng = np.random.default_rng(count)
    frames = rng.integers(0, 256, (count, VIEWS, SIZE, SIZE, 3), dtype=np.uint8)
    return frames, rng.normal(size=(count, VIEWS, 5)).clip(-1.5, 1.5).astype(np.float32)


SCENES = {"train": make_scenes(43), "test": make_scenes(5)}


def write_store(folder):
    with StoreWriter(
        folder, name="toy", image_size=SIZE, num_views=VIEWS, provenance={"seed": 3}, scenes_per_shard=8
    ) as writer:
        for split, scenes in SCENES.items():
            writer.add(split, *scenes)
    return folder


def write_records(folder):
    with DeepMindWriter(folder, records_per_file=20) as writer:
        for split, scenes in SCENES.items():
            writer.add(split, *scenes)
    return folder


def ranges(cameras):
    names = ("x", "y", "z", "yaw", "pitch")
    return {name: [cameras[..., i].min(), cameras[..., i].max()] for i, name in enumerate(names)}


def test_either_format_is_recognized(tmp_path):
    store, records = write_store(tmp_path / "s"), write_records(tmp_path / "jaco")
    assert isinstance(open_scenes(store, "test"), SceneStore)
    assert isinstance(open_scenes(records, "test"), DeepMindScenes)
    assert {split: source.num_scenes for split, source in open_splits(store).items()} == {"train": 43, "test": 5}
    opened = open_splits(records)
    assert {split: source.num_scenes for split, source in opened.items()} == {"train": 41, "validation": 2, "test": 5}
    assert {source.revision for source in opened.values()} == {open_scenes(records, "train").revision}


def test_other_folders_are_refused_with_the_expected_files(tmp_path):
    with pytest.raises(DataError, match=r"neither meta\.json .* nor any of train/\*\.tfrecord"):
        open_scenes(tmp_path, "train")
    with pytest.raises(DataError, match="there is no such folder"):
        inspect_scenes(tmp_path / "nowhere")


@pytest.mark.parametrize("verify", [False, True])
def test_a_store_is_described(tmp_path, verify):
    folder = write_store(tmp_path / "s")
    facts = inspect_scenes(folder, verify=verify)
    assert (facts["kind"], facts["name"], facts["image_size"], facts["num_views"]) == ("store", "toy", SIZE, VIEWS)
    assert facts["revision"] == SceneStore(folder, "train").revision
    assert facts["bytes"] == sum(path.stat().st_size for path in folder.rglob("*.npy"))
    assert (facts["verified"], facts["warnings"], facts["skipped"]) == (verify, [], [])
    assert list(facts["splits"]) == ["train", "test"]
    for split, (_, cameras) in SCENES.items():
        assert facts["splits"][split]["num_scenes"] == facts["splits"][split]["cameras_from_scenes"] == len(cameras)
        assert facts["splits"][split]["cameras"] == ranges(cameras)


def test_records_are_described_and_compared_with_the_publication(tmp_path):
    folder = write_records(tmp_path / "jaco")
    facts = inspect_scenes(folder)
    assert (facts["kind"], facts["name"], facts["image_size"], facts["num_views"]) == ("tfrecord", "jaco", SIZE, VIEWS)
    assert list(facts["splits"]) == ["train", "validation", "test"]
    assert facts["bytes"] == sum(path.stat().st_size for path in folder.rglob("*.tfrecord"))
    assert facts["splits"]["test"]["cameras"] == ranges(SCENES["test"][1])
    assert "train: 3 of 3600 files are present" in facts["warnings"]
    assert "test: 1 of 400 files are present" in facts["warnings"]
    assert "test: images have 6 pixels, published were 64" in facts["warnings"]
    assert "test: scenes have 2 views, published were 11" in facts["warnings"]
    (folder / "train" / "2-of-3.tfrecord").unlink()
    renamed = folder.rename(tmp_path / "mine")
    assert inspect_scenes(renamed)["warnings"] == ["train: 2 of 3 files are present"]


def test_verifying_finds_the_damage(tmp_path):
    store, records = write_store(tmp_path / "s"), write_records(tmp_path / "mine")
    for path in (store / "train" / "frames-00002.npy", records / "train" / "2-of-3.tfrecord"):
        data = bytearray(path.read_bytes())
        data[len(data) - 1] ^= 1
        path.write_bytes(data)
    assert inspect_scenes(store)["skipped"] == []
    with pytest.raises(DataError, match=r"frames-00002\.npy: SHA-256"):
        inspect_scenes(store, verify=True)
    met = inspect_scenes(records)
    facts = inspect_scenes(records, verify=True)
    assert met["skipped"] == facts["skipped"], "so few records are all in the sample"
    assert met["splits"]["validation"]["cameras_from_scenes"] == 1
    (skipped,) = facts["skipped"]
    assert (skipped["file"], skipped["record"]) == (str(records / "train" / "2-of-3.tfrecord"), 19)
    # Record 39 of train is the second of validation.
    assert {split: of["num_scenes"] for split, of in facts["splits"].items()} == {
        "train": 41,
        "validation": 1,
        "test": 5,
    }
