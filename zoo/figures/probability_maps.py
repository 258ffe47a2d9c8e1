"""Images of where a camera may have been: probability over the floor, with the truth and the answer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zoo.errors import ResultError
from zoo.evaluation.localisation import Located
from zoo.figures.curves import SUFFIXES
from zoo.files import writing_file

ARROW = 0.085  # length of a camera's arrow, of the width of the floor
TRUTH, ESTIMATE, CONTEXT = "#D55E00", "#0072B2", "#555555"  # Okabe and Ito (2008)
LARGEST_RANGE = 1e4  # a cell with less than this part of the best cell's probability is white


class FloorMap(NamedTuple):
    """One panel: the probability of every place."""

    title: str
    mass: np.ndarray  # [Y, X], sums to 1 or less
    extent: tuple[float, float, float, float]  # least x, largest x, least y, largest y
    truth: np.ndarray  # [5], a camera (x, y, z, yaw, pitch)
    estimate: np.ndarray  # [5]
    context: np.ndarray  # [N, 5]

    @classmethod
    def of(cls, located: Located, *, title: str) -> FloorMap:
        """Shows what was found out about a image, whatever the yaw."""
        return cls(
            title=title,
            mass=located.floor_mass,
            extent=located.grid.extent,
            truth=located.truth,
            estimate=located.estimate,
            context=located.context,
        )


class MapRow(NamedTuple):
    """One image and what was found out about it, in one way or in several."""

    label: str
    image: np.ndarray  # [H, W, 3] uint8
    maps: Sequence[FloorMap]


def probability_maps(path: Path, rows: Sequence[MapRow], *, title: str | None = None) -> Path:
    """Draws one row a image: the image itself, then its maps, seen from above with +y up.

    Darker is more probable, by the square root, so that a second mode of a tenth of the first is still seen. Arrows
    stand where cameras stand and point where they look.

    Args:
        path: the image; its suffix, .png, .pdf or .svg, decides the format.
        rows: all with equally many maps.
        title: printed above.

    Raises:
        ResultError: if there is nothing to draw, the rows are unequal, or the suffix is not known.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ResultError(f"{path}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    if not rows or not rows[0].maps:
        raise ResultError(f"{path}: no maps to draw")
    columns = len(rows[0].maps)
    if any(len(row.maps) != columns for row in rows):
        raise ResultError(
            f"{path}: rows of {sorted({len(row.maps) for row in rows})} maps, expected equally many in all"
        )
    with mpl.rc_context({"svg.hashsalt": "gqn-zoo", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure = Figure(figsize=(1.6 + 2.35 * columns, 0.75 + 2.35 * len(rows)), layout="constrained")
        grid = figure.add_gridspec(len(rows), columns + 1, width_ratios=[0.62, *[1.0] * columns])
        texts = []
        for place, row in enumerate(rows):
            image = figure.add_subplot(grid[place, 0])
            image.imshow(row.image, interpolation="nearest")
            image.set_axis_off()
            texts.append(image.set_title(row.label, fontsize=8))
            for column, panel in enumerate(row.maps, start=1):
                axes = figure.add_subplot(grid[place, column])
                texts.append(_draw(axes, panel, labelled=place == len(rows) - 1))
        texts += figure.legend(
            handles=_legend(), loc="outside lower center", ncols=3, frameon=False, fontsize=8
        ).get_texts()
        if title is not None:
            # One inch holds some 12 letters of this size; long titles go on in further lines, and are not cut.
            texts.append(figure.suptitle(textwrap.fill(title, int(12 * figure.get_figwidth())), fontsize=10))
        for text in texts:
            text.set_parse_math(False)
        with writing_file(path) as temporary:
            metadata = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}[path.suffix]
            figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=metadata)
    return path


def _draw(axes: Axes, panel: FloorMap, *, labelled: bool) -> mpl.text.Text:
    mass = panel.mass / max(float(panel.mass.max()), 1e-300)
    shown = np.sqrt(np.where(mass * LARGEST_RANGE < 1.0, 0.0, mass))
    axes.imshow(shown, extent=panel.extent, origin="lower", cmap="Greys", vmin=0.0, vmax=1.15, interpolation="nearest")
    width = panel.extent[1] - panel.extent[0]
    for camera in panel.context:
        _arrow(axes, camera, colour=CONTEXT, length=0.6 * ARROW * width, weight=0.9)
    _arrow(axes, panel.truth, colour=TRUTH, length=1.3 * ARROW * width, weight=2.0)
    _arrow(axes, panel.estimate, colour=ESTIMATE, length=ARROW * width, weight=1.6)
    axes.set(xlim=panel.extent[:2], ylim=panel.extent[2:], aspect="equal")
    axes.tick_params(labelsize=6, length=2)
    if labelled:
        axes.set_xlabel("x (scene units)", fontsize=7, labelpad=1)
    return axes.set_title(panel.title, fontsize=8)


def _arrow(axes: Axes, camera: np.ndarray, *, colour: str, length: float, weight: float) -> None:
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


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=colour, marker="o", markersize=4, linewidth=1.6, label=label)
        for colour, label in ((TRUTH, "true camera"), (ESTIMATE, "estimate"), (CONTEXT, "camera of the context"))
    ]
