"""Ways of loading: the same scenes, read as public code and as the zoo reads them, timed in turns."""

import itertools

import numpy as np
import pytest

from benchmarks.speed import loading
from benchmarks.speed.loading import RECORD_LOOP, RECORDS, SCENE_FILES, STORE, sources_of, write_all_formats
from benchmarks.speed.record import Findings
from zoo.data.images import encode_jpeg


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    write_all_formats(folder, num_scenes=6, image_size=16)
    return folder


def test_all_formats_hold_the_same_scenes(folder):
    found = sources_of(folder)
    scenes, views = np.array([5, 0, 3]), np.array([[14, 2], [0, 7], [9, 1]])
    frames, cameras = found[STORE].read(scenes, views)
    for name, source in found.items():
        assert (source.num_scenes, source.num_views, source.image_size) == (6, 15, 16), name
        some_frames, some_cameras = source.read(scenes, views)
        assert np.array_equal(some_cameras, cameras), name
        if name in (RECORDS, RECORD_LOOP):
            assert abs(some_frames.astype(int) - frames).mean() < 4, f"{name}: JPEG changes little"
        else:
            assert np.array_equal(some_frames, frames), name
    assert np.array_equal(found[RECORDS].read(scenes, views)[0], found[RECORD_LOOP].read(scenes, views)[0])
    assert found[SCENE_FILES].read_extras(scenes, views) == {}


def test_the_loop_of_public_code_decodes_every_view_and_ours_the_wanted_ones(folder, monkeypatch):
    from zoo.data import deepmind

    decoded = []
    real = deepmind.decode_image
    monkeypatch.setattr(deepmind, "decode_image", lambda data, **options: decoded.append(1) or real(data, **options))
    scenes, views = np.array([1, 4]), np.array([[3, 8], [0, 2]])
    found = sources_of(folder)
    decoded.clear()
    found[RECORDS].read(scenes, views)
    assert len(decoded) == 4
    decoded.clear()
    found[RECORD_LOOP].read(scenes, views)
    assert len(decoded) == 2 * 15


def test_images_compress_about_as_well_as_rendered_ones():
    from zoo.data.render.recipes import RECIPES

    rendered = RECIPES["rooms_ring_camera"].render(seed=0, scene_indices=range(2), split="train", image_size=64)
    clouds, cameras = loading.smooth_scenes(2, image_size=64)
    assert clouds.shape == (2, 15, 64, 64, 3) and clouds.dtype == np.uint8 and cameras.shape == (2, 15, 5)
    sizes = [
        np.mean([len(encode_jpeg(image, quality=95)) for image in images.reshape(-1, 64, 64, 3)])
        for images in (rendered.frames.numpy(), clouds)
    ]
    assert 0.5 < sizes[1] / sizes[0] < 1.5


def test_speeds_are_views_over_seconds_without_the_untimed_batches(folder, monkeypatch):
    """Batches of the resident way are counted by the plan; the clock moves by one second whenever it is read."""
    ticks = itertools.count()
    monkeypatch.setattr("zoo.evaluation.timing.time.perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(loading, "STEPS", {loading.RESIDENT: 4})
    loader = loading.loaders_of(folder, batch_size=4)[loading.RESIDENT]
    batches = {loading.RESIDENT: loader.pieces(start=0, stop=100)}
    (found,) = loading.views_per_second(batches, repeats=2).values()
    # Every turn draws one batch untimed and four timed; the first turn warms up.
    steps = [range(6, 10), range(11, 15)]
    assert found.tolist() == [sum(loader.plan(step).views.size for step in turn) for turn in steps]


def test_every_way_is_measured_against_records_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(loading, "STEPS", dict.fromkeys(loading.STEPS, 1))
    findings = Findings(loading.PART, log=print)
    loading.loading(findings, size="quick", repeats=2)
    speeds = {row.subject: row for row in findings.measured if row.quantity == loading.SPEED}
    assert list(speeds) == [
        "resident",
        "store",
        "store with workers",
        "TFRecords, wanted views decoded",
        "TFRecords, all views decoded",
        "a file a scene, all views read",
    ]
    assert all(row.n == 2 and row.median > 0 for row in speeds.values())
    ratios = {row.subject: row.median for row in findings.measured if row.quantity == loading.AGAINST_RECORDS}
    assert ratios[RECORD_LOOP] == 1.0 and set(ratios) == set(speeds)
    assert not list(tmp_path.glob("tmp*"))
