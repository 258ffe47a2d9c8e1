"""Bars with spreads and aims, and laws in logarithms, drawn."""

import pytest

from benchmarks.speed.figures import Bar, BarPanel, PowerLaw, PowerLawPanel, bar_panels, power_law_panels
from zoo.errors import ResultError


def bars():
    return BarPanel(
        "times as fast",
        [
            Bar("a place", "shared", 2.0, 1.8, 2.3, aim=2.5),
            Bar("a place", "not $shared$", 1.0, 0.9, 1.1),
            Bar("another", "shared", 3.25, 3.0, 3.5),
        ],
        line=1.0,
    )


def laws(label="fast"):
    return PowerLawPanel(
        "queries", [PowerLaw(label, (1, 2, 4), (0.1, 0.2, 0.4), (0.1, 0.1, 0.3), (0.2, 0.3, 0.5), 1.0)]
    )


def test_every_bar_its_number_and_the_aim_are_in_the_figure(tmp_path):
    text = bar_panels(tmp_path / "x.svg", panels=[bars(), bars()], title="a_title $1").read_text()
    for words in (">2.00<", ">1.00<", ">3.25<", "a place", "another", "not $shared$", "target", "a_title $1"):
        assert words in text
    without = bars()._replace(bars=bars().bars[1:])
    assert ">target<" not in bar_panels(tmp_path / "y.svg", panels=[without], title="").read_text()


def test_every_law_is_named_with_its_exponent(tmp_path):
    rows = [("training", [laws(), laws("plain $")]), ("prediction", [laws(), laws()])]
    text = power_law_panels(tmp_path / "x.svg", rows=rows, title="a title").read_text()
    for words in ("fast: exponent 1.00", "plain $: exponent 1.00", "training", "prediction", "queries", "a title"):
        assert words in text


@pytest.mark.parametrize("draw", ["bars", "laws"])
def test_the_same_numbers_give_the_same_bytes_and_other_formats_are_refused(tmp_path, draw):
    def drawn(name):
        if draw == "bars":
            return bar_panels(tmp_path / name, panels=[bars()], title="t")
        return power_law_panels(tmp_path / name, rows=[("training", [laws()])], title="t")

    assert drawn("a.png").read_bytes() == drawn("b.png").read_bytes()
    with pytest.raises(ResultError, match=r"x.gif: expected a name that ends with one of .pdf, .png, .svg"):
        drawn("x.gif")
