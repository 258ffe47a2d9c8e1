"""Probability maps: what is drawn where, and what is refused."""

import math

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.probability_maps import FloorMap, MapRow, probability_maps


def floor_map(title="2 context views", *, corner=(0, 0)):
    mass = np.zeros((6, 8))
    mass[corner] = 1.0
    camera = np.array([1.0, -1.0, 0.5, math.pi / 2, 0.0])
    return FloorMap(
        title=title,
        mass=mass,
        extent=(-4.0, 4.0, -3.0, 3.0),
        truth=camera,
        estimate=camera + 0.3,
        context=np.stack([camera - 1.0, camera + 1.0]),
    )


def row(*maps, label="scene 0"):
    return MapRow(label=label, image=np.full((16, 16, 3), 90, dtype=np.uint8), maps=maps)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_maps_are_the_same_bytes(tmp_path, suffix):
    rows = [row(floor_map(), floor_map("$5 each"))]
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
        path = probability_maps(tmp_path / f"{corner[0]}{corner[1]}.png", [row(floor_map(corner=corner))])
        with Image.open(path) as image:
            places[corner] = dark(image)
    assert places[0, 0][0] > places[5, 0][0] + 0.2 and abs(places[0, 0][1] - places[5, 0][1]) < 0.02
    assert places[0, 0][1] < places[0, 7][1] - 0.2 and abs(places[0, 0][0] - places[0, 7][0]) < 0.02


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_more_rows_and_maps_make_a_larger_image(tmp_path):
    small = size_of(probability_maps(tmp_path / "small.png", [row(floor_map())]))
    wide = size_of(probability_maps(tmp_path / "wide.png", [row(floor_map(), floor_map())]))
    tall = size_of(probability_maps(tmp_path / "tall.png", [row(floor_map()), row(floor_map())]))
    assert wide[0] > small[0] and wide[1] == small[1] and tall[1] > small[1] and tall[0] == small[0]


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("map.tiff", [row(floor_map())], "expected a name that ends with"),
        ("map.png", [], "no maps to draw"),
        ("map.png", [row()], "no maps to draw"),
        ("map.png", [row(floor_map()), row(floor_map(), floor_map())], "expected equally many"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, name, rows, message):
    with pytest.raises(ResultError, match=message):
        probability_maps(tmp_path / name, rows)
    assert not list(tmp_path.iterdir())
