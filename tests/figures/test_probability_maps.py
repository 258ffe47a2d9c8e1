"""Probability maps: what is drawn where, and errors."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.errors import ResultError
from zoo.evaluation.localisation import Located
from zoo.evaluation.pose_grid import PoseGrid
from zoo.figures.probability_maps import probability_maps

GRID = PoseGrid(
    *(
        torch.linspace(-1.0 + 1 / size, 1.0 - 1 / size, size).double() * reach
        for size, reach in ((8, 4), (6, 3), (4, 3))
    )
)


def located(*, corner=(0, 0)):
    mass = np.full((6, 8, 4), 1e-30)
    mass[corner] = 0.25
    camera = np.array([1.0, -1.0, 0.5, math.pi / 2, 0.0])
    return Located(
        scene=0,
        grid=GRID,
        log_mass=np.log(mass),
        truth=camera,
        estimate=camera + 0.3,
        guess=camera,
        log_density=0.0,
        prior_log_density=0.0,
        context=np.stack([camera - 1.0, camera + 1.0]),
        image=np.full((16, 16, 3), 90, dtype=np.uint8),
    )


def row(*labels, **options):
    return {label: located(**options) for label in labels}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_maps_are_the_same_bytes(tmp_path, suffix):
    rows = [row("2 views", "$5 each")]
    one, other = (probability_maps(tmp_path / f"{name}{suffix}", rows, title="a_b $") for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def dark(image):
    """The middle (row, column) of the dark square, as shares of the image."""
    grey = np.asarray(image.convert("RGB")).astype(int)
    found = (np.ptp(grey, axis=2) < 8) & (grey[..., 0] < 60)
    # A cell is large and text is thin: keep what has neighbours on all sides.
    for _ in range(4):
        found = (
            found
            & np.roll(found, 1, 0) & np.roll(found, -1, 0) & np.roll(found, 1, 1) & np.roll(found, -1, 1)
        )  # fmt: skip
    rows, columns = np.nonzero(found)
    assert len(rows) > 30
    return rows.mean() / grey.shape[0], columns.mean() / grey.shape[1]


def test_the_first_row_is_at_the_bottom_and_the_first_column_at_the_left(tmp_path):
    places = {}
    for corner in ((0, 0), (5, 0), (0, 7)):
        path = probability_maps(tmp_path / f"{corner[0]}{corner[1]}.png", [row("2 views", corner=corner)])
        with Image.open(path) as image:
            places[corner] = dark(image)
    assert places[0, 0][0] > places[5, 0][0] + 0.2 and abs(places[0, 0][1] - places[5, 0][1]) < 0.02
    assert places[0, 0][1] < places[0, 7][1] - 0.2 and abs(places[0, 0][0] - places[0, 7][0]) < 0.02


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_more_rows_and_maps_make_a_larger_image(tmp_path):
    small = size_of(probability_maps(tmp_path / "small.png", [row("a")]))
    wide = size_of(probability_maps(tmp_path / "wide.png", [row("a", "b")]))
    tall = size_of(probability_maps(tmp_path / "tall.png", [row("a"), row("a")]))
    assert wide[0] > small[0] and wide[1] == small[1] and tall[1] > small[1] and tall[0] == small[0]


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("map.tiff", [row("a")], "expected a name that ends with"),
        ("map.png", [], "no maps to draw"),
        ("map.png", [row()], "no maps to draw"),
        ("map.png", [row("a"), row("a", "b")], "expected equally many"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(tmp_path, name, rows, message):
    with pytest.raises(ResultError, match=message):
        probability_maps(tmp_path / name, rows)
    assert not list(tmp_path.iterdir())
