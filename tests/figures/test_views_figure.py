"""Figures of predicted views."""

import sys
import weakref

import numpy as np
import pytest
from PIL import Image

import zoo.figures.views
from zoo.errors import ConfigError, ResultError
from zoo.evaluation.views import ViewPrediction
from zoo.figures.sheets import paint_sheet
from zoo.figures.views import PANELS, animation, check_panels, coloured, frames_of, strip, view_sheet

GENERATOR = np.random.default_rng(0)


def predicted(count=5, *, context=2):
    """A prediction of random images, and their truth."""
    samples = GENERATOR.random((2, count, 8, 8, 3))
    images = GENERATOR.integers(0, 256, (context + count, 8, 8, 3), np.uint8)
    spread = GENERATOR.random((count, 8, 8))
    return ViewPrediction(np.zeros((count, 5)), samples, samples.mean(0), spread, images[:context]), images[context:]


def animated(path, count=5, *, panels=("mean",), rate=10.0):
    prediction, truth = predicted(count)
    return animation(path, prediction, truth=truth, panels=panels, frames_per_second=rate, title="t")


def width(path):
    with Image.open(path) as found:
        return found.width


def tiles(path, image):
    """How many pixels of a figure have a colour of an 8-pixel image of one colour."""
    with Image.open(path) as found:
        return int((np.asarray(found.convert("RGB")) == image).all(-1).sum())


def test_a_sheet_has_a_row_for_each_view_and_a_panel_for_each_kind(tmp_path):
    prediction, truth = predicted(2)
    truth[:] = (1, 2, 3)
    path = view_sheet(
        tmp_path / "view.png", prediction, truth=truth, panels=PANELS, labels=["first", "second"], title="t"
    )
    assert tiles(path, (1, 2, 3)) == 2 * 96**2


def test_a_panel_without_images_is_left_out(tmp_path):
    (less, _), (prediction, truth) = predicted(2, context=0), predicted(2)
    few = view_sheet(tmp_path / "few.png", less, truth=None, panels=PANELS, labels=["a", "b"], title="t")
    many = view_sheet(tmp_path / "many.png", prediction, truth=truth, panels=PANELS, labels=["a", "b"], title="t")
    assert width(few) < width(many)


def test_a_gif_has_one_frame_for_each_view_and_the_asked_speed(tmp_path):
    path = animated(tmp_path / "o.gif", panels=["truth", "mean"], rate=20.0)
    with Image.open(path) as found:
        assert found.n_frames == 5 and found.info["duration"] == 50 and found.info["loop"] == 0


def test_a_gif_that_browsers_would_slow_down_is_refused(tmp_path):
    with Image.open(animated(tmp_path / "o.gif", rate=50.0)) as found:
        assert found.info["duration"] == 20
    with pytest.raises(ConfigError, match="found 60 frames per second, expected at most 50 of a GIF"):
        animated(tmp_path / "fast.gif", rate=60.0)
    assert not (tmp_path / "fast.gif").exists()


def test_frames_are_painted_one_at_a_time(tmp_path, monkeypatch):
    painted, alive = [], []

    def paint(*arguments, **options):
        sheet = paint_sheet(*arguments, **options)
        painted.append(weakref.ref(sheet))
        alive.append(sum(each() is not None for each in painted))
        return sheet

    monkeypatch.setattr(zoo.figures.views, "paint_sheet", paint)
    animated(tmp_path / "o.gif", 40)
    assert len(alive) == 40 and max(alive) < 10


def test_a_video_has_one_frame_for_each_view(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra video is not installed")
    assert imageio_ffmpeg.count_frames_and_secs(str(animated(tmp_path / "o.mp4")))[0] == 5


def test_a_video_without_its_extra_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError, match=r"needs the extra video: pip install 'gqn-zoo\[video\]'"):
        animated(tmp_path / "o.mp4")
    assert not list(tmp_path.iterdir())


def test_a_strip_shows_at_most_twelve_views(tmp_path):
    few, many = (
        strip(tmp_path / f"{n}.png", prediction, truth=truth, panels=PANELS, title="t")
        for n, (prediction, truth) in ((n, predicted(n)) for n in (12, 40))
    )
    assert width(few) == width(many)


def test_a_strip_of_the_context_alone_is_refused_in_one_sentence(tmp_path):
    prediction, truth = predicted()
    with pytest.raises(ResultError, match="there are no images to draw; a strip has every panel but the context"):
        strip(tmp_path / "o.png", prediction, truth=truth, panels=["context"], title="t")


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ResultError, match=r"'\.avi' is not a format of animations"):
        animated(tmp_path / "o.avi")


def test_panels_are_checked_and_drawn_in_one_order():
    assert check_panels(["mean", "truth"], has_truth=True, option="--show") == ["truth", "mean"]
    with pytest.raises(ConfigError, match="--show: found 'men', expected some of context, truth"):
        check_panels(["men"], has_truth=True, option="--show")
    with pytest.raises(ConfigError, match="--show: truth: only scenes of built-in data sets"):
        check_panels(["truth"], has_truth=False, option="--show")


def test_colours_rise_from_black():
    found = coloured(np.linspace(0.0, 1.0, 5)[None]).astype(int).sum(-1)[0]
    assert found[0] < 10 and (np.diff(found) > 0).all()


def test_images_become_bytes():
    np.testing.assert_array_equal(frames_of(np.array([0.0, 0.5, 1.0])), [0, 128, 255])
