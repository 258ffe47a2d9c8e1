"""Tables of images: named columns of images, and beside every row, if wanted, the words that belong to it."""

from __future__ import annotations

import textwrap
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

_TILE = 0.85  # inches
_LETTER = 0.066  # inches, more than most
_LINE = 52  # letters in a line of the text beside a row
_TITLE_LINE = 13  # letters in a line above a column
_FONT_SIZE = 8
# Without dates and with fixed names inside of SVG files, the same figures are the same bytes.
_METADATA: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


class Column(NamedTuple):
    """One image for every row."""

    title: str
    images: np.ndarray  # [R, H, W, 3] uint8


def image_table(path: Path, *, columns: Sequence[Column], title: str, row_texts: Sequence[str] | None = None) -> Path:
    """Draws the columns beside each other, pixels enlarged and never smoothed.

    Args:
        path: the image: .png, .pdf or .svg.
        columns: what is drawn; all with R rows.
        title: one line above.
        row_texts: R texts, wrapped at the left of the rows.

    Raises:
        ResultError: if the format is not known, there is nothing to draw or the rows do not fit together.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ResultError(f"{path}: expected a name that ends with one of {', '.join(SUFFIXES)}")
    rows = len(columns[0].images) if columns else 0
    if not rows:
        raise ResultError(f"{path}: there are no images to draw")
    for column in columns:
        shape = column.images.shape
        if column.images.dtype != np.uint8 or len(shape) != 4 or shape[0] != rows or shape[-1] != 3:
            raise ResultError(
                f"column {column.title!r}: expected uint8 [{rows}, H, W, 3], found {column.images.dtype} {list(shape)}"
            )
    if row_texts is not None and len(row_texts) != rows:
        raise ResultError(f"expected {rows} texts of rows, found {len(row_texts)}")
    texts = [textwrap.fill(text, _LINE) for text in row_texts or [""] * rows]
    titles = [textwrap.fill(column.title, _TITLE_LINE) for column in columns]
    text_width = 0.05 + _LETTER * max(len(line) for text in texts for line in text.split("\n"))
    title_height = 0.5 + 0.15 * max(text.count("\n") for text in titles)
    figure = Figure(figsize=(text_width + _TILE * len(columns), _TILE * rows + title_height), layout="constrained")
    grid = figure.subplots(rows, 1 + len(columns), squeeze=False, width_ratios=[text_width, *[_TILE] * len(columns)])
    for row in range(rows):
        _write(grid[row, 0], texts[row])
        for place, column in enumerate(columns, start=1):
            axes = grid[row, place]
            axes.imshow(column.images[row], interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                axes.set_title(titles[place - 1], fontsize=_FONT_SIZE).set_parse_math(False)
    figure.suptitle(title, fontsize=11).set_parse_math(False)
    with mpl.rc_context({"svg.hashsalt": "gqn-zoo", "svg.fonttype": "none"}), writing_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=_METADATA.get(path.suffix))
    return path


def _write(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.0, 0.5, text, fontsize=_FONT_SIZE, va="center").set_parse_math(False)
