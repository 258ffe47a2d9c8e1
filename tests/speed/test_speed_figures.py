"""Bars with their spreads and targets, and times by size with fitted exponents."""

import numpy as np
import pytest
from speed_records import number

from benchmarks.speed.figures import bar_panels, scaling_panels
from benchmarks.speed.scaling import fit
from zoo.errors import ResultError

BARS = [
    number("shared", "an action", "q", [1.8, 2.0, 2.3]),
    number("not $shared$", "an action", "q", [0.9, 1.0, 1.1]),
    number("shared", "another", "q", [3.0, 3.25, 3.5]),
]
TARGETS = {BARS[0].address: 2.5}


def scalings():
    seconds = np.array([[0.1, 0.1], [0.2, 0.2], [0.4, 0.4]])
    return [
        fit((1, 2, 4), seconds, axis=axis, action=action, subject=subject)
        for action in ("training", "prediction")
        for axis in ("queries", "steps")
        for subject in ("fast", "plain $")
    ]


def test_bars_have_their_number_and_target(tmp_path):
    panels = {"times as fast": BARS, "another label": BARS}
    text = bar_panels(tmp_path / "x.svg", panels=panels, targets=TARGETS, title="a_title $1").read_text()
    expected = (">2.00<", ">1.00<", ">3.25<", "an action", "another", "not $shared$", "target", "a_title $1")
    for words in (*expected, "times as fast", "another label"):
        assert words in text
    assert ">target<" not in bar_panels(tmp_path / "y.svg", panels={"x": BARS}, targets={}, title="").read_text()


def test_lines_are_labelled_with_their_exponent(tmp_path):
    text = scaling_panels(tmp_path / "x.svg", scalings=scalings(), title="a title").read_text()
    for words in ("fast: exponent 1.00", "plain $: exponent 1.00", "training", "prediction", "queries", "a title"):
        assert words in text


@pytest.mark.parametrize("draw", ["bars", "scalings"])
def test_the_same_numbers_give_the_same_bytes_and_other_formats_are_refused(tmp_path, draw):
    def drawn(name):
        if draw == "bars":
            return bar_panels(tmp_path / name, panels={"x": BARS}, targets=TARGETS, title="t")
        return scaling_panels(tmp_path / name, scalings=scalings(), title="t")

    assert drawn("a.png").read_bytes() == drawn("b.png").read_bytes()
    with pytest.raises(ResultError, match=r"x.gif: expected a name that ends with one of .pdf, .png, .svg"):
        drawn("x.gif")
