"""SeedGroup charts as SVG whose colours are the page's own, so that they follow light, dark and print.

Nothing but numbers and escaped texts enters an SVG, no style attribute, no script and no address.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import Locator, LogLocator, MaxNLocator

from zoo.comparison.formatting import sanitize

COLOURS = 7  # that templates/style.css defines; every further round of lines is dashed in another way
DASHES = 4

_WIDTH, _HEIGHT = 440, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 46
_MOST_POINTS = 300  # a pixel or two each; more would only make the page heavy
WIDE_RANGE = 30.0  # largest over smallest value from which the axis is logarithmic


class Axis(NamedTuple):
    """A horizontal axis: its words, and the unit in which its numbers are given for people."""

    words: str
    units: tuple[tuple[float, str], ...]  # smallest first

    @classmethod
    def whole(cls, words: str) -> Self:
        """Of whole numbers."""
        return cls(words, ((1.0, ""), (1e3, "thousands"), (1e6, "millions")))

    @classmethod
    def time(cls, words: str) -> Self:
        """Of seconds."""
        return cls(words, ((1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours")))

    @classmethod
    def work(cls, words: str) -> Self:
        """Of floating-point operations."""
        names = ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP")
        return cls(words, tuple((1e3**power, name) for power, name in enumerate(names)))

    @classmethod
    def plain(cls, words: str) -> Self:
        """Of numbers whose unit is told by the words."""
        return cls(words, ((1.0, ""),))

    def scale(self, largest: float) -> tuple[float, str]:
        """Returns the unit for numbers up to ``largest``, and the words with that unit."""
        fitting = [unit for unit in self.units if largest >= 3 * unit[0]] or [self.units[0]]
        factor, name = fitting[-1]
        return factor, f"{self.words} ({name})" if name else self.words


@dataclass(frozen=True)
class Series:
    """One line with its band; all arrays are [points]."""

    style: int
    label: str
    places: np.ndarray
    means: np.ndarray
    lows: np.ndarray
    highs: np.ndarray

    def thinned(self) -> Series:
        """Returns at most 300 of the points, evenly taken, both ends among them."""
        keep = np.unique(np.linspace(0, len(self.places) - 1, min(len(self.places), _MOST_POINTS)).round().astype(int))
        parts = (self.places, self.means, self.lows, self.highs)
        return Series(self.style, self.label, *(part[keep] for part in parts))


@dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Attributes:
        title: what is drawn against what, for those who cannot see it.
        svg: the image.
    """

    title: str
    svg: Markup

    @classmethod
    def of(cls, series: Sequence[Series], *, horizontal: Axis, vertical: str) -> Self:
        """Draws lines with bands; the vertical axis is logarithmic where all values are positive and far apart."""
        series = [line.thinned() for line in series]
        factor, words = horizontal.scale(max(float(line.places.max()) for line in series))
        across = Scale.of([line.places / factor for line in series], logarithmic=False, length=_WIDTH - _LEFT - _RIGHT)
        means = [line.means for line in series]
        smallest, largest = min(part.min() for part in means), max(part.max() for part in means)
        logarithmic = bool(smallest > 0 and largest > WIDE_RANGE * smallest)
        # A band may reach below zero, where a logarithm has no place: the means decide how far the axis goes.
        shown = means if logarithmic else [*(line.lows for line in series), *(line.highs for line in series)]
        upright = Scale.of(shown, logarithmic=logarithmic, length=_HEIGHT - _TOP - _BOTTOM)
        title = f"{vertical} against {words}"
        parts = [frame(across, upright, horizontal=words, vertical=vertical)]
        parts += [_band(line, across, upright, factor=factor) for line in series]
        parts += [_line(line, across, upright, factor=factor) for line in series]
        return cls(title=title, svg=drawing(parts, title=title))


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels of one direction, counted from the origin of the axes."""

    low: float
    high: float
    logarithmic: bool
    length: float
    ticks: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[np.ndarray], *, logarithmic: bool, length: float) -> Self:
        """Covers all values, with a little air where there is no natural end."""
        low = min(float(part.min()) for part in values)
        high = max(float(part.max()) for part in values)
        locator: Locator
        if logarithmic:
            low, high = low / 1.1, high * 1.1
            decades = math.log10(high / low)
            locator = LogLocator(base=10, subs=(1.0,) if decades > 3 else (1.0, 2.0, 5.0), numticks=12)
        else:
            air = 0.04 * (high - low) or max(abs(high), 1.0) * 0.05
            low = 0.0 if 0 <= low < 0.3 * high else low - air
            high += air
            locator = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10])
        ticks = tuple(float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high)
        return cls(low, high, logarithmic, length, ticks)

    def at(self, values: np.ndarray) -> np.ndarray:
        """Returns the pixels of values; what lies outside is put on the edge."""
        if self.logarithmic:
            inside = np.clip(values, self.low, self.high)
            part = np.log(inside / self.low) / math.log(self.high / self.low)
        else:
            part = (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)
        return part * self.length


def drawing(parts: Sequence[str], *, title: str) -> Markup:
    """Returns a whole SVG that screen readers call by its title."""
    name = escape(sanitize(title))
    return Markup(  # noqa: S704 -- numbers, our own words, and the escaped title
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )


def frame(across: Scale, upright: Scale, *, horizontal: str, vertical: str) -> str:
    """Returns grid, ticks and names of the axes."""
    bottom, middle = _HEIGHT - _BOTTOM, _LEFT + across.length / 2
    parts = []
    for tick, y in zip(upright.ticks, bottom - upright.at(np.array(upright.ticks)), strict=True):
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_LEFT + across.length:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 7}" y="{y + 4:.1f}">{tick:.6g}</text>')
    for tick, x in zip(across.ticks, _LEFT + across.at(np.array(across.ticks)), strict=True):
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v4"/>')
        parts.append(f'<text class="tick middle" x="{x:.1f}" y="{bottom + 17}">{tick:.6g}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{_LEFT + across.length:.1f}"/>')
    parts.append(f'<text class="name middle" x="{middle:.1f}" y="{_HEIGHT - 8}">{escape(horizontal)}</text>')
    height = _TOP + upright.length / 2
    parts.append(
        f'<text class="name middle" transform="translate(13 {height:.1f}) rotate(-90)">{escape(vertical)}</text>'
    )
    return "".join(parts)


def level(name: str, value: float, across: Scale, upright: Scale) -> str:
    """Returns a thin line at one value, with its name at the right end."""
    y = _HEIGHT - _BOTTOM - float(upright.at(np.array([value]))[0])
    right = _LEFT + across.length
    return (
        f'<path class="mark" d="M{_LEFT} {y:.1f}H{right:.1f}"/>'
        f'<text class="mark-name end" x="{right - 3:.1f}" y="{y - 4:.1f}">{escape(sanitize(name))}</text>'
    )


def style_of(number: int) -> str:
    """Returns the classes of a line's colour and dashes."""
    return f"s{number % COLOURS} d{number // COLOURS % DASHES}"


def pixels(xs: np.ndarray, ys: np.ndarray, across: Scale, upright: Scale) -> list[tuple[str, str]]:
    """Returns values as pixels of the drawing, from its upper left corner."""
    points = zip(_LEFT + across.at(xs), _HEIGHT - _BOTTOM - upright.at(ys), strict=True)
    return [(f"{x:.1f}", f"{y:.1f}") for x, y in points]


def path_of(points: Sequence[tuple[str, str]]) -> str:
    """Returns the description of straight lines from point to point."""
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def _band(line: Series, across: Scale, upright: Scale, *, factor: float) -> str:
    if np.array_equal(line.lows, line.highs):
        return ""
    lower = pixels(line.places / factor, line.lows, across, upright)
    upper = pixels(line.places / factor, line.highs, across, upright)
    return f'<path class="band {style_of(line.style)}" d="{path_of([*lower, *reversed(upper)])}Z"/>'


def _line(line: Series, across: Scale, upright: Scale, *, factor: float) -> str:
    points = pixels(line.places / factor, line.means, across, upright)
    label = escape(sanitize(line.label))
    if len(points) == 1:
        ((x, y),) = points
        return f'<circle class="dot {style_of(line.style)}" cx="{x}" cy="{y}" r="3.5"><title>{label}</title></circle>'
    return f'<path class="line {style_of(line.style)}" d="{path_of(points)}"><title>{label}</title></path>'
