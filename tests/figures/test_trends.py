"""Means with standard errors, drawn."""

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ResultError
from zoo.figures.trends import TrendPanel, trend_of, trend_panels


def panels(labels=("with z", "a $dollar$")):
    generator = np.random.default_rng(0)
    trends = [
        trend_of(label, (0, 1, 2), [generator.normal(5.0 - number, 1.0, 50) for number in range(3)]) for label in labels
    ]
    return [TrendPanel("surprise (nats)", trends), TrendPanel("excess (nats)", trends[:1])]


def test_means_and_standard_errors_are_those_of_the_scores():
    trend = trend_of("x", (0, 4), [np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 0.0, 2.0])])
    np.testing.assert_allclose(trend.means, [2.5, 0.5])
    np.testing.assert_allclose(trend.errors, [np.sqrt(5.0 / 3.0 / 4.0), 0.5])


def test_an_image_is_written_and_the_same_scores_give_the_same_bytes(tmp_path):
    first, second = (
        trend_panels(tmp_path / f"{name}.png", panels=panels(), along="context views", title="a_title $1")
        for name in ("first", "second")
    )
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        width, height = image.size
    assert width > 900 > height > 400


def test_every_panel_and_label_is_in_the_figure(tmp_path):
    path = trend_panels(tmp_path / "x.svg", panels=panels(), along="context views", title="a title")
    text = path.read_text(encoding="utf-8")
    for label in ("surprise (nats)", "excess (nats)", "with z", "a $dollar$", "a title"):
        assert label in text
    assert text.count(">context views<") == 2


def test_other_formats_are_errors(tmp_path):
    with pytest.raises(ResultError, match=r"x.gif: expected a name that ends with one of .pdf, .png, .svg"):
        trend_panels(tmp_path / "x.gif", panels=panels(), along="views", title="")
