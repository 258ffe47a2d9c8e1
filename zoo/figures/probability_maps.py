"""Maps of where a camera may have been, seen from above, with the true and the estimated camera."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zoo.errors import ResultError
from zoo.evaluation.localisation import Located
from zoo.figures.style import BLUE, GREY, VERMILION, save_figure, styled

_ARROW = 0.085  # length of a camera's arrow, as a share of the map's width
_TRUTH, _ESTIMATE, _CONTEXT = VERMILION, BLUE, GREY
_WIDEST_RANGE = 1e4  # a cell whose probability is this many times below that of the best cell is white
_LETTERS_PER_INCH = 12  # of the title


@styled
def probability_maps(path: Path, rows: Sequence[Mapping[str, Located]], *, title: str | None = None) -> Path:
    """Draws one row per image: the image, then its maps, summed over yaw, from above with +y up.

    Grey is the square root of the probability, so that a second mode of a tenth of the first is visible. An arrow
    starts at a camera and points in its direction.

    Args:
        path: the image: .png, .pdf or .svg.
        rows: label of a map -> localisation of the row's image; all rows with equally many.
        title: above the rows.

    Raises:
        ResultError: if there is nothing to draw, the rows are unequal, or the suffix is not known.
    """
    if not rows or not rows[0]:
        raise ResultError(f"{path}: no maps to draw")
    counts = sorted({len(row) for row in rows})
    if len(counts) > 1:
        raise ResultError(f"{path}: rows of {counts} maps, expected equally many in all")
    figure = Figure(figsize=(1.6 + 2.35 * counts[0], 0.75 + 2.35 * len(rows)))
    grid = figure.add_gridspec(len(rows), counts[0] + 1, width_ratios=[0.62, *[1.0] * counts[0]])
    for place, row in enumerate(rows):
        located = next(iter(row.values()))
        image = figure.add_subplot(grid[place, 0])
        image.imshow(located.image)
        image.set_axis_off()
        image.set_title(f"scene {located.scene}")
        for column, (label, one) in enumerate(row.items(), start=1):
            axes = figure.add_subplot(grid[place, column])
            _draw(axes, one, title=f"{label}: {one.summary}")
            if place == len(rows) - 1:
                axes.set_xlabel("x (scene units)", fontsize=7, labelpad=1)
    names = ((_TRUTH, "true camera"), (_ESTIMATE, "estimate"), (_CONTEXT, "context camera"))
    handles = [Line2D([], [], color=colour, marker="o", label=label) for colour, label in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(textwrap.fill(title, int(_LETTERS_PER_INCH * figure.get_figwidth())), fontsize=10)
    return save_figure(figure, path)


def _draw(axes: Axes, located: Located, *, title: str) -> None:
    mass, extent = located.floor_mass, located.grid.extent
    mass = mass / max(float(mass.max()), 1e-300)
    grey = np.sqrt(np.where(mass * _WIDEST_RANGE < 1.0, 0.0, mass))
    axes.imshow(grey, extent=extent, origin="lower", cmap="Greys", vmin=0.0, vmax=1.15)
    width = extent[1] - extent[0]
    for camera in located.context:
        _draw_camera(axes, camera, colour=_CONTEXT, length=0.6 * _ARROW * width, weight=0.9)
    _draw_camera(axes, located.truth, colour=_TRUTH, length=1.3 * _ARROW * width, weight=2.0)
    _draw_camera(axes, located.estimate, colour=_ESTIMATE, length=_ARROW * width, weight=1.6)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    axes.grid(visible=False)
    axes.tick_params(labelsize=6, length=2)
    axes.set_title(textwrap.fill(title, 36), fontsize=8)


def _draw_camera(axes: Axes, camera: np.ndarray, *, colour: str, length: float, weight: float) -> None:
    x, y, yaw = float(camera[0]), float(camera[1]), float(camera[3])
    axes.plot([x], [y], marker="o", markersize=2.2 * weight, color=colour, markeredgewidth=0.0, clip_on=False)
    tip = x + length * math.cos(yaw), y + length * math.sin(yaw)
    arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": weight, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 6}
    axes.annotate("", xy=tip, xytext=(x, y), arrowprops=arrow)
