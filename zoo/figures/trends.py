"""Means with their standard errors against a number, such as that of the context views: one panel a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.errors import ResultError
from zoo.files import writing_file

SUFFIXES = (".pdf", ".png", ".svg")

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Without dates and with fixed names inside of SVG files, the same figures are the same bytes.
_METADATA: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class Trend(NamedTuple):
    """One line: scores of the same scenes at every place along the axis."""

    label: str
    places: Sequence[float]
    scores: Sequence[np.ndarray]  # for every place, [scenes]

    @property
    def means(self) -> np.ndarray:
        """The mean over the scenes of every place."""
        return np.array([scores.mean() for scores in self.scores])

    @property
    def errors(self) -> np.ndarray:
        """The standard error of every mean; between two places the scenes' own differences are much surer."""
        return np.array([scores.std(ddof=1) / np.sqrt(len(scores)) for scores in self.scores])


class TrendPanel(NamedTuple):
    """Lines of one quantity."""

    quantity: str  # with its unit
    trends: Sequence[Trend]


def trend_panels(path: Path, *, panels: Sequence[TrendPanel], along: str, title: str) -> Path:
    """Draws panels beside each other, each with bars of one standard error and a legend of its own.

    Args:
        path: the image: .png, .pdf or .svg.
        panels: what is drawn.
        along: what the horizontal axis of all panels counts.
        title: one line above.

    Raises:
        ResultError: if the format is not known.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ResultError(f"{path}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    labels = list(dict.fromkeys(trend.label for panel in panels for trend in panel.trends))
    figure = Figure(figsize=(3.6 * len(panels), 3.6), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel, labels=labels)
        axes.set_xlabel(along).set_parse_math(False)
    figure.suptitle(title, fontsize=11).set_parse_math(False)
    with mpl.rc_context({"svg.hashsalt": "gqn-zoo", "svg.fonttype": "none"}), writing_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=_METADATA.get(path.suffix))
    return path


def _draw(axes: Axes, panel: TrendPanel, *, labels: Sequence[str]) -> None:
    for trend in panel.trends:
        number = labels.index(trend.label)  # one label looks the same in every panel
        axes.errorbar(
            trend.places,
            trend.means,
            yerr=trend.errors,
            label=trend.label,
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4.5,
            linewidth=1.6,
            capsize=3.0,
        )
    axes.set_ylabel(panel.quantity).set_parse_math(False)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    for text in axes.legend(frameon=False, fontsize=9).get_texts():
        text.set_parse_math(False)
