"""Conversion: scenes out equal scenes in, in number and order, whatever the format and the sizes."""

import contextlib
import errno
import json

import numpy as np
import pytest

from zoo.data.convert import DeepMindWriter, convert
from zoo.data.images import encode_jpeg, resize_images
from zoo.data.opening import open_splits
from zoo.data.store_writer import StoreWriter, _ArrayFile
from zoo.data.tfrecord import RecordWriter, index_records, read_record, serialise_example
from zoo.errors import DataError, DiskFullError

SIZE, VIEWS = 8, 3


def make_scenes(count, *, seed=0):
    """Flat images survive JPEG within a rounding error; cameras tell the scenes apart."""
    rng = np.random.default_rng(seed)
    gray = rng.integers(0, 256, (count, VIEWS, 1, 1, 1), dtype=np.uint8)
    cameras = rng.normal(size=(count, VIEWS, 5)).clip(-1.5, 1.5).astype(np.float32)
    return np.broadcast_to(gray, (count, VIEWS, SIZE, SIZE, 3)).copy(), cameras


SCENES = {"train": make_scenes(23), "validation": make_scenes(2, seed=1), "test": make_scenes(5, seed=2)}


def write_store(folder, scenes=SCENES):
    with StoreWriter(folder, name="toy", image_size=SIZE, num_views=VIEWS, provenance={}, scenes_per_shard=8) as writer:
        for split, arrays in scenes.items():
            writer.add(split, *arrays)
    return folder


def write_records(folder, scenes=SCENES):
    with DeepMindWriter(folder, records_per_file=10) as writer:
        for split, arrays in scenes.items():
            writer.add(split, *arrays)
    return folder


def contents(folder):
    found = {}
    for split, source in open_splits(folder).items():
        scenes = np.arange(source.num_scenes)
        found[split] = source.read(scenes, np.broadcast_to(np.arange(source.num_views), (len(scenes), VIEWS)))
    return found


def assert_equal_scenes(found, expected, *, pixels):
    assert list(found) == list(expected)
    for split, (frames, cameras) in expected.items():
        np.testing.assert_array_equal(found[split][1], cameras)
        assert found[split][0].shape == frames.shape
        assert np.abs(found[split][0].astype(int) - frames).max() <= pixels


def test_there_and_back_again(tmp_path):
    store = write_store(tmp_path / "store")
    report = convert(store, tmp_path / "records", to="tfrecord")
    assert report.num_scenes == {"train": 23, "validation": 2, "test": 5}
    assert (report.kind, report.image_size, report.num_views, report.skipped) == ("tfrecord", SIZE, VIEWS, ())
    assert_equal_scenes(contents(tmp_path / "records"), SCENES, pixels=2)
    report = convert(tmp_path / "records", tmp_path / "back", to="store")
    assert report.num_scenes == {"train": 23, "validation": 2, "test": 5}
    assert_equal_scenes(contents(tmp_path / "back"), contents(tmp_path / "records"), pixels=0)


def test_a_store_copied_to_a_store_is_equal(tmp_path):
    convert(write_store(tmp_path / "a"), tmp_path / "b", to="store")
    assert_equal_scenes(contents(tmp_path / "b"), SCENES, pixels=0)


@pytest.mark.parametrize("batch_bytes", [1, 2000, 1 << 26])
def test_the_size_of_the_batches_does_not_change_the_result(tmp_path, monkeypatch, batch_bytes):
    monkeypatch.setattr("zoo.data.convert._BATCH_BYTES", batch_bytes)
    seen = []
    records = write_records(tmp_path / "records")
    convert(records, tmp_path / "out", to="store", progress=lambda done, total: seen.append((done, total)))
    assert_equal_scenes(contents(tmp_path / "out"), contents(records), pixels=0)
    assert seen[-1] == (30, 30)


def test_a_published_set_gets_a_validation_split_and_a_proper_name(tmp_path):
    records = write_records(tmp_path / "My Set", {"train": make_scenes(41)})
    convert(records, tmp_path / "store", to="store")
    assert_equal_scenes(contents(tmp_path / "store"), contents(records), pixels=0)
    meta = json.loads((tmp_path / "store" / "meta.json").read_text())
    assert meta["name"] == "my-set"
    assert {split: facts["num_scenes"] for split, facts in meta["splits"].items()} == {"train": 39, "validation": 2}
    assert meta["provenance"]["converted_from"]["revision"] == open_splits(records)["train"].revision


@pytest.mark.parametrize(("size", "resampling"), [(4, "area"), (5, "lanczos"), (16, "lanczos"), (8, "none")])
def test_images_change_their_size(tmp_path, size, resampling):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, VIEWS, SIZE, SIZE, 3), dtype=np.uint8)
    store = write_store(tmp_path / "a", {"test": (frames, make_scenes(3)[1])})
    report = convert(store, tmp_path / "b", to="store", image_size=size)
    assert report.image_size == size
    np.testing.assert_array_equal(contents(tmp_path / "b")["test"][0], resize_images(frames, image_size=size))
    provenance = json.loads((tmp_path / "b" / "meta.json").read_text())["provenance"]
    assert provenance["image_size"] == {"source": SIZE, "resampling": resampling}


def test_the_first_scenes_of_every_split(tmp_path):
    report = convert(write_store(tmp_path / "a"), tmp_path / "b", to="store", max_scenes=4)
    assert report.num_scenes == {"train": 4, "validation": 2, "test": 4}
    expected = {split: (frames[:4], cameras[:4]) for split, (frames, cameras) in SCENES.items()}
    assert_equal_scenes(contents(tmp_path / "b"), expected, pixels=0)


def _rewrite(path, change):
    index = index_records(path)
    places = zip(index.offsets.tolist(), index.lengths.tolist(), strict=True)
    records = [read_record(path, record=i, offset=o, length=n) for i, (o, n) in enumerate(places)]
    path.unlink()
    with contextlib.closing(RecordWriter(path)) as writer:
        for data in change(records):
            writer.write(data)


def test_damaged_records_are_left_out_and_reported(tmp_path):
    records = write_records(tmp_path / "records")
    flat = encode_jpeg(np.zeros((SIZE, SIZE, 3), dtype=np.uint8), quality=90)
    cameras = np.zeros((VIEWS, 5), dtype=np.float32)
    first_frame_bad = serialise_example({"frames": [b"?", flat, flat], "cameras": cameras})
    last_frame_bad = serialise_example({"frames": [flat, flat, b"?"], "cameras": cameras})  # opening does not see it
    _rewrite(records / "train" / "2-of-3.tfrecord", lambda data: [first_frame_bad, *data[1:]])
    _rewrite(records / "test" / "1-of-1.tfrecord", lambda data: [*data[:2], last_frame_bad, *data[3:]])

    with pytest.raises(DataError, match=r"2-of-3\.tfrecord: record 0"):
        convert(records, tmp_path / "out", to="store")
    assert not (tmp_path / "out").exists()
    report = convert(records, tmp_path / "out", to="store", on_bad_record="skip")
    assert report.num_scenes == {"train": 22, "validation": 2, "test": 4}
    assert [(bad.file, bad.record) for bad in report.skipped] == [
        (str(records / "train" / "2-of-3.tfrecord"), 0),
        (str(records / "test" / "1-of-1.tfrecord"), 2),
    ]
    found = contents(tmp_path / "out")
    np.testing.assert_array_equal(found["train"][1], np.delete(SCENES["train"][1], 10, axis=0))
    np.testing.assert_array_equal(found["test"][1], np.delete(SCENES["test"][1], 2, axis=0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "tfrecords"}, "did you mean 'tfrecord'"),
        ({"to": "store", "image_size": 0}, "image_size: 0"),
        ({"to": "store", "max_scenes": 0}, "max_scenes: 0"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        convert(write_store(tmp_path / "a"), tmp_path / "b", **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("to", ["store", "tfrecord"])
def test_an_existing_target_is_refused(tmp_path, to):
    store = write_store(tmp_path / "a")
    with pytest.raises(DataError, match="exists already"):
        convert(store, store, to=to)
    assert_equal_scenes(contents(store), SCENES, pixels=0)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("to", "owner", "step"), [("store", _ArrayFile, "append"), ("tfrecord", RecordWriter, "write")]
)
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, to, owner, step):
    store = write_store(tmp_path / "a")

    def fail(self, *args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(DiskFullError, match="No space left"):
        convert(store, tmp_path / "b", to=to)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
