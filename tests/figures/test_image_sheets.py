"""Tables of images: every image in its place, texts beside them, and clear errors."""

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.sheets import ImageGroup, image_sheet


def plain(*colours, size=8):
    return np.stack([np.full((size, size, 3), colour, np.uint8) for colour in colours])


RED, GREEN, BLUE, ORANGE = (200, 0, 0), (0, 150, 0), (0, 0, 220), (250, 140, 10)


@pytest.mark.parametrize("labels", [None, ["one\n two", "a $x_1$ of " * 12]])
def test_images_are_where_they_belong(tmp_path, labels):
    path = image_sheet(
        tmp_path / "table.png",
        groups=[
            ImageGroup("left", plain(RED, GREEN)),
            ImageGroup("a long caption on the right", plain(BLUE, ORANGE)),
        ],
        title="Colours",
        row_labels=labels,
    )
    found = np.asarray(Image.open(path).convert("RGB")).astype(int)
    middles = {}
    for colour in (RED, GREEN, BLUE, ORANGE):
        rows, columns = np.nonzero((found == colour).all(-1))
        assert len(rows) == 96**2, colour
        middles[colour] = rows.mean(), columns.mean()
    assert middles[RED][0] < middles[GREEN][0] and middles[BLUE][0] < middles[ORANGE][0]
    assert middles[RED][1] < middles[BLUE][1] and middles[GREEN][1] < middles[ORANGE][1]


def test_the_same_table_is_the_same_bytes(tmp_path):
    written = [
        image_sheet(tmp_path / f"{name}.png", groups=[ImageGroup("a", plain(RED))], title="t").read_bytes()
        for name in ("one", "two")
    ]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("groups", "labels", "message"),
    [
        ([], None, "no images"),
        ([ImageGroup("none", plain(RED)[:0])], None, "no images"),
        (
            [ImageGroup("a", plain(RED)), ImageGroup("b", plain(RED, BLUE))],
            None,
            r"b: expected 1 rows of images \[8, 8, 3\], found \[2, 8, 8, 3\]",
        ),
        ([ImageGroup("a", plain(RED).astype(float))], None, "found float64"),
        ([ImageGroup("a", plain(RED)[..., 0])], None, "a: expected 1 rows"),
        ([ImageGroup("a", plain(RED))], ["x", "y"], "expected 1 labels of rows, found 2"),
    ],
)
def test_what_does_not_fit_is_an_error(tmp_path, groups, labels, message):
    with pytest.raises(ResultError, match=message):
        image_sheet(tmp_path / "table.png", groups=groups, title="t", row_labels=labels)
    assert list(tmp_path.iterdir()) == []
