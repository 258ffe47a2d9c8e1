"""Points in a plane, coloured by scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from zoo.figures.style import save_figure, series_style, styled


class EmbeddingPanel(NamedTuple):
    """One map of the same scenes."""

    title: str
    points: np.ndarray  # [n, M, 2]: M points of each of n scenes


@styled
def embedding_panels(path: Path, *, rows: Sequence[Sequence[EmbeddingPanel]], title: str) -> Path:
    """Draws rows of maps; a scene has the same colour and marker in all of them, repeated after 28 scenes.

    Args:
        path: the image: .png, .pdf or .svg.
        rows: equally many panels each.
        title: above the panels.

    Raises:
        ResultError: if the format is not known.
    """
    figure = Figure(figsize=(3.2 * len(rows[0]), 3.2 * len(rows) + 0.4))
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for places, row in zip(grid, rows, strict=True):
        for axes, panel in zip(places, row, strict=True):
            for scene, points in enumerate(panel.points):
                style = {**series_style(scene), "linestyle": "none", "markersize": 3.5}
                axes.plot(points[:, 0], points[:, 1], **style)
            axes.set(title=panel.title, xticks=[], yticks=[])
            axes.grid(visible=False)
    figure.suptitle(title)
    return save_figure(figure, path)
