"""Points in the plane, coloured by the group that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from zoo.figures.style import save_figure, styled

_MARKERS = ("o", "s", "^", "D", "v")


class Embedding(NamedTuple):
    """Points of one panel."""

    title: str
    points: np.ndarray  # [n, 2]
    groups: np.ndarray  # [n] int, from 0


@styled
def embedding_panels(path: Path, *, panels: Sequence[Embedding], title: str) -> Path:
    """Draws panels side by side; a group has the same colour and marker in all.

    Raises:
        ResultError: if the format of ``path`` is not .png, .pdf or .svg.
    """
    figure = Figure(figsize=(3.4 * len(panels), 3.8))
    colours = mpl.colormaps["tab10"]
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for group in np.unique(panel.groups):
            points = panel.points[panel.groups == group]
            marker = _MARKERS[group // 10 % len(_MARKERS)]
            axes.scatter(*points.T, s=16, color=colours(int(group) % 10), marker=marker, linewidths=0.0)
        axes.set(xticks=[], yticks=[])
        axes.set_title(panel.title)
    figure.suptitle(title)
    return save_figure(figure, path)
