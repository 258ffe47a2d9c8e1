"""Tables of images: every image in its place, words beside them, and clear refusals."""

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.image_table import Column, image_table


def plain(*colours, size=8):
    return np.stack([np.full((size, size, 3), colour, np.uint8) for colour in colours])


RED, GREEN, BLUE, ORANGE = (200, 0, 0), (0, 150, 0), (0, 0, 220), (250, 140, 10)


@pytest.mark.parametrize("texts", [None, ["one\n two", "a $x_1$ of " * 12]])
def test_images_are_where_they_belong(tmp_path, texts):
    path = image_table(
        tmp_path / "table.png",
        columns=[Column("left", plain(RED, GREEN)), Column("right_1", plain(BLUE, ORANGE))],
        title="Colours",
        row_texts=texts,
    )
    found = np.asarray(Image.open(path).convert("RGB")).astype(int)
    middles = {}
    for colour in (RED, GREEN, BLUE, ORANGE):
        rows, columns = np.nonzero((found == colour).all(-1))
        assert len(rows) > 500, colour
        middles[colour] = rows.mean(), columns.mean()
    assert middles[RED][0] < middles[GREEN][0] and middles[BLUE][0] < middles[ORANGE][0]
    assert middles[RED][1] < middles[BLUE][1] and middles[GREEN][1] < middles[ORANGE][1]


def test_pixels_are_not_smoothed(tmp_path):
    checks = np.indices((4, 4)).sum(0) % 2 * 255
    images = np.repeat(checks[None, :, :, None], 3, axis=-1).astype(np.uint8)
    path = image_table(tmp_path / "table.png", columns=[Column("checks", images)], title="t")
    found = np.asarray(Image.open(path).convert("L"))
    dark = found[:, found.shape[1] // 2 - 30 : found.shape[1] // 2 + 30]
    assert ((dark > 10) & (dark < 245)).mean() < 0.2


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_table_is_the_same_bytes(tmp_path, suffix):
    written = [
        image_table(tmp_path / f"{name}{suffix}", columns=[Column("a", plain(RED))], title="t").read_bytes()
        for name in ("one", "two")
    ]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("columns", "texts", "message"),
    [
        ([], None, "no images"),
        ([Column("none", plain(RED)[:0])], None, "no images"),
        ([Column("a", plain(RED)), Column("b", plain(RED, BLUE))], None, r"column 'b': expected uint8 \[1, H, W, 3\]"),
        ([Column("a", plain(RED).astype(float))], None, "found float64"),
        ([Column("a", plain(RED)[..., 0])], None, "column 'a'"),
        ([Column("a", plain(RED))], ["x", "y"], "expected 1 texts of rows, found 2"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, columns, texts, message):
    with pytest.raises(ResultError, match=message):
        image_table(tmp_path / "table.png", columns=columns, title="t", row_texts=texts)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ResultError, match=r"ends with one of \.pdf, \.png, \.svg"):
        image_table(tmp_path / "table.gif", columns=[Column("a", plain(RED))], title="t")
