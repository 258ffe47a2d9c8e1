"""Names beside points that do not cover one another, nor the points: every name takes the nearest free place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

_GAP = 5.0  # points between a point and its name
_FARTHEST = 150.0  # points
_STEP = 7.0  # points
_DIRECTIONS = 16
_LEADER = 14.0  # points; a name that is farther away is joined to its point by a line
_AIR = 1.5  # pixels around a name


class Label(NamedTuple):
    """A name for the point at (x, y), in the data of its axes."""

    text: str
    x: float
    y: float


class Level(NamedTuple):
    """A line from side to side of its axes, with its name."""

    text: str
    y: float


class Drawn(NamedTuple):
    """The names of one panel, and what they must not cover, in the data of the axes."""

    axes: Axes
    labels: Sequence[Label]
    points: Sequence[tuple[float, float, float]]  # x, y and the half length of its bar
    radius: float  # of a point, in points
    lines: Sequence[tuple[float, float, float, float]]  # from x, y to x, y, upright or level
    levels: Sequence[Level]


def place_labels(figure: Figure, panels: Sequence[Drawn], *, fontsize: float) -> None:
    """Writes the names of all panels, which must be laid out but for them: limits and scales are not to change after it.

    Names are taken from left to right; each goes to the nearest place within its axes that covers no name, no point,
    no bar and no line, and, where there is none, to the place that covers least.
    """
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    renderer = canvas.get_renderer()
    scale = figure.dpi / 72.0
    for panel in panels:
        inside = panel.axes.get_window_extent(renderer)
        taken = [_box_of(panel.axes, point, radius=panel.radius * scale) for point in panel.points]
        left, right = panel.axes.get_xlim()
        for x0, y0, x1, y1 in [*panel.lines, *((left, level.y, right, level.y) for level in panel.levels)]:
            taken.append(Bbox(panel.axes.transData.transform([(x0, y0), (x1, y1)])).padded(1.0))
        for level in panel.levels:
            taken.append(_name_level(panel.axes, level, taken, renderer=renderer, fontsize=fontsize))
        for label in sorted(panel.labels, key=lambda label: (label.x, label.y, label.text)):
            name = panel.axes.annotate(label.text, (label.x, label.y), fontsize=fontsize, annotation_clip=False)
            name.set_parse_math(False)
            size = name.get_window_extent(renderer)
            name.remove()
            width, height = size.width, size.height
            x, y = panel.axes.transData.transform((label.x, label.y))
            best: tuple[float, float, float, Bbox] | None = None
            for left, bottom in _places(width, height, scale=scale):
                box = Bbox.from_bounds(x + left, y + bottom, width, height).padded(_AIR)
                cost = sum(_shared(box, other) for other in taken) + 3.0 * (
                    box.width * box.height - _shared(box, inside)
                )
                if best is None or cost < best[0] - 1e-6:
                    best = cost, left, bottom, box
                if cost <= 1e-6:
                    break
            assert best is not None
            _, left, bottom, box = best
            taken.append(box)
            distance = math.hypot(max(left, 0.0, -left - width), max(bottom, 0.0, -bottom - height))
            leader = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.5, "shrinkA": 0.5, "shrinkB": 3.0}
            panel.axes.annotate(
                label.text,
                (label.x, label.y),
                xytext=(left / scale, bottom / scale),
                textcoords="offset points",
                ha="left",
                va="bottom",
                fontsize=fontsize,
                arrowprops=leader if distance > _LEADER * scale else None,
                in_layout=False,
            ).set_parse_math(False)


def _name_level(axes: Axes, level: Level, taken: Sequence[Bbox], *, renderer: RendererAgg, fontsize: float) -> Bbox:
    """Writes the name of a line at one of its ends, above or below it, where it covers least; returns its box."""
    best: tuple[float, Text, Bbox] | None = None
    for side, place in (("right", 0.995), ("left", 0.005)):
        for upright, gap in (("bottom", 1.5), ("top", -1.5)):
            name = axes.annotate(
                level.text,
                (place, level.y),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0.0, gap),
                textcoords="offset points",
                ha=side,
                va=upright,
                fontsize=fontsize,
                style="italic",
                color="#666666",
                in_layout=False,
            )
            name.set_parse_math(False)
            box = name.get_window_extent(renderer)
            cost = sum(_shared(box, other) for other in taken)
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = cost, name, box
            else:
                name.remove()
    assert best is not None
    return best[2]


def _places(width: float, height: float, *, scale: float) -> Iterator[tuple[float, float]]:
    """Gives (left, bottom) of a name's box against its point, in pixels, the nearest first, right above first."""
    distance = _GAP * scale
    while distance <= _FARTHEST * scale:
        for turn in range(_DIRECTIONS):
            # From 45 degrees to both sides by turns: 45, 67.5, 22.5, ...
            step = (turn + 1) // 2 * (1 if turn % 2 else -1)
            angle = math.pi / 4 + 2 * math.pi * step / _DIRECTIONS
            across, up = math.cos(angle), math.sin(angle)
            yield distance * across - _behind(across) * width, distance * up - _behind(up) * height
        distance += _STEP * scale


def _behind(direction: float) -> float:
    """Returns which part of a box lies behind the corner, or the middle of the side, that faces its point."""
    return 0.5 if abs(direction) < 0.2 else float(direction < 0)


def _box_of(axes: Axes, point: tuple[float, float, float], *, radius: float) -> Bbox:
    x, y, half = point
    (left, low), (right, high) = axes.transData.transform([(x, y - half), (x, y + half)])
    return Bbox([[left - radius, min(low, high) - radius], [right + radius, max(low, high) + radius]])


def _shared(first: Bbox, second: Bbox) -> float:
    """Returns the area, in square pixels, that two boxes share."""
    width = min(first.xmax, second.xmax) - max(first.xmin, second.xmin)
    height = min(first.ymax, second.ymax) - max(first.ymin, second.ymin)
    return width * height if width > 0 and height > 0 else 0.0
