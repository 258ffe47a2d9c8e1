"""Figures of predicted views."""

import sys

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ConfigError, ResultError
from zoo.figures.views import PANELS, Views, animation, check_panels, coloured, frames_of, strip, view_sheet

GENERATOR = np.random.default_rng(0)


def views(count=5, *, truth=True):
    images = GENERATOR.integers(0, 256, (5, count, 8, 8, 3), np.uint8)
    return Views(
        context=images[0, :2],
        truth=images[1] if truth else None,
        mean=images[2],
        samples=images[3:],
        spread=GENERATOR.random((count, 8, 8)),
    )


def width(path):
    with Image.open(path) as found:
        return found.width


def tiles(path, image):
    """How many pixels of a figure have a colour of an 8-pixel image of one colour."""
    with Image.open(path) as found:
        return int((np.asarray(found.convert("RGB")) == image).all(-1).sum())


def test_a_sheet_has_a_row_for_each_view_and_a_panel_for_each_kind(tmp_path):
    given = views(2)
    truth = np.zeros_like(given.truth)
    truth[:] = (1, 2, 3)
    path = view_sheet(
        tmp_path / "view.png", given._replace(truth=truth), panels=PANELS, labels=["first", "second"], title="t"
    )
    assert tiles(path, (1, 2, 3)) == 2 * 96**2


def test_a_panel_without_images_is_left_out(tmp_path):
    given = views(2, truth=False)._replace(context=np.zeros((0, 8, 8, 3), np.uint8))
    few = view_sheet(tmp_path / "few.png", given, panels=PANELS, labels=["a", "b"], title="t")
    many = view_sheet(tmp_path / "many.png", views(2), panels=PANELS, labels=["a", "b"], title="t")
    assert width(few) < width(many)


def test_a_gif_has_one_frame_for_each_view_and_the_asked_speed(tmp_path):
    path = animation(tmp_path / "o.gif", views(5), panels=["truth", "mean"], frames_per_second=20.0, title="t")
    with Image.open(path) as found:
        assert found.n_frames == 5 and found.info["duration"] == 50 and found.info["loop"] == 0


def test_a_video_has_one_frame_for_each_view(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra video is not installed")
    path = animation(tmp_path / "o.mp4", views(5), panels=["mean"], frames_per_second=10.0, title="t")
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 5


def test_a_video_without_its_extra_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError, match=r"needs the extra video: pip install 'gqn-zoo\[video\]'"):
        animation(tmp_path / "o.mp4", views(2), panels=["mean"], frames_per_second=10.0, title="t")
    assert not list(tmp_path.iterdir())


def test_a_strip_shows_at_most_twelve_views(tmp_path):
    few, many = (strip(tmp_path / f"{n}.png", views(n), panels=PANELS, title="t") for n in (12, 40))
    assert width(few) == width(many)


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ResultError, match=r"'\.avi' is not a format of animations"):
        animation(tmp_path / "o.avi", views(2), panels=["mean"], frames_per_second=10.0, title="t")


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
