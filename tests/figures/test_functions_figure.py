"""Drawings of functions and of images made of points."""

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.functions import UNKNOWN, Band, Panel, curve_panels, images_of_points, point_sheet


def grid(size):
    along = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    down, right = np.meshgrid(along, along, indexing="ij")
    return np.stack([right, down], -1).reshape(1, -1, 2)


def test_points_become_the_image_that_they_were_taken_from():
    values = np.random.default_rng(0).random((1, 25, 3)).astype(np.float32)
    frames = images_of_points(grid(5), values)
    np.testing.assert_array_equal(frames[0], np.rint(values.reshape(5, 5, 3) * 255).astype(np.uint8))
    order = np.random.default_rng(1).permutation(25)
    np.testing.assert_array_equal(images_of_points(grid(5)[:, order], values[:, order]), frames)


def test_unknown_pixels_have_a_colour_of_their_own_and_grey_values_three_equal_channels():
    kept = np.r_[0:10, 12:25]
    frames = images_of_points(grid(5)[:, kept], np.full((1, 23, 1), 0.5))
    unknown = (frames[0] == UNKNOWN).all(-1)
    assert unknown.sum() == 2 and unknown[2, 0] and unknown[2, 1]
    assert (frames[0][~unknown] == 128).all()
    assert len(set(UNKNOWN)) == 3


def test_sheets_of_curves_and_of_images(tmp_path):
    inputs = np.random.default_rng(0).uniform(-2, 2, (5, 9, 1))
    curves = point_sheet(tmp_path / "curves.png", inputs=inputs, values=np.sin(inputs), title="f", labels=list("abcde"))
    images = point_sheet(tmp_path / "images.png", inputs=grid(4), values=np.zeros((1, 16, 1)), title="f", labels=["a"])
    with Image.open(curves) as sheet:
        assert sheet.width > sheet.height > 100
    with Image.open(images) as sheet:
        assert sheet.width > 50


def test_what_cannot_be_drawn_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="inputs of 3 and values of 1 numbers cannot be drawn"):
        point_sheet(tmp_path / "x.png", inputs=np.zeros((1, 4, 3)), values=np.zeros((1, 4, 1)), title="", labels=["a"])
    with pytest.raises(ResultError, match="expected a name that ends with one of"):
        point_sheet(
            tmp_path / "x.nothing", inputs=np.zeros((1, 4, 1)), values=np.zeros((1, 4, 1)), title="", labels="a"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_panels_with_bands_and_samples_are_the_same_bytes_again(tmp_path, suffix):
    along = np.linspace(-1, 1, 20)
    bands = [
        Band("exact $5", "#000000", along, 0.1 + 0 * along, np.empty((0, 20))),
        Band("model", "#D55E00", along**2, 0.2 + 0 * along, np.tile(along, (3, 1))),
    ]
    panels = [Panel(f"{n} points", along, bands, along[:n], along[:n]) for n in (0, 1, 3, 5, 7)]
    one, two = (
        curve_panels(tmp_path / f"{name}.{suffix}", panels=panels, title="t $1").read_bytes() for name in ("a", "b")
    )
    assert one == two and len(one) > 5000
