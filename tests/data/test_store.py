"""The scene store: what goes in comes out, whole or not at all, and damage is named."""

import errno
import json
import multiprocessing
import pickle

import numpy as np
import pytest

from zoo.data.inspection import inspect_scenes, verify_store
from zoo.data.source import ExtraShape
from zoo.data.store import HEADER_SIZE, SceneStore, header_of
from zoo.data.store_writer import StoreWriter, _ArrayFile
from zoo.errors import DataError, DiskFullError

SIZE, VIEWS = 7, 3


def make_scenes(count, *, seed=0, views=VIEWS, size=SIZE):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (count, views, size, size, 3), dtype=np.uint8)
    return frames, rng.uniform(-1.5, 1.5, size=(count, views, 5)).astype(np.float32)


def write(folder, splits, *, name="toy", provenance=None, scenes_per_shard=4):
    with StoreWriter(
        folder,
        name=name,
        image_size=SIZE,
        num_views=VIEWS,
        provenance=provenance or {"seed": 0},
        scenes_per_shard=scenes_per_shard,
    ) as writer:
        for split, (frames, cameras) in splits.items():
            writer.add(split, frames, cameras)
    return folder


def all_of(source):
    scenes = np.arange(source.num_scenes)
    return source.read(scenes, np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views)))


@pytest.fixture
def store(tmp_path):
    return write(tmp_path / "store", {"train": make_scenes(10), "test": make_scenes(3, seed=1)})


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9])
def test_every_scene_comes_back_in_order(tmp_path, count):
    frames, cameras = make_scenes(count)
    folder = write(tmp_path / "s", {"train": (frames, cameras)})
    source = SceneStore(folder, "train")
    assert (source.num_scenes, source.num_views, source.image_size) == (count, VIEWS, SIZE)
    found_frames, found_cameras = all_of(source)
    np.testing.assert_array_equal(found_frames, frames)
    np.testing.assert_array_equal(found_cameras, cameras)
    assert len(list((folder / "train").glob("frames-*.npy"))) == -(-count // 4)
    # The files are what NumPy itself calls an NPY file.
    last = np.load(folder / "train" / f"frames-{(count - 1) // 4:05d}.npy", allow_pickle=False)
    np.testing.assert_array_equal(last, frames[(count - 1) // 4 * 4 :])


def test_scenes_may_be_added_one_by_one_or_in_batches_of_any_size(tmp_path):
    frames, cameras = make_scenes(11)
    whole = write(tmp_path / "whole", {"train": (frames, cameras)})
    with StoreWriter(
        tmp_path / "parts", name="toy", image_size=SIZE, num_views=VIEWS, provenance={}, scenes_per_shard=4
    ) as writer:
        writer.add("train", frames[0], cameras[0])
        writer.add("train", frames[:0], cameras[:0])
        writer.add("train", frames[1:10], cameras[1:10])
        writer.add("train", frames[10], cameras[10])
    assert SceneStore(whole, "train").revision == SceneStore(tmp_path / "parts", "train").revision


def test_read_gathers_the_views_asked_for_and_returns_copies(store):
    frames, cameras = make_scenes(10)
    scenes = np.array([9, 0, 9, 4])
    views = np.array([[2, 0], [1, 1], [0, 2], [2, 1]])
    source = SceneStore(store, "train")
    found_frames, found_cameras = source.read(scenes, views)
    np.testing.assert_array_equal(found_frames, frames[scenes[:, None], views])
    np.testing.assert_array_equal(found_cameras, cameras[scenes[:, None], views])
    found_frames[:] = 0
    found_cameras[:] = 0
    np.testing.assert_array_equal(source.read(scenes, views)[0], frames[scenes[:, None], views])
    np.testing.assert_array_equal(source.read_cameras(scenes), cameras[scenes])
    assert source.read(scenes, np.empty((4, 0), dtype=np.int64))[0].shape == (4, 0, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("scenes", "views", "message"),
    [([10], [[0]], "scene 10"), ([-1], [[0]], "scene -1"), ([0], [[3]], "view 3"), ([0], [[-1]], "view -1")],
)
def test_an_index_out_of_range_is_refused(store, scenes, views, message):
    with pytest.raises(DataError, match=message):
        SceneStore(store, "train").read(np.array(scenes), np.array(views))


def test_a_missing_split_names_those_present(store):
    with pytest.raises(DataError, match="no split 'validation'; there are test, train"):
        SceneStore(store, "validation")


def _read_in_worker(source, queue):
    queue.put(source.read(np.array([9]), np.array([[1]]))[0])


def test_a_used_store_is_pickled_to_another_process(store):
    source = SceneStore(store, "train")
    unused = len(pickle.dumps(source))
    expected = source.read(np.array([9]), np.array([[1]]))[0]
    assert len(pickle.dumps(source)) == unused, "the images must not travel"
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_read_in_worker, args=(source, queue))
    worker.start()
    found = queue.get(timeout=600)
    worker.join()
    np.testing.assert_array_equal(found, expected)


def test_the_revision_follows_the_contents_alone(tmp_path):
    frames, cameras = make_scenes(5)
    one_pixel, one_camera = frames.copy(), cameras.copy()
    one_pixel[4, 2, 6, 6, 2] ^= 1
    one_camera[4, 2, 4] += 1e-3
    folders = {
        "a": {"train": (frames, cameras)},
        "same": {"train": (frames, cameras)},
        "pixel": {"train": (one_pixel, cameras)},
        "camera": {"train": (frames, one_camera)},
        "split": {"test": (frames, cameras)},
    }
    for name, splits in folders.items():
        write(tmp_path / name, splits, name=name, provenance={"from": name})
    revision = {name: inspect_scenes(tmp_path / name)["revision"] for name in folders}
    assert revision["a"] == revision["same"]
    assert len(set(revision.values())) == 4
    assert all(len(digits) == 16 for digits in revision.values())


def test_a_report_counts(store):
    facts = inspect_scenes(store)
    assert {key: facts["splits"]["train"][key] for key in ("num_scenes", "num_files", "bytes")} == {
        "num_scenes": 10,
        "num_files": 4,
        "bytes": 4 * 128 + 10 * VIEWS * (SIZE * SIZE * 3 + 20),
    }
    assert facts["bytes"] == sum(path.stat().st_size for path in store.rglob("*.npy"))
    assert (facts["name"], facts["provenance"]) == ("toy", {"seed": 0})


def test_verify_passes_a_sound_store_and_names_a_damaged_file(store):
    assert verify_store(store) == 6
    path = store / "train" / "frames-00001.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"frames-00001\.npy: SHA-256"):
        verify_store(store)


@pytest.mark.parametrize("name", ["frames-00002.npy", "cameras.npy"])
def test_a_truncated_missing_or_foreign_file_is_named_on_opening(store, name):
    path = store / "train" / name
    sound = path.read_bytes()
    path.write_bytes(sound[:-1])
    with pytest.raises(DataError, match=f"{name}: has {len(sound) - 1} bytes, expected {len(sound)}"):
        SceneStore(store, "train")
    path.write_bytes(header_of(np.dtype("<f8"), (1,)) + sound[128:])
    with pytest.raises(DataError, match=f"{name}: its header"):
        SceneStore(store, "train")
    path.unlink()
    with pytest.raises(DataError, match=f"{name}: cannot be read"):
        SceneStore(store, "train")
    assert SceneStore(store, "test").num_scenes == 3


def _edit(path, change):
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta.update(extra=1), "extra"),
        (lambda meta: meta.pop("name"), "name"),
        (lambda meta: meta.update(image_size="7"), "image_size"),
        (lambda meta: meta.update(schema_version=2), "schema_version"),
        (lambda meta: meta.update(splits={}), "splits"),
        (lambda meta: meta.update(revision="0" * 16), "revision"),
        (lambda meta: meta["splits"].update(holdout=meta["splits"]["test"]), "splits"),
        (lambda meta: meta["splits"]["train"].update(num_scenes=2**40, scenes_per_shard=1), "files"),
        (lambda meta: meta["splits"]["train"].update(num_scenes=2**70), "num_scenes"),
        (
            lambda meta: meta.update(extras={"a": {"dtype": "float32", "shape": [1] * 40, "per_view": True}}),
            "extras.a.shape",
        ),
        (lambda meta: meta["splits"]["train"]["files"].update({"../../x": "0" * 64}), "files"),
        (lambda meta: meta["splits"]["train"]["files"].update({"train/cameras.npy": "0"}), "files"),
    ],
)
def test_a_wrong_meta_file_is_refused_by_field(store, change, message):
    _edit(store / "meta.json", change)
    with pytest.raises(DataError, match=rf"meta\.json: .*{message}"):
        SceneStore(store, "train")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_meta_file_that_is_not_json_is_refused(store, text):
    (store / "meta.json").write_bytes(text)
    with pytest.raises(DataError, match=r"meta\.json"):
        SceneStore(store, "train")


def test_a_folder_without_meta_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a scene store"):
        SceneStore(tmp_path, "train")


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(DataError, match="exists already"):
        StoreWriter(tmp_path / "s", name="toy", image_size=8, num_views=1, provenance={})
    assert list((tmp_path / "s").iterdir()) == []


def _with(cameras, value, field=0):
    changed = cameras.copy()
    changed[0, 0, field] = value
    return changed


def _wrong(frames, cameras):
    return {
        "frames: the type is float64, expected uint8": (frames / 1.0, cameras),
        "cameras: the type is complex128": (frames, cameras.astype(np.complex128)),
        "frames: is no array": ([frames[0], frames[0, :2]], cameras),
        r"frames: the shape is \(2, 3, 7, 6, 3\)": (frames[:, :, :, :6], cameras),
        r"cameras: the shape is \(1, 3, 5\)": (frames, cameras[:1]),
        r"frames: the shape is \(7, 3\)": (frames[0, 0, 0], cameras),
        r"cameras: the x of camera \[0, 0\] is nan, expected a finite number": (frames, _with(cameras, np.nan)),
        r"cameras: the pitch of camera \[0, 0\] is -inf": (frames, _with(cameras, -np.inf, 4)),
        r"cameras: the z of camera \[0, 0\] is 1e\+30, expected a finite number within": (
            frames,
            _with(cameras, 1e30, 2),
        ),
        "cameras: found a yaw of 90 and .*; expected radians, at most 6.2832 and 1.5708": (
            frames,
            _with(cameras, 90, 3),
        ),
        "cameras: found .* a pitch of 30; expected radians": (frames, _with(cameras, -30, 4)),
    }


@pytest.mark.parametrize("message", list(_wrong(*make_scenes(2))))
def test_wrong_scenes_are_refused_and_nothing_is_left(tmp_path, message):
    frames, cameras = _wrong(*make_scenes(2))[message]
    with pytest.raises(DataError, match=message):
        write(tmp_path / "s", {"train": make_scenes(5), "test": (frames, cameras)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"name": "No Good"}, "name"),
        ({"image_size": -1}, "image_size"),
        ({"num_views": 0}, "num_views"),
        ({"scenes_per_shard": 0}, "scenes_per_shard"),
        ({"provenance": {"x": float("nan")}}, "provenance"),
        ({"provenance": {"x": object()}}, "provenance"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, setting, message):
    settings = {"name": "toy", "image_size": 8, "num_views": 2, "provenance": {}, **setting}
    with pytest.raises(DataError, match=message):
        StoreWriter(tmp_path / "s", **settings)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_split_and_an_empty_store_are_refused(tmp_path):
    with pytest.raises(DataError, match="did you mean 'train'"):
        write(tmp_path / "s", {"trian": make_scenes(1)})
    with pytest.raises(DataError, match="no scene was added"):
        write(tmp_path / "s", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
@pytest.mark.parametrize("step", ["append", "complete"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, step):
    original = getattr(_ArrayFile, step)
    calls = []

    def fail_at_the_third(self, *args):
        calls.append(step)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, *args)

    monkeypatch.setattr(_ArrayFile, step, fail_at_the_third)
    with pytest.raises(DiskFullError, match="No space left"):
        write(tmp_path / "s", {"train": make_scenes(10)})
    assert list(tmp_path.iterdir()) == []


def test_lists_and_other_number_types_are_written_like_arrays(tmp_path):
    frames, cameras = make_scenes(3)
    expected = inspect_scenes(write(tmp_path / "array", {"train": (frames, cameras)}))["revision"]
    as_lists = (list(frames), cameras.astype(np.float64).tolist())
    for name, scenes in {"lists": as_lists, "float64": (frames, cameras.astype(np.float64))}.items():
        assert inspect_scenes(write(tmp_path / name, {"train": scenes}))["revision"] == expected
    with StoreWriter(
        tmp_path / "views", name="toy", image_size=SIZE, num_views=VIEWS, provenance={}, scenes_per_shard=4
    ) as writer:
        for images, places in zip(frames, cameras, strict=True):
            writer.add("train", list(images), list(places))
    assert inspect_scenes(tmp_path / "views")["revision"] == expected


def change(path, place, value):
    """Writes a number into an array of a store, behind the back of its checksums."""
    array = np.load(path)
    array[place] = value
    path.write_bytes(path.read_bytes()[:HEADER_SIZE] + array.tobytes())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_camera_that_is_not_finite_or_absurd_is_refused_on_opening(store, value):
    change(store / "train" / "cameras.npy", (7, 2, 3), value)
    for opened in (lambda: SceneStore(store, "train"), lambda: inspect_scenes(store)):
        with pytest.raises(DataError, match=r"train/cameras\.npy: the yaw of camera \[7, 2\] is .*expected a finite"):
            opened()
    SceneStore(store, "test")


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
def test_a_value_that_is_not_finite_or_absurd_is_refused_on_opening(tmp_path, value):
    extras = {"values": ExtraShape("float32", (1,), per_view=True)}
    with StoreWriter(tmp_path / "s", name="points", image_size=0, num_views=4, provenance={}, extras=extras) as writer:
        writer.add(
            "train",
            np.zeros((5, 4, 0, 0, 3), np.uint8),
            np.zeros((5, 4, 5)),
            {"values": np.ones((5, 4, 1), np.float32)},
        )
    SceneStore(tmp_path / "s", "train")
    change(tmp_path / "s" / "train" / "extra-values.npy", (3, 1, 0), value)
    with pytest.raises(DataError, match=r"extra-values\.npy: the value at \[3, 1, 0\] is .*expected a finite number"):
        SceneStore(tmp_path / "s", "train")


def test_contents_are_checked_in_blocks_and_once(store, monkeypatch):
    monkeypatch.setattr("zoo.data.store._BLOCK_BYTES", 200)
    blocks = []
    monkeypatch.setattr("zoo.data.store.check_numbers", lambda block, **_: blocks.append(len(block)))
    source = SceneStore(store, "train")
    assert blocks == [3, 3, 3, 1]
    _, cameras = all_of(source)
    np.testing.assert_array_equal(source.camera_range, [cameras.min((0, 1)), cameras.max((0, 1))])
    copy = pickle.loads(pickle.dumps(source))
    all_of(copy)
    assert len(blocks) == 4
