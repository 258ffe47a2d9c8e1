"""Images of speeds: bars with their spread and what was aimed at, and times against sizes in logarithms."""

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
_MARKERS = ("o", "s", "^", "D")
_BAR = 0.8  # of the room between two places is taken by the bars of one
_METADATA: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class Bar(NamedTuple):
    """One median with its spread."""

    place: str  # under the axis
    series: str  # in the legend
    median: float
    low: float
    high: float
    aim: float | None = None  # what it was to reach


class BarPanel(NamedTuple):
    """Bars of one quantity."""

    quantity: str  # with its unit
    bars: Sequence[Bar]
    line: float | None = None  # a height that means something by itself, such as a quotient of 1


class PowerLaw(NamedTuple):
    """Times at growing sizes, with the exponent that was fitted to them."""

    label: str
    sizes: Sequence[int]
    median: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    exponent: float


class PowerLawPanel(NamedTuple):
    """Laws along one axis."""

    along: str
    laws: Sequence[PowerLaw]


def bar_panels(path: Path, *, panels: Sequence[BarPanel], title: str) -> Path:
    """Draws bars beside each other by place, one colour a series, spreads as lines and aims as dashes across.

    Raises:
        ResultError: if the format is not known.
    """
    places = max(len({bar.place for bar in panel.bars}) for panel in panels)
    figure = Figure(figsize=(max(5.0, 1.5 * places) * len(panels), 4.2), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_bars(axes, panel)
    return _save(figure, path, title=title)


def power_law_panels(path: Path, *, rows: Sequence[tuple[str, Sequence[PowerLawPanel]]], title: str) -> Path:
    """Draws times in logarithms against sizes in logarithms; the exponents stand in the legends.

    Args:
        path: the image: .png, .pdf or .svg.
        rows: what was timed, with its panels; the panels of all rows stand under each other in the same order.
        title: one line above.

    Raises:
        ResultError: if the format is not known.
    """
    columns = max(len(panels) for _, panels in rows)
    figure = Figure(figsize=(3.3 * columns, 3.2 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex="col", sharey="row")
    for number, (axes_of_row, (quantity, panels)) in enumerate(zip(grid, rows, strict=True)):
        for axes, panel in zip(axes_of_row, panels, strict=True):
            _draw_laws(axes, panel)
            if number == len(rows) - 1:
                axes.set_xlabel(panel.along).set_parse_math(False)
        axes_of_row[0].set_ylabel(quantity).set_parse_math(False)
    return _save(figure, path, title=title)


def _draw_bars(axes: Axes, panel: BarPanel) -> None:
    places = list(dict.fromkeys(bar.place for bar in panel.bars))
    series = list(dict.fromkeys(bar.series for bar in panel.bars))
    width = _BAR / len(series)
    for number, name in enumerate(series):
        bars = [bar for bar in panel.bars if bar.series == name]
        middles = [places.index(bar.place) + (number - (len(series) - 1) / 2) * width for bar in bars]
        medians = np.array([bar.median for bar in bars])
        spreads = np.array([[bar.median - bar.low for bar in bars], [bar.high - bar.median for bar in bars]])
        axes.bar(
            middles,
            medians,
            width * 0.92,
            yerr=spreads,
            label=name,
            color=_COLOURS[number % len(_COLOURS)],
            capsize=3.0,
        )
        for middle, bar in zip(middles, bars, strict=True):
            axes.annotate(
                f"{bar.median:.2f}", (middle, bar.high), (0, 4), textcoords="offset points", ha="center", fontsize=8
            )
            if bar.aim is not None:
                axes.hlines(bar.aim, middle - width / 2, middle + width / 2, colors="black", linewidth=2.0)
    if any(bar.aim is not None for bar in panel.bars):
        axes.hlines([], 0, 1, colors="black", linewidth=2.0, label="target")
    if panel.line is not None:
        axes.axhline(panel.line, color="#777777", linewidth=0.8, linestyle=(0, (5, 3)))
    axes.set_xticks(range(len(places)), places)
    axes.set_ylabel(panel.quantity).set_parse_math(False)
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0.0)
    axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
    _finish(axes)
    # Bars leave no room of their own for a legend.
    legend = axes.legend(
        frameon=False, fontsize=8, ncols=len(series) + 1, loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_laws(axes: Axes, panel: PowerLawPanel) -> None:
    for number, law in enumerate(panel.laws):
        median = np.array(law.median)
        axes.errorbar(
            law.sizes,
            median,
            yerr=[median - np.array(law.low), np.array(law.high) - median],
            label=f"{law.label}: exponent {law.exponent:.2f}",
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4.5,
            linewidth=1.6,
            capsize=3.0,
        )
    sizes = sorted({size for law in panel.laws for size in law.sizes})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.margins(y=0.25)
    axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.yaxis.set_major_formatter(mpl.ticker.EngFormatter(unit="s"))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    _finish(axes)
    for text in axes.legend(frameon=False, fontsize=8, loc="upper left").get_texts():
        text.set_parse_math(False)


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def _save(figure: Figure, path: Path, *, title: str) -> Path:
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ResultError(f"{path}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    figure.suptitle(title, fontsize=11).set_parse_math(False)
    with mpl.rc_context({"svg.hashsalt": "gqn-zoo", "svg.fonttype": "none"}), writing_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=_METADATA.get(path.suffix))
    return path
