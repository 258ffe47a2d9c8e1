"""Functions and what is predicted of them, drawn: curves of one input, images of two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.errors import ResultError
from zoo.figures.sheets import check_format, contact_sheet
from zoo.files import writing_file

UNKNOWN = (70, 90, 160)  # colour of pixels that were not observed: no grey level looks like it
_COLUMNS = 4
_METADATA: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class Band(NamedTuple):
    """A prediction along a line: its mean and two standard deviations to both sides, and samples of it."""

    label: str
    colour: str
    mean: np.ndarray  # [G]
    scale: np.ndarray  # [G]
    samples: np.ndarray  # [S, G]; S may be 0


class Panel(NamedTuple):
    """One image of curves over the inputs ``along``."""

    title: str
    along: np.ndarray  # [G]
    bands: Sequence[Band]
    inputs: np.ndarray  # [N] of the points that were observed
    values: np.ndarray  # [N]


def point_sheet(path: Path, *, inputs: np.ndarray, values: np.ndarray, title: str, labels: Sequence[str]) -> Path:
    """Draws functions: curves for inputs of one number, images for inputs of two.

    Args:
        path: the image.
        inputs: [n, V, P] float.
        values: [n, V, C] float; of images 1 or 3 channels in [0, 1].
        title: one line above the sheet.
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
        lines = [Band("", "#0072B2", line[order], 0.0 * line, np.empty((0, len(line)))) for line in value.T]
        panels.append(Panel(label, place[order], lines, place, value[:, 0]))
    return curve_panels(path, panels=panels, title=title)


def images_of_points(inputs: np.ndarray, values: np.ndarray, *, size: int | None = None) -> np.ndarray:
    """Puts points back into square images; pixels that are not among them get the colour ``UNKNOWN``.

    Args:
        inputs: [n, V, 2], to the right and down, the middles of the outermost pixels at -1 and 1.
        values: [n, V, 1] or [n, V, 3] in [0, 1].
        size: height and width, pixels; None: as the smallest distance of two of the points tells.

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


def curve_panels(
    path: Path, *, panels: Sequence[Panel], title: str, columns: int = _COLUMNS, one_scale: bool = False
) -> Path:
    """Draws panels row by row, with one legend for all.

    Args:
        path: the image: .png, .pdf or .svg.
        panels: what is drawn.
        title: one line above.
        columns: panels in a row.
        one_scale: all panels show the same range of values.

    Raises:
        ResultError: if the format is not known.
    """
    path = Path(path)
    if path.suffix not in (".pdf", ".svg"):
        check_format(path)
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.2 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=one_scale).flatten()
    for place, panel in zip(axes, panels, strict=False):
        _draw(place, panel)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    handles = {
        label: handle for place in axes for handle, label in zip(*place.get_legend_handles_labels(), strict=True)
    }
    if handles:
        figure.legend(
            handles.values(), handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9
        )
    figure.suptitle(title, fontsize=11).set_parse_math(False)
    with mpl.rc_context({"svg.hashsalt": "gqn-zoo", "svg.fonttype": "none"}), writing_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=130, metadata=_METADATA.get(path.suffix))
    return path


def _draw(axes: Axes, panel: Panel) -> None:
    for band in panel.bands:
        axes.fill_between(
            panel.along,
            band.mean - 2.0 * band.scale,
            band.mean + 2.0 * band.scale,
            color=band.colour,
            alpha=0.18,
            linewidth=0.0,
        )
        for sample in band.samples:
            axes.plot(panel.along, sample, color=band.colour, linewidth=0.7, alpha=0.55)
        axes.plot(panel.along, band.mean, color=band.colour, linewidth=1.5, label=band.label or None)
    axes.plot(panel.inputs, panel.values, "o", color="#000000", markersize=3.0)
    axes.set_title(panel.title, fontsize=9).set_parse_math(False)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
