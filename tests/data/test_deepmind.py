"""DeepMind's sets: read as published, written so that no scene is lost, and damage is named or left out."""

import contextlib
import errno
import io
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from zoo.data.convert import DeepMindWriter
from zoo.data.deepmind import DeepMindScenes
from zoo.data.inspection import PUBLISHED
from zoo.data.tfrecord import RecordWriter, index_records, serialise_example
from zoo.errors import DataError, DiskFullError

SIZE, VIEWS = 8, 3


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def make_scenes(count, *, seed=0, views=VIEWS, size=SIZE):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (count, views, size, size, 3), dtype=np.uint8)
    return frames, rng.normal(size=(count, views, 5)).clip(-1.5, 1.5).astype(np.float32)


def record(frames, cameras):
    return serialise_example({"frames": [png(image) for image in frames], "cameras": cameras})


def write_records(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with contextlib.closing(RecordWriter(path)) as writer:
        for data in records:
            writer.write(data)


def write_set(folder, split, frames, cameras, *, per_file=4):
    """Writes PNG records, which come back exactly."""
    total = -(-len(frames) // per_file)
    for number in range(total):
        rows = range(number * per_file, min((number + 1) * per_file, len(frames)))
        path = folder / split / f"{number + 1}-of-{total}.tfrecord"
        write_records(path, [record(frames[row], cameras[row]) for row in rows])
    return folder


def all_of(source):
    scenes = np.arange(source.num_scenes)
    return source.read(scenes, np.broadcast_to(np.arange(source.num_views), (len(scenes), source.num_views)))


@pytest.fixture
def folder(tmp_path):
    return write_set(tmp_path / "toy", "test", *make_scenes(10))


def test_every_scene_is_read_in_order(folder):
    frames, cameras = make_scenes(10)
    source = DeepMindScenes(folder, "test")
    assert (source.name, source.split) == ("toy", "test")
    assert (source.num_scenes, source.num_views, source.image_size) == (10, VIEWS, SIZE)
    found_frames, found_cameras = all_of(source)
    np.testing.assert_array_equal(found_frames, frames)
    np.testing.assert_array_equal(found_cameras, cameras)
    np.testing.assert_array_equal(source.read_cameras(np.array([9, 0])), cameras[[9, 0]])
    assert source.skipped == ()


def test_only_the_views_asked_for_are_decoded(folder, monkeypatch):
    frames, cameras = make_scenes(10)
    source = pickle.loads(pickle.dumps(DeepMindScenes(folder, "test")))
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **settings: opened.append(1) or original(*args, **settings))
    scenes, views = np.array([9, 3, 9]), np.array([[2, 0], [1, 1], [0, 2]])
    found_frames, found_cameras = source.read(scenes, views)
    np.testing.assert_array_equal(found_frames, frames[scenes[:, None], views])
    np.testing.assert_array_equal(found_cameras, cameras[scenes[:, None], views])
    assert len(opened) == 6


@pytest.mark.parametrize(("scenes", "views"), [([10], [[0]]), ([-1], [[0]]), ([0], [[VIEWS]]), ([0], [[-1]])])
def test_an_index_out_of_range_is_refused(folder, scenes, views):
    with pytest.raises(DataError, match=" is out of range, expected 0 to "):
        DeepMindScenes(folder, "test").read(np.array(scenes), np.array(views))


@pytest.mark.parametrize("count", [20, 47, 60])
def test_validation_is_every_twentieth_record_of_train(tmp_path, count):
    _, cameras = make_scenes(count, views=1, size=2)
    folder = write_set(tmp_path / "toy", "train", *make_scenes(count, views=1, size=2), per_file=7)
    train = DeepMindScenes(folder, "train").read_cameras(np.arange(count - count // 20))
    validation = DeepMindScenes(folder, "validation").read_cameras(np.arange(count // 20))
    held_out = np.arange(count) % 20 == 19
    np.testing.assert_array_equal(train, cameras[~held_out])
    np.testing.assert_array_equal(validation, cameras[held_out])


def test_a_validation_folder_is_used_as_it_is(tmp_path):
    folder = write_set(tmp_path / "toy", "train", *make_scenes(25))
    write_set(folder, "validation", *make_scenes(3, seed=1))
    assert DeepMindScenes(folder, "train").num_scenes == 25
    np.testing.assert_array_equal(all_of(DeepMindScenes(folder, "validation"))[0], make_scenes(3, seed=1)[0])


def test_missing_splits_and_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="no split 'train'; there are test"):
        DeepMindScenes(folder, "train")
    with pytest.raises(DataError, match=r"has no train/\*\.tfrecord"):
        DeepMindScenes(tmp_path / "nowhere", "train")
    few = write_set(tmp_path / "few", "train", *make_scenes(19))
    with pytest.raises(DataError, match="no split 'validation'; there are train"):
        DeepMindScenes(few, "validation")


def test_the_revision_follows_contents_and_names_of_every_split(tmp_path):
    frames, cameras = make_scenes(6)
    changed = frames.copy()
    changed[5, 0, 0, 0, 0] ^= 1
    a = write_set(tmp_path / "a" / "toy", "test", frames, cameras)
    same = write_set(tmp_path / "b" / "other", "test", frames, cameras)
    pixel = write_set(tmp_path / "c" / "toy", "test", changed, cameras)
    more = write_set(write_set(tmp_path / "d" / "toy", "test", frames, cameras), "train", frames, cameras)
    revisions = [DeepMindScenes(folder, "test").revision for folder in (a, same, pixel, more)]
    assert revisions[0] == revisions[1]
    assert len(set(revisions)) == 3


UNUSUAL = ("has 2 frames, the other scenes have 3", "is 10 x 10 pixels, expected 8 x 8")


def damaged_records():
    frames, cameras = make_scenes(1, seed=7)
    frames, cameras = frames[0], cameras[0]
    bad = cameras.copy()
    bad[1, 2] = np.inf
    huge = cameras.copy()
    huge[2, 3] = 1e30
    images = [png(image) for image in frames]
    other_size, _ = make_scenes(1, size=SIZE + 2)
    return {
        "has no frames": serialise_example({"frames": [], "cameras": cameras[:0]}),
        "15 camera numbers for 2 frames": record(frames[:2], cameras),
        "14 camera numbers for 3 frames": serialise_example({"frames": images, "cameras": cameras.ravel()[:14]}),
        r"the z of camera \[1\] is inf": record(frames, bad),
        r"the yaw of camera \[2\] is 1e\+30": record(frames, huge),
        "frame 0: cannot be decoded": serialise_example({"frames": [b"?", *images[1:]], "cameras": cameras}),
        "frame 0: the image is 8 x 6": record(frames[:, :6], cameras),
        "no feature 'cameras'": serialise_example({"frames": images}),
        "feature 'frames' holds float_list": serialise_example({"frames": cameras, "cameras": cameras}),
        "is not a tf.train.Example": b"\xff\xff\xff",
        UNUSUAL[0]: record(frames[:2], cameras[:2]),
        UNUSUAL[1]: record(other_size[0], cameras),
    }


@pytest.mark.parametrize("place", [0, 3, 5])
@pytest.mark.parametrize("message", list(damaged_records()))
def test_a_damaged_record_is_named_when_read_or_left_out_when_opened(tmp_path, message, place):
    frames, cameras = make_scenes(6)
    records = [record(*scene) for scene in zip(frames, cameras, strict=True)]
    records[place] = damaged_records()[message]
    folder = tmp_path / "toy"
    write_records(folder / "test" / "1-of-2.tfrecord", records[:4])
    write_records(folder / "test" / "2-of-2.tfrecord", records[4:])
    file, number = (1, place) if place < 4 else (2, place - 4)
    if place == 0 and message in UNUSUAL:
        # Nothing is wrong with the scene itself; under "raise" the first one says what the others must be like.
        expected = r"1-of-2\.tfrecord: record 1 at byte "
    else:
        expected = rf"{file}-of-2\.tfrecord: record {number} at byte .*({message})"
    with pytest.raises(DataError, match=expected):
        all_of(DeepMindScenes(folder, "test"))

    source = DeepMindScenes(folder, "test", on_bad_record="skip")
    good = np.arange(6) != place
    np.testing.assert_array_equal(all_of(source)[0], frames[good])
    np.testing.assert_array_equal(all_of(source)[1], cameras[good])
    (skipped,) = source.skipped
    assert skipped.file == str(folder / "test" / f"{file}-of-2.tfrecord")
    assert skipped.record == number


@pytest.mark.faults
def test_a_record_with_a_flipped_bit_is_left_out_and_indices_do_not_shift(folder):
    frames, _ = make_scenes(10)
    path = folder / "test" / "2-of-3.tfrecord"
    index = index_records(path)
    data = bytearray(path.read_bytes())
    data[int(index.offsets[1]) + 100] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"2-of-3\.tfrecord: record 1 at byte \d+: data checksum"):
        all_of(DeepMindScenes(folder, "test"))
    source = DeepMindScenes(folder, "test", on_bad_record="skip")
    np.testing.assert_array_equal(all_of(source)[0], np.delete(frames, 5, axis=0))
    assert source.place_of(5) == (str(path), 2)


@pytest.mark.faults
def test_a_truncated_and_an_empty_file_are_named_or_left_out(folder):
    frames, _ = make_scenes(10)
    first, second = folder / "test" / "1-of-3.tfrecord", folder / "test" / "2-of-3.tfrecord"
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"1-of-3\.tfrecord: record 3 at byte \d+: the file is truncated"):
        DeepMindScenes(folder, "test")
    second.write_bytes(b"")
    source = DeepMindScenes(folder, "test", on_bad_record="skip")
    np.testing.assert_array_equal(all_of(source)[0], frames[[0, 1, 2, 8, 9]])
    assert [(bad.file, bad.record) for bad in source.skipped] == [(str(first), 3), (str(second), 0)]
    first.write_bytes(b"")
    with pytest.raises(DataError, match=r"1-of-3\.tfrecord: has no records"):
        DeepMindScenes(folder, "test")


def test_a_split_without_one_good_record_is_refused(tmp_path):
    write_records(tmp_path / "toy" / "test" / "1-of-1.tfrecord", [b"\xff"] * 3)
    with pytest.raises(DataError, match=r"no readable record; first: .*record 0 at byte 0: is not a tf"):
        DeepMindScenes(tmp_path / "toy", "test", on_bad_record="skip")


def test_skipping_does_not_move_scenes_between_train_and_validation(tmp_path):
    frames, cameras = make_scenes(45)
    records = [record(*scene) for scene in zip(frames, cameras, strict=True)]
    records[3] = records[39] = b"\xff"
    write_records(tmp_path / "toy" / "train" / "1-of-1.tfrecord", records)
    train = DeepMindScenes(tmp_path / "toy", "train", on_bad_record="skip")
    validation = DeepMindScenes(tmp_path / "toy", "validation", on_bad_record="skip")
    np.testing.assert_array_equal(all_of(train)[1], np.delete(cameras, [3, 19, 39], axis=0))
    np.testing.assert_array_equal(all_of(validation)[1], cameras[[19]])
    assert [bad.record for bad in (*train.skipped, *validation.skipped)] == [3, 39]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_raises_anything_but_a_data_error(tmp_path, data):
    frames, cameras = make_scenes(3, views=2, size=4)
    path = tmp_path / "toy" / "test" / "1-of-1.tfrecord"
    write_records(path, [record(*scene) for scene in zip(frames, cameras, strict=True)])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(0, len(content) - 1)))
        length = data.draw(st.integers(0, 30))
        content[place : place + length] = data.draw(st.binary(max_size=30))
    path.write_bytes(content)
    for mode in ("raise", "skip"):
        try:
            found, _ = all_of(DeepMindScenes(tmp_path / "toy", "test", on_bad_record=mode))
        except DataError as error:
            assert "toy" in str(error)
        else:
            assert all((scene == frames).all(axis=(1, 2, 3, 4)).any() for scene in found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_message_with_a_good_checksum_raises_anything_but_a_data_error(tmp_path, data):
    frames, cameras = make_scenes(1, views=2, size=4)
    content = bytearray(record(frames[0], cameras[0]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    write_records(tmp_path / "toy" / "test" / "1-of-1.tfrecord", [bytes(content)])
    try:
        found, places = all_of(DeepMindScenes(tmp_path / "toy", "test"))
    except DataError as error:
        assert "record 0 at byte 0" in str(error)
    else:
        assert np.isfinite(places).all() and found.shape[:2] == places.shape[:2]


@pytest.mark.parametrize("count", [1, 4, 5, 8, 9])
def test_the_writer_loses_no_scene_and_names_files_as_published(tmp_path, count):
    smooth = np.linspace(0, 255, count).astype(np.uint8)[:, None, None, None, None]
    frames = np.broadcast_to(smooth, (count, VIEWS, SIZE, SIZE, 3))
    _, cameras = make_scenes(count)
    with DeepMindWriter(tmp_path / "toy", records_per_file=4) as writer:
        writer.add("train", frames[0], cameras[0])
        writer.add("train", frames[1:], cameras[1:])
        writer.add("test", frames, cameras)
    total = -(-count // 4)
    names = [path.name for path in sorted((tmp_path / "toy" / "test").iterdir())]
    assert names == [f"{number}-of-{total}.tfrecord" for number in range(1, total + 1)]
    for split in ("train", "test"):
        found_frames, found_cameras = all_of(DeepMindScenes(tmp_path / "toy", split))
        np.testing.assert_array_equal(found_cameras, cameras)
        assert np.abs(found_frames.astype(int) - frames).max() <= 2


def test_file_numbers_are_padded_to_one_width(tmp_path):
    frames, cameras = make_scenes(11, views=1)
    with DeepMindWriter(tmp_path / "toy", records_per_file=1) as writer:
        writer.add("test", frames, cameras)
    names = [path.name for path in sorted((tmp_path / "toy" / "test").iterdir())]
    assert (names[0], names[-1]) == ("01-of-11.tfrecord", "11-of-11.tfrecord")
    np.testing.assert_array_equal(all_of(DeepMindScenes(tmp_path / "toy", "test"))[1], cameras)


def test_the_writer_refuses_wrong_scenes_and_existing_folders_and_leaves_nothing(tmp_path):
    frames, cameras = make_scenes(2)
    for wrong in (frames[:, :, :6], frames[:, :2], frames / 1.0, frames[0, 0]):
        with pytest.raises(DataError, match="frames"), DeepMindWriter(tmp_path / "toy") as writer:
            writer.add("test", frames, cameras)
            writer.add("test", wrong, cameras)
    with pytest.raises(DataError, match="no scene was added"), DeepMindWriter(tmp_path / "toy") as writer:
        writer.add("test", frames[:0], cameras[:0])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "toy").mkdir()
    with pytest.raises(DataError, match="exists already"):
        DeepMindWriter(tmp_path / "toy")
    with pytest.raises(DataError, match="records_per_file"):
        DeepMindWriter(tmp_path / "new", records_per_file=0)


@pytest.mark.faults
@pytest.mark.parametrize("step", ["write", "close"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, step):
    def fail(writer, *data):
        writer._file.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, step, fail)
    with (
        pytest.raises(DiskFullError, match="toy: cannot be written: No space left"),
        DeepMindWriter(tmp_path / "toy", records_per_file=2) as writer,
    ):
        writer.add("test", *make_scenes(1))  # so that only the end of the block closes the file
    assert list(tmp_path.iterdir()) == []


def test_the_published_facts_cannot_be_changed():
    assert len(PUBLISHED) == 7
    assert PUBLISHED["mazes"] == (84, 300, 1080, 120)
    with pytest.raises(TypeError):
        PUBLISHED["mazes"] = PUBLISHED["jaco"]
