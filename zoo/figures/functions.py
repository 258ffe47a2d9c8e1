"""Functions and their predictions: curves for inputs of one number, images for inputs of two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from zoo.errors import ResultError
from zoo.figures.sheets import contact_sheet
from zoo.figures.style import BLACK, BLUE, save_figure, styled

UNKNOWN = (70, 90, 160)  # colour of pixels that were not observed, unlike every grey level


class Band(NamedTuple):
    """A prediction along an input: mean, two standard deviations to either side, and samples."""

    label: str
    colour: str
    mean: np.ndarray  # [G]
    scale: np.ndarray  # [G]
    samples: np.ndarray  # [S, G]; S may be 0


class Panel(NamedTuple):
    """The bands of one function over the inputs ``along``."""

    title: str
    along: np.ndarray  # [G]
    bands: Sequence[Band]
    inputs: np.ndarray  # [N], of the observed points
    values: np.ndarray  # [N]


def point_sheet(path: Path, *, inputs: np.ndarray, values: np.ndarray, title: str, labels: Sequence[str]) -> Path:
    """Draws functions: curves for inputs of one number, images for inputs of two.

    Args:
        path: the image; curves: .png, .pdf or .svg.
        inputs: [n, V, P] float.
        values: [n, V, C] float; of images 1 or 3 channels in [0, 1].
        title: above the sheet.
        labels: n texts.

    Raises:
        ResultError: if the inputs have more than two numbers, or the format is not known.
    """
    if inputs.shape[-1] == 2 and values.shape[-1] in (1, 3):
        frames = images_of_points(inputs, values)
        return contact_sheet(path, frames=frames[:, None], title=title, scene_labels=labels)
    if inputs.shape[-1] != 1:
        raise ResultError(
            f"{path}: points with inputs of {inputs.shape[-1]} and values of {values.shape[-1]} numbers cannot be drawn"
        )
    panels = []
    for label, place, value in zip(labels, inputs[..., 0], values, strict=True):
        order = place.argsort()
        curves = [Band("", BLUE, curve[order], np.zeros(len(curve)), np.empty((0, len(curve)))) for curve in value.T]
        panels.append(Panel(label, place[order], curves, place, value[:, 0]))
    return curve_panels(path, panels=panels, title=title)


def images_of_points(inputs: np.ndarray, values: np.ndarray, *, size: int | None = None) -> np.ndarray:
    """Arranges points as square images; pixels without a point get the colour ``UNKNOWN``.

    Args:
        inputs: [n, V, 2], to the right and down, the centres of the outermost pixels at -1 and 1.
        values: [n, V, 1] or [n, V, 3] in [0, 1].
        size: height and width, pixels; None: from the smallest distance between two points.

    Returns:
        [n, H, W, 3] uint8.
    """
    if size is None:
        size = round(2.0 / float(np.diff(np.unique(np.round(inputs, 6))).min())) + 1
    frames = np.empty((len(inputs), size, size, 3), dtype=np.uint8)
    frames[:] = UNKNOWN
    cells = np.rint((inputs + 1.0) * 0.5 * (size - 1)).astype(int)
    colours = np.rint(np.clip(np.broadcast_to(values, (*values.shape[:2], 3)), 0.0, 1.0) * 255.0).astype(np.uint8)
    for frame, cell, colour in zip(frames, cells, colours, strict=True):
        frame[cell[:, 1], cell[:, 0]] = colour
    return frames


@styled
def curve_panels(
    path: Path, *, panels: Sequence[Panel], title: str, columns: int = 4, same_scale: bool = False
) -> Path:
    """Draws at least one panel, row by row, with one legend; ``same_scale`` gives all panels the same range of values.

    Raises:
        ResultError: if the format is not .png, .pdf or .svg.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.2 * rows + 0.6))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=same_scale).flatten()
    handles: dict[str, Artist] = {}
    for axes, panel in zip(grid, panels, strict=False):
        for band in panel.bands:
            low, high = band.mean - 2.0 * band.scale, band.mean + 2.0 * band.scale
            axes.fill_between(panel.along, low, high, color=band.colour, alpha=0.18, linewidth=0.0)
            for sample in band.samples:
                axes.plot(panel.along, sample, color=band.colour, linewidth=0.7, alpha=0.55)
            axes.plot(panel.along, band.mean, color=band.colour, label=band.label or None)
        axes.plot(panel.inputs, panel.values, "o", color=BLACK, markersize=3.0)
        axes.set_title(panel.title)
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    figure.suptitle(title)
    return save_figure(figure, path)
