import itertools

import numpy as np
import pytest

from benchmarks.speed import loading
from benchmarks.speed.loading import (
    LoadingSpeed,
    loaders_of,
    measure_loading,
    time_interleaved,
    views_per_second,
    write_all_formats,
)
from benchmarks.speed.whole_scenes import EveryViewRead, FileAScene
from zoo.data.deepmind import DeepMindScenes
from zoo.data.images import encode_jpeg
from zoo.data.store import SceneStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    write_all_formats(folder, num_scenes=6, image_size=16)
    return folder


def sources(folder):
    records = DeepMindScenes(folder / "records", "train")
    return {
        "store": SceneStore(folder / "store", "train"),
        "records": records,
        "record loop": EveryViewRead(records),
        "files": FileAScene(folder / "files"),
    }


def test_all_formats_hold_the_same_scenes(folder):
    found = sources(folder)
    scenes, views = np.array([5, 0, 3]), np.array([[14, 2], [0, 7], [9, 1]])
    frames, cameras = found["store"].read(scenes, views)
    for name, source in found.items():
        assert (source.num_scenes, source.num_views, source.image_size) == (6, 15, 16), name
        some_frames, some_cameras = source.read(scenes, views)
        assert np.array_equal(some_cameras, cameras), name
        if name == "files":
            assert np.array_equal(some_frames, frames)
        else:
            assert abs(some_frames.astype(int) - frames).mean() < 4, f"{name}: JPEG changes little"
    assert np.array_equal(found["records"].read(scenes, views)[0], found["record loop"].read(scenes, views)[0])


def test_the_loop_of_public_code_decodes_every_view_and_ours_the_wanted_ones(folder, monkeypatch):
    from zoo.data import deepmind

    decoded = []
    real = deepmind.decode_image
    monkeypatch.setattr(deepmind, "decode_image", lambda data, **options: decoded.append(1) or real(data, **options))
    scenes, views = np.array([1, 4]), np.array([[3, 8], [0, 2]])
    found = sources(folder)
    decoded.clear()
    found["records"].read(scenes, views)
    assert len(decoded) == 4
    decoded.clear()
    found["record loop"].read(scenes, views)
    assert len(decoded) == 2 * 15


def test_images_are_as_large_as_jpeg_as_rendered_ones():
    from zoo.data.render.recipes import RECIPES

    rendered = RECIPES["rooms_ring_camera"].render(seed=0, scene_indices=range(2), split="train", image_size=64)
    clouds, cameras = loading.smooth_scenes(2, image_size=64)
    assert clouds.shape == (2, 15, 64, 64, 3) and clouds.dtype == np.uint8 and cameras.shape == (2, 15, 5)
    sizes = [
        np.mean([len(encode_jpeg(image, quality=95)) for image in images.reshape(-1, 64, 64, 3)])
        for images in (rendered.frames.numpy(), clouds)
    ]
    assert 0.5 < sizes[1] / sizes[0] < 1.5


class Clock:
    """A clock that moves by one second whenever it is read."""

    def __init__(self):
        self.ticks = itertools.count()

    def perf_counter(self):
        return float(next(self.ticks))


def test_views_are_counted_as_they_are_used(folder, monkeypatch):
    loader = loaders_of(folder, batch_size=4)[loading.RESIDENT]
    plan = loader.plan
    monkeypatch.setattr(loading, "time", Clock())
    speed = views_per_second(loader.pieces(start=0, stop=100), seconds=3.5)
    # Read at 0 (start), 1, 2, 3 (three batches), 4 (enough) and 5.
    assert speed == sum(plan(step).views.size for step in range(3)) / 5


def test_loaders_take_turns_and_every_turn_goes_on_where_it_was(folder, monkeypatch):
    asked = []

    class Loader:
        def __init__(self, name):
            self.name = name

        def pieces(self, *, start, stop):
            return (f"{self.name}{step}" for step in range(start, stop))

    def fake(batches, *, seconds, device):
        asked.append((next(batches), seconds))
        return float(len(asked))

    monkeypatch.setattr(loading, "views_per_second", fake)
    speeds = time_interleaved({"a": Loader("a"), "b": Loader("b")}, turns=2, seconds=1.0)
    assert [item for item, _ in asked] == ["a0", "a1", "b0", "b1", "a2", "a3", "b2", "b3", "a4", "a5", "b4", "b5"]
    assert [seconds for _, seconds in asked[:2]] == [0.25, 1.0], "run in first, timed then"
    assert speeds[0] == LoadingSpeed(
        "a", median=8.0, p10=pytest.approx(6.4), p90=pytest.approx(9.6), n=2, turns=(6.0, 10.0)
    )
    assert speeds[1].turns == (8.0, 12.0)


def test_every_way_is_measured_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    speeds = measure_loading(turns=1, seconds=0.01, num_scenes=4, image_size=16, batch_size=2, workers=1)
    assert [speed.name for speed in speeds] == [
        "resident",
        "store",
        "store with workers",
        "TFRecords, wanted views decoded",
        "TFRecords, all views decoded",
        "a file a scene, all views read",
    ]
    assert all(speed.n == 1 and speed.median > 0 for speed in speeds)
    assert not list(tmp_path.glob("tmp*"))
