"""The style of every figure: palette, axes, and image files that are the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from zoo.errors import ResultError
from zoo.files import writing_file

SUFFIXES = (".pdf", ".png", ".svg")

# Okabe and Ito (2008), without the yellow, which is too pale on paper.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
)  # fmt: skip
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
GREY = "#7A7A7A"
_DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D")
_THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "errorbar.capsize": 3.0,
    "figure.constrained_layout.use": True,
    "figure.titlesize": 11,
    "font.size": 9,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "image.interpolation": "nearest",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "gqn-zoo",  # without it the names inside of an SVG are random
    "text.parse_math": False,  # a dollar in a label is a dollar
}
_WITHOUT_DATE: Mapping[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".png": {}, ".svg": {"Date": None}}

# Decorates each function that draws a figure. The settings apply when text is made, and again when it is saved.
styled = mpl.rc_context(_SETTINGS)


def check_suffix(path: Path) -> Path:
    """Returns the path of a figure.

    Raises:
        ResultError: if it does not end with .pdf, .png or .svg.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ResultError(f"{path}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    return path


@styled
def save_figure(figure: Figure, path: Path, *, dpi: int = 150) -> Path:
    """Writes a figure in the format of its suffix and returns the path.

    Raises:
        ResultError: if the suffix is not .pdf, .png or .svg.
        DiskFullError: if the file cannot be written.
    """
    path = check_suffix(path)
    with writing_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=dpi, metadata=_WITHOUT_DATE[path.suffix])
    return path


@styled
def svg_of(figure: Figure) -> bytes:
    """Returns a figure as SVG with a transparent background, for a page of any colour."""
    target = io.BytesIO()
    figure.savefig(target, format="svg", transparent=True, metadata=_WITHOUT_DATE[".svg"])
    return target.getvalue()


def series_style(index: int) -> dict[str, Any]:
    """Returns colour, dashes and marker of the series with this index; 28 series are distinct."""
    turn = index // len(PALETTE)
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": _DASHES[turn % len(_DASHES)],
        "marker": _MARKERS[turn % len(_MARKERS)],
    }


def legend_label(text: str) -> str:
    """Returns a label that matplotlib does not leave out, as it does with labels that begin with an underscore."""
    return f" {text}" if text.startswith("_") else text


def short_number(value: float, _: object = None) -> str:
    """Writes a number of an axis: 2500 in full, 15000 as 15k, 2000000 as 2M."""
    if abs(value) < 1e4:
        return f"{value:g}"
    size, suffix = next(unit for unit in _THOUSANDS if abs(value) >= unit[0])
    return f"{value / size:g}{suffix}"


def use_short_numbers(axis: Axis) -> None:
    """Writes the ticks of an axis by :func:`short_number`."""
    axis.set_major_formatter(FuncFormatter(short_number))


def use_log_scale(axes: Axes, direction: Literal["x", "y"], *, low: float, high: float) -> None:
    """Makes the x or y axis logarithmic, for data from ``low`` to ``high``."""
    axes.set(**{f"{direction}scale": "log"})
    axis = axes.xaxis if direction == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100.0 * low else (1.0,)))
    axis.set_minor_formatter(NullFormatter())
    use_short_numbers(axis)
