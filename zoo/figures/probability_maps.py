"""Maps of where a camera may have been, seen from above, with the true and the estimated camera."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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


class FloorMap(NamedTuple):
    """One panel: the probability of every position."""

    title: str
    mass: np.ndarray  # [Y, X], sums to 1 or less
    extent: tuple[float, float, float, float]  # least x, largest x, least y, largest y
    truth: np.ndarray  # [5], a camera (x, y, z, yaw, pitch)
    estimate: np.ndarray  # [5]
    context: np.ndarray  # [N, 5]

    @classmethod
    def of(cls, located: Located, *, title: str) -> FloorMap:
        """Returns the map of a localised image, summed over yaw."""
        return cls(
            title=title,
            mass=located.floor_mass,
            extent=located.grid.extent,
            truth=located.truth,
            estimate=located.estimate,
            context=located.context,
        )


class MapRow(NamedTuple):
    """One image with one or several maps."""

    label: str
    image: np.ndarray  # [H, W, 3] uint8
    maps: Sequence[FloorMap]


@styled
def probability_maps(path: Path, rows: Sequence[MapRow], *, title: str | None = None) -> Path:
    """Draws one row per image: the image, then its maps from above with +y up.

    Grey is the square root of the probability, so that a second mode of a tenth of the first is visible. An arrow
    starts at a camera and points in its direction.

    Args:
        path: the image: .png, .pdf or .svg.
        rows: all with equally many maps.
        title: above the rows.

    Raises:
        ResultError: if there is nothing to draw, the rows are unequal, or the suffix is not known.
    """
    if not rows or not rows[0].maps:
        raise ResultError(f"{path}: no maps to draw")
    counts = sorted({len(row.maps) for row in rows})
    if len(counts) > 1:
        raise ResultError(f"{path}: rows of {counts} maps, expected equally many in all")
    figure = Figure(figsize=(1.6 + 2.35 * counts[0], 0.75 + 2.35 * len(rows)))
    grid = figure.add_gridspec(len(rows), counts[0] + 1, width_ratios=[0.62, *[1.0] * counts[0]])
    for place, row in enumerate(rows):
        image = figure.add_subplot(grid[place, 0])
        image.imshow(row.image)
        image.set_axis_off()
        image.set_title(row.label)
        for column, panel in enumerate(row.maps, start=1):
            axes = figure.add_subplot(grid[place, column])
            _draw(axes, panel)
            if place == len(rows) - 1:
                axes.set_xlabel("x (scene units)", fontsize=7, labelpad=1)
    names = ((_TRUTH, "true camera"), (_ESTIMATE, "estimate"), (_CONTEXT, "context camera"))
    handles = [Line2D([], [], color=colour, marker="o", label=label) for colour, label in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(textwrap.fill(title, int(_LETTERS_PER_INCH * figure.get_figwidth())), fontsize=10)
    return save_figure(figure, path)


def _draw(axes: Axes, panel: FloorMap) -> None:
    mass = panel.mass / max(float(panel.mass.max()), 1e-300)
    grey = np.sqrt(np.where(mass * _WIDEST_RANGE < 1.0, 0.0, mass))
    axes.imshow(grey, extent=panel.extent, origin="lower", cmap="Greys", vmin=0.0, vmax=1.15)
    width = panel.extent[1] - panel.extent[0]
    for camera in panel.context:
        _draw_camera(axes, camera, colour=_CONTEXT, length=0.6 * _ARROW * width, weight=0.9)
    _draw_camera(axes, panel.truth, colour=_TRUTH, length=1.3 * _ARROW * width, weight=2.0)
    _draw_camera(axes, panel.estimate, colour=_ESTIMATE, length=_ARROW * width, weight=1.6)
    axes.set(xlim=panel.extent[:2], ylim=panel.extent[2:], aspect="equal")
    axes.grid(visible=False)
    axes.tick_params(labelsize=6, length=2)
    axes.set_title(panel.title, fontsize=8)


def _draw_camera(axes: Axes, camera: np.ndarray, *, colour: str, length: float, weight: float) -> None:
    x, y, yaw = float(camera[0]), float(camera[1]), float(camera[3])
    axes.plot([x], [y], marker="o", markersize=2.2 * weight, color=colour, markeredgewidth=0.0, clip_on=False)
    axes.annotate(
        "",
        xy=(x + length * math.cos(yaw), y + length * math.sin(yaw)),
        xytext=(x, y),
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": weight,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 6,
        },
    )
